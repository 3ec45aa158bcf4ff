"""Finds the snippets of a page, and runs each as its language is run.

A block with a file's name, as its caption or its name, is written to the page's folder; commands
below it use that file. Every other block is run where it stands. What cannot be run fails, unless
its language is one of those that are only looked at.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.rest.lexers import DirectiveInCommentLexer, DirectiveLexer

from .shell import REPOSITORY, Shell, SnippetError

#: Languages that nothing runs.
LOOKED_AT = frozenset(("http", "nginx", "text"))
_PAGES = frozenset(
    REPOSITORY / name
    for name in (
        "README.rst",
        "CHANGES.rst",
        "CONTRIBUTING.rst",
        "SECURITY.rst",
        "examples/bank/README.rst",
        "examples/service_worker/README.rst",
    )
)

_run_python = PythonEvaluator()


def _python(example: Example) -> None:
    shell: Shell = example.namespace["shell"]
    with contextlib.chdir(shell.folder):
        _run_python(example)


def _console(example: Example) -> None:
    example.namespace["shell"].console(example.parsed)


def _javascript(example: Example) -> None:
    example.namespace["shell"].javascript(example.parsed)


def _typescript(example: Example) -> None:
    example.namespace["shell"].typescript(example.parsed)


def _json(example: Example) -> None:
    json.loads(example.parsed)


def _file(example: Example) -> None:
    lexemes = example.region.lexemes
    if lexemes["arguments"] == "python":
        compile(example.parsed, example.path, "exec")
    example.namespace["shell"].write(file_name(example.region), example.parsed)


def _unknown(example: Example) -> None:
    language = example.region.lexemes["arguments"]
    raise SnippetError(f"nothing runs the language {language!r}")


EVALUATORS: dict[str, Callable[[Example], None]] = {
    "console": _console,
    "javascript": _javascript,
    "json": _json,
    "python": _python,
    "typescript": _typescript,
}


def file_name(region: Region) -> str:
    """The file that a block shows, or nothing."""
    options = region.lexemes.get("options") or {}
    return str(options.get("caption") or options.get("name") or "").strip()


def blocks(document: Document) -> Iterable[Region]:
    """All code blocks of a page, in order; those in comments set something up, or check it."""
    seen = DirectiveLexer(directive="code-block|code|sourcecode|literalinclude|parsed-literal")
    unseen = DirectiveInCommentLexer(directive="invisible-code-block")
    found = [*seen(document), *unseen(document)]
    return sorted(found, key=lambda region: region.start)


def parse(document: Document) -> Iterable[Region]:
    """The blocks of a page that are run."""
    for region in blocks(document):
        language = (region.lexemes["arguments"] or "").strip()
        region.lexemes["arguments"] = language
        if language in LOOKED_AT:
            continue
        region.parsed = region.lexemes["source"]
        region.evaluator = _file if file_name(region) else EVALUATORS.get(language, _unknown)
        yield region


def _set_up(namespace: dict[str, Any]) -> None:
    # `Flask(__name__)` finds no module of this name, so its folder is the page's.
    namespace.update(__name__="app", shell=Shell(), repository=REPOSITORY)


def _tear_down(namespace: dict[str, Any]) -> None:
    namespace["shell"].close()


_collect = Sybil(
    [parse], path=str(REPOSITORY), pattern="*.rst", setup=_set_up, teardown=_tear_down
).pytest()


def pytest_collect_file(file_path: Path, parent: Any) -> Any:
    """Collect the readme files, the changes and the pages of docs/."""
    if file_path in _PAGES or file_path.parent == REPOSITORY / "docs":
        return _collect(file_path, parent)
    return None
