"""What the pages say agrees with the package, and nothing on them escapes the tests."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest
from sybil import Document

import flask_sealed
from flask_sealed import config, errors

from .shell import REPOSITORY
from .shown import find, marks
from .snippets import EVALUATORS, LOOKED_AT, blocks, file_name

README = REPOSITORY / "README.rst"
DOCS = REPOSITORY / "docs"
PROTOCOL = DOCS / "protocol.rst"
REVIEW = DOCS / "security-review.rst"
THREATS = DOCS / "threats.rst"
SECURITY = DOCS / "security.rst"
PAGES = [*sorted(REPOSITORY.glob("*.rst")), *sorted(DOCS.glob("*.rst"))]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_every_block_has_a_language_that_is_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    directives = re.findall(r"(?m)^[ \t]*\.\. ([\w-]+)::[ \t]*(.*)$", text)
    # What a page may show code with.
    assert not {"code", "sourcecode", "literalinclude", "parsed-literal"} & {
        name for name, _ in directives
    }
    languages = [language for name, language in directives if name == "code-block"]
    assert set(languages) <= EVALUATORS.keys() | LOOKED_AT
    document = Document(text, str(page))
    shown = [one for one in blocks(document) if one.lexemes["directive"] == "code-block"]
    assert [one.lexemes["arguments"] for one in shown] == languages


@every_page
def test_there_are_no_other_literal_blocks(page: Path) -> None:
    for line in page.read_text(encoding="utf-8").splitlines():
        assert not (line.endswith("::") and not line.lstrip().startswith(".. ")), line
        assert not line.lstrip().startswith(">>>"), line


@every_page
def test_every_file_that_is_shown_is_used(page: Path) -> None:
    found = list(blocks(Document(page.read_text(encoding="utf-8"), str(page))))
    for index, block in enumerate(found):
        name = Path(file_name(block))
        if name.name:
            later = "\n".join(str(one.lexemes["source"]) for one in found[index + 1 :])
            assert name.stem in later or (name.name == "app.py" and "$ flask " in later), name


@pytest.mark.parametrize("page", sorted(REPOSITORY.glob("*.rst")), ids=lambda page: page.name)
def test_pages_of_the_repository_are_plain_restructuredtext(page: Path) -> None:
    docutils = pytest.importorskip("docutils.core")
    # A fault raises.
    settings = {"halt_level": 2, "report_level": 2, "file_insertion_enabled": False}
    text = page.read_text(encoding="utf-8")
    html = docutils.publish_string(text, writer="html5", settings_overrides=settings)
    assert b"<h1" in html


@every_page
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"`[^`]+ <([^>]+)>`__?", page.read_text(encoding="utf-8")):
        assert re.match(r"https?:", link) or (page.parent / link).is_file(), link


def test_the_readme_leads_to_the_pages() -> None:
    links = re.findall(r"`[^`]+ <(docs/[^>]+)>`_", README.read_text(encoding="utf-8"))
    assert {"docs/fit.rst", "docs/tutorial.rst", "docs/threats.rst"} <= set(links)


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^    ([a-z0-9-]+)$", index))
    assert listed == {page.stem for page in DOCS.glob("*.rst")} - {"index"}


def test_every_public_name_is_documented() -> None:
    page = (DOCS / "api.rst").read_text(encoding="utf-8")
    documented = re.findall(
        r"\.\. auto(?:class|function|exception):: (?:flask_sealed\.)?(\w+)", page
    )
    public = [name for name, thing in vars(flask_sealed).items() if callable(thing)]
    assert sorted(documented) == sorted(public)


def test_every_setting_is_documented() -> None:
    page = (DOCS / "configuration.rst").read_text(encoding="utf-8")
    documented = re.findall(r"    \*   - ``(SEALED_\w+)``", page)
    assert sorted(documented) == sorted(config._KNOWN)


# Nothing in Level 3 is fresh or stale, or belongs to a session.
_NOT_LEVEL3 = {
    errors.Replayed,
    errors.SessionUnknown,
    errors.Stale,
    errors.Unavailable,
}


def all_refusals() -> set[type[errors.Refusal]]:
    kinds = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    return {kind for kind in kinds if issubclass(kind, errors.Refusal) and hasattr(kind, "code")}


def documented_refusals(page: str) -> list[tuple[str, str]]:
    return re.findall(r"    \*   - ``urn:flask-sealed:([\w-]+)``\n        - (\d+)\n", page)


def test_every_refusal_is_documented() -> None:
    page = (DOCS / "protocol-level3.rst").read_text(encoding="utf-8")
    expected = {(kind.code, str(kind.status)) for kind in all_refusals() - _NOT_LEVEL3}
    assert sorted(documented_refusals(page)) == sorted(expected)


def test_the_protocol_has_every_refusal_once() -> None:
    documented = documented_refusals(PROTOCOL.read_text(encoding="utf-8"))
    expected = {(kind.code, str(kind.status)) for kind in all_refusals()}
    # Only views refuse tokens.
    assert sorted(documented) == sorted(expected | {("token-unbound", "401")})


def test_rows_of_what_must_be_rejected_are_numbered_and_have_a_refusal() -> None:
    page = PROTOCOL.read_text(encoding="utf-8")
    numbers = re.findall(r"    \*   - R(\d+)\n", page)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    ends = re.findall(
        r"        - (?:server|client|both)\n        - (``[\w-]+``|no answer)\n", page
    )
    assert len(ends) == len(numbers)
    codes = {f"``{code}``" for code, _ in documented_refusals(page)}
    assert set(ends) == codes | {"no answer"}


def test_every_row_of_what_must_be_rejected_has_its_place_in_the_order_of_checks() -> None:
    page = PROTOCOL.read_text(encoding="utf-8")
    order = page.partition("Order of checks\n---")[2].partition(".. _must-reject:")[0]
    places = re.findall(r"R(\d+)(?:\u2013R(\d+))?", order)
    placed = {
        number for first, last in places for number in range(int(first), int(last or first) + 1)
    }
    rows = re.findall(r"    \*   - R(\d+)\n", page)
    assert placed == {int(row) for row in rows}


@every_page
def test_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in [*marks(text), *re.findall(r"``tests/([\w/]+\.\w+::[^`]+)``", text)]:
        path, test = find(target)
        # A page is named by itself alone.
        assert test or path == f"docs/{page.name}"


@pytest.mark.parametrize(
    "target",
    [
        "test_session.py::test_nothing",
        "test_nothing.py::test_a_session",
        "test_session.py",
        "js/client.test.mjs::nothing",
        "test_session.py::caller",
        "docs/nothing.rst",
    ],
)
def test_tests_that_do_not_exist_are_not_found(target: str) -> None:
    with pytest.raises(LookupError):
        find(target)


# What says nothing of faults and attackers, or is said elsewhere.
_NO_CLAIMS = {"api", "benchmarks", "changes", "index"}


def test_every_page_names_tests() -> None:
    without = {page.stem for page in DOCS.glob("*.rst") if not marks(page.read_text("utf-8"))}
    assert without <= _NO_CLAIMS


@pytest.mark.parametrize(
    ("page", "least"), [(THREATS, 40), (SECURITY, 30)], ids=lambda value: str(value)
)
def test_every_threat_that_is_answered_names_its_test(page: Path, least: int) -> None:
    rows = re.findall(
        r"(?ms)^    \*   - (?!Threat)(.+?)\n        - (.+?)\n        - (.+?)\n(?=    \*|\n|\Z)",
        page.read_text(encoding="utf-8"),
    )
    assert len(rows) >= least
    for threat, answer, how in rows:
        assert answer == "No" or ":test:" in how or "``tests/" in how, threat


def test_the_review_names_code_that_exists() -> None:
    page = REVIEW.read_text(encoding="utf-8")
    things = re.findall(r"``((?!flask_sealed)[a-z]\w*)\.([\w.]+)``", page)
    for module, name in things:
        package = "flask_sealed" if module == "errors" else "flask_sealed.protocol"
        reduce(getattr, name.split("."), importlib.import_module(f"{package}.{module}"))


def test_no_page_names_an_address_that_does_not_exist() -> None:
    for page in PAGES:
        for url in re.findall(r"https?://[\w.:-]+", page.read_text(encoding="utf-8")):
            # RFC 6761 keeps `.example` for this.
            assert re.fullmatch(
                r"http://127\.0\.0\.1:5000|https://[\w@.-]+\.example|https://key", url
            )
