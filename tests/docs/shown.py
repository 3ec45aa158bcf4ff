"""The role ``:test:`` of the documentation: a mark behind a claim, which leads to its test.

``:test:`attacks/test_cross_site.py::test_a_form``` names a test below ``tests/``. A test of
JavaScript is named by its title, and a page whose own snippets show what it says by its path, as
``docs/pins.rst``. A test that does not exist is an error of the build. Each file that is named has
a page with its source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes

REPOSITORY = Path(__file__).parents[2]
_LANGUAGES = {".py": "python", ".mjs": "javascript", ".rst": "rst"}
# In JavaScript: `test("…", ` or, where the title has a part that varies, test(`…`, .
_TITLE = re.compile(r'(?m)^\s*test\((["`])(.+?)\1,')


@cache
def tests_of(path: str) -> dict[str, int]:
    """The tests of a file, and the lines on which they begin, from 1.

    :param path: from the repository's root.
    """
    text = (REPOSITORY / path).read_text("utf-8")
    if path.endswith(".py"):
        defined = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.FunctionDef))
        return {one.name: one.lineno for one in defined if one.name.startswith("test_")}
    return {found[2]: text.count("\n", 0, found.start()) + 1 for found in _TITLE.finditer(text)}


def find(target: str) -> tuple[str, str]:
    """The path, from the repository's root, and the name of the test that a mark means.

    :raises LookupError: where there is none.
    """
    name, _, test = target.partition("::")
    path = name if name.startswith("docs/") else f"tests/{name}"
    if not (REPOSITORY / path).is_file():
        raise LookupError(f"there is no file {path}")
    if test not in tests_of(path) if test else not path.endswith(".rst"):
        raise LookupError(f"there is no test {target}")
    return path, test


def marks(text: str) -> list[str]:
    """What the marks of a page name."""
    return [re.sub(r"\s+", " ", found) for found in re.findall(r":test:`([^`]+)`", text)]


def _role(*given: Any, **_: Any) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    _name, _raw, target, line, inliner = given[:5]
    try:
        path, test = find(target)
    except LookupError as error:
        return [], [inliner.reporter.error(str(error), line=line)]
    said = _said(path, test)
    place = f"#{_anchor(test)}" if test else ""
    mark = nodes.reference(
        "", "", nodes.inline("", said), refuri=f"{_page(path)}.html{place}", internal=True
    )
    # Names of tests would be found before what is searched.
    mark["classes"] += ["shown", "no-search"]
    mark["reftitle"] = f"{path}::{test}" if test else path
    return [mark], []


def _said(path: str, test: str) -> str:
    """The file's and the test's name, as they are read aloud."""
    if not test:
        return "this page's own code"
    stem = Path(path).name.partition(".")[0].removeprefix("test_")
    return f"{stem}: {test.removeprefix('test_')}".replace("_", " ")


def _page(path: str) -> str:
    return Path(path).with_suffix("").as_posix()


def _anchor(test: str) -> str:
    return re.sub(r"\W+", "-", test)


def _pages(app: Any) -> Iterator[tuple[str, dict[str, str], str]]:
    """A page for each file that is named, with its source."""
    for path in sorted({path for page in Path(app.srcdir).glob("*.rst") for path in _named(page)}):
        source = (REPOSITORY / path).read_text("utf-8")
        language = _LANGUAGES[Path(path).suffix]
        listing = app.builder.highlighter.highlight_block(source, language).splitlines()
        for test, line in tests_of(path).items():
            before, pre, first = listing[line - 1].rpartition("<pre>")
            listing[line - 1] = f'{before}{pre}<span id="{_anchor(test)}"></span>{first}'
        body = f'<div class="listing"><h1>{path}</h1>' + "\n".join(listing) + "</div>"
        yield _page(path), {"title": path, "body": body}, "page.html"


def _named(page: Path) -> Iterator[str]:
    for mark in marks(page.read_text("utf-8")):
        with suppress(LookupError):  # The role has told it.
            yield find(mark)[0]


def setup(app: Any) -> dict[str, bool]:
    """Add the role and its pages to a build of Sphinx."""
    app.add_role("test", _role)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True}
