"""What runs the snippets of the documentation notices when they are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document

from .shell import Shell, SnippetError
from .snippets import parse

MAKEFILE = """\
PORT ?= 5000
demo: .venv/demo
\tpython -m http.server --bind 127.0.0.1 $(PORT)
.venv/demo:
\ttouch index.html
broken:
"""
PROJECT = """\
[project]
name = "flask-sealed"
[project.optional-dependencies]
jwt = []
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def evaluate(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.rst"
    path.write_text(page)
    for example in Document.parse(str(path), parse).examples():
        example.evaluate()


@pytest.mark.parametrize("language", ["bash", "yaml", "py", "javascript5", ""])
def test_an_unknown_language_fails(tmp_path: Path, language: str) -> None:
    with pytest.raises(SnippetError, match="nothing runs"):
        evaluate(f".. code-block:: {language}\n\n    true\n", tmp_path)


def test_what_is_only_looked_at_passes(tmp_path: Path) -> None:
    evaluate(".. code-block:: text\n\n    no program\n", tmp_path)


def test_json_is_parsed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        evaluate(".. code-block:: json\n\n    {'a': 1}\n", tmp_path)


def test_a_shell_remembers(shell: Shell) -> None:
    shell.console(
        "$ mkdir a && cd a\n$ export WORD=hidden\n$ pwd\n.../folder/a\n$ echo $WORD\nhidden"
    )


@pytest.mark.parametrize(
    "block",
    [
        "$ echo one\ntwo",
        "$ echo one; echo two\none",
        "$ false",
        "$ false\n$ true",
        "$ false\n$ echo $?\n0",
        "no prompt",
        "$ no-such-command",
    ],
)
def test_commands_that_do_something_else_fail(shell: Shell, block: str) -> None:
    with pytest.raises(SnippetError):
        shell.console(block)


@pytest.mark.parametrize(
    "block",
    [
        "$ echo one; echo two\none\ntwo",
        "$ echo one; echo two\n...\ntwo",
        "$ echo one",
        "$ (exit 3)\n$ echo $?\n3",
        "$ echo one \\\n> two\none two",
    ],
)
def test_commands_that_do_what_is_shown(shell: Shell, block: str) -> None:
    shell.console(block)


def test_javascript(shell: Shell) -> None:
    shell.javascript("await Promise.resolve();")
    with pytest.raises(SnippetError, match="boom"):
        shell.javascript('throw new Error("boom");')


def test_typescript() -> None:
    shell = Shell()
    use = 'import {{ one }} from "./one"; export const two: {} = one;'
    try:
        shell.write("one.ts", "export const one: number = 1;")
        shell.typescript(use.format("number"))
        with pytest.raises(SnippetError, match="TS2322"):
            shell.typescript(use.format("string"))
    finally:
        shell.close()


def test_make(shell: Shell) -> None:
    shell.console("$ make demo\n$ make broken")
    with pytest.raises(SnippetError, match="no target"):
        shell.console("$ make tea")


def test_a_demo_that_does_not_start(shell: Shell) -> None:
    (shell.repository / "Makefile").write_text("demo:\n\texit 7\n")
    with pytest.raises(SnippetError, match="never answered"):
        shell.console("$ make demo")


def test_a_demo_that_shows_nothing(shell: Shell) -> None:
    makefile = shell.repository / "Makefile"
    makefile.write_text("demo:\n\tpython -m http.server -d /nowhere --bind 127.0.0.1 $(PORT)\n")
    with pytest.raises(SnippetError, match="answers with 404"):
        shell.console("$ make demo")


def test_pip_install(shell: Shell) -> None:
    shell.console('$ pip install "flask-sealed[jwt]"\n$ pip install "flask[async]"')
    for wrong in ("flask-sealed[jtw]", "flask[asink]"):
        with pytest.raises(SnippetError, match="has no"):
            shell.console(f'$ pip install "{wrong}"')


def test_a_server_runs_until_the_next_one(shell: Shell) -> None:
    for word in ("one", "two"):
        shell.write(
            f"{word}.py",
            f"from flask import Flask\napp = Flask('{word}')\napp.get('/')(lambda: '{word}')\n",
        )
        shell.console(f"$ flask --app {word} run")
        shell.console(f"$ curl -s http://127.0.0.1:5000/\n{word}")
    with pytest.raises(SnippetError, match="never answered"):
        shell.console("$ flask --app three run")
