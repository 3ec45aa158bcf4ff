"""target.json: the one form of a resource, and seals for other ones."""

from __future__ import annotations

from collections.abc import Iterator

from .halves import GIVEN, request
from .primitives import Case, file, refused, without

DESCRIPTION = """
`kind` `written`: how the resource is written whose percent-decoded path is `path`, and whose query
is `query` as it stands in the URL. `path_bytes` (hex) stands in the place of `path` where that is
no UTF-8 text, `query_bytes` in the place of `query` where that is no ASCII text.
`kind` `compared`: a request's seal that a server opens with `secret` and `audience`, for a request
that it routes on `method`, `path` and `query`.
"""
_GIVEN = {"kind": "written", "query": "", "method": "POST"}
_GIVEN |= {name: GIVEN[name] for name in ("secret", "audience")}


def target() -> Case:
    return file(DESCRIPTION, [*_written(), *_same()], [*_unwritable(), *_different()], _GIVEN)


_ALL = "".join(map(chr, range(0x21, 0x7F)))
_PATHS: dict[str, tuple[str, str, str]] = {
    "the root": ("/", "", "/"),
    "a path": ("/accounts/1", "", "/accounts/1"),
    "a path with a slash behind": ("/accounts/", "", "/accounts/"),
    "two slashes": ("/a//b", "", "/a//b"),
    "two slashes ahead": ("//a", "", "//a"),
    "dot segments": ("/a/../b/./c", "", "/a/../b/./c"),
    "all that is not encoded": (
        "/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
        "",
        "/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
    ),
    "all of ASCII that is encoded": (
        "/ !\"#$%&'()*+,:;<=>?@[\\]^`{|}",
        "",
        "/%20%21%22%23%24%25%26%27%28%29%2A%2B%2C%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E%60%7B%7C%7D",
    ),
    "controls": ("/\0\t\n\r\x1f\x7f", "", "/%00%09%0A%0D%1F%7F"),
    "beyond ASCII": ("/übersicht/€/💶", "", "/%C3%BCbersicht/%E2%82%AC/%F0%9F%92%B6"),
    "not normalized: two code points": ("/u\u0308", "", "/u%CC%88"),
    "a question mark in the path": ("/a?b", "", "/a%3Fb"),
    "a question mark in the path, and a query": ("/a?b", "c", "/a%3Fb?c"),
    "a percent sign in the path": ("/a%2Fb", "", "/a%252Fb"),
    "a query": ("/a", "b=1&c=2", "/a?b=1&c=2"),
    "an encoded query, as it is": ("/a", "b=%c3%bc+%2B", "/a?b=%c3%bc+%2B"),
    "a query of one character": ("/a", "?", "/a??"),
    "a query of all characters": (
        "/a",
        _ALL,
        f"/a?{_ALL}",
    ),
}


def _written() -> Iterator[Case]:
    for name, (path, query, text) in _PATHS.items():
        yield {**_case(name, path, query), "target": text}


def _case(name: str, path: str, query: str = "") -> Case:
    return {"name": name, "kind": "written", "path": path, "query": query}


def _unwritable() -> Iterator[Case]:
    unwritable = refused("R108")
    for name, path in {
        "empty": "",
        "a path without a slash": "accounts",
        "a URL": "https://bank.example/",
        "an asterisk": "*",
        "a space ahead": " /a",
    }.items():
        yield {**_case(name, path), **unwritable}
    for name, encoded in {
        "Latin-1": "/ü".encode("latin-1"),
        "a byte that UTF-8 never has": b"/\xff",
        "a surrogate": b"/\xed\xa0\xbd",
        "an overlong slash": b"/a\xc0\xafb",
        "a cut character": b"/\xc3",
    }.items():
        case = without(_case(f"a path in no UTF-8: {name}", ""), "path")
        yield {**case, "path_bytes": encoded.hex(), **unwritable}
    for name, query in {
        "a space": b"a b",
        "a line end": b"a\r\n",
        "a tab": b"a\tb",
        "a zero byte": b"a\0",
        "DEL": b"a\x7f",
        "UTF-8": "ü".encode(),
        "Latin-1": b"\xfc",
    }.items():
        case = without(_case(f"a query with {name}", "/a"), "query")
        yield {**case, "query_bytes": query.hex(), **unwritable}


def _compared(name: str, sealed: str, path: str, query: str = "", method: str = "POST") -> Case:
    made = request(
        name, header={"htm": method, "target": sealed, "body": None}, claims={"cty": None}
    )
    inputs = {"kind": "compared", "method": "POST", "path": path, "query": query}
    return {
        "name": name,
        **inputs,
        **{part: made[part] for part in ("secret", "audience", "seal")},
    }


def _same() -> Iterator[Case]:
    yield _compared("the resource that was sealed", "/%C3%BC?b=1", "/ü", "b=1")
    yield _compared("a question mark that was sealed as path", "/a%3Fb", "/a?b")


def _different() -> Iterator[Case]:
    resources: dict[str, tuple[str, str, str]] = {
        "another path": ("/a", "/b", ""),
        "a slash behind": ("/a", "/a/", ""),
        "two slashes in place of one": ("/a/b", "/a//b", ""),
        "a dot segment that was sealed": ("/x/../a", "/a", ""),
        "a dot segment that was not sealed": ("/a", "/x/../a", ""),
        "a query that was not sealed": ("/a", "/a", "b"),
        "a query that is missing": ("/a?b", "/a", ""),
        "another query": ("/a?b=1", "/a", "b=2"),
        "a query in another order": ("/a?b&c", "/a", "c&b"),
        "a query in digits of another case": ("/a?%c3%bc", "/a", "%C3%BC"),
        "an empty query that was sealed": ("/a?", "/a", ""),
        "a question mark of the path as start of a query": ("/a?b", "/a?b", ""),
        "a start of a query as question mark of the path": ("/a%3Fb", "/a", "b"),
        "an encoded letter": ("/%61", "/a", ""),
        "an encoded slash": ("/a%2Fb", "/a/b", ""),
        "digits in lower case": ("/%c3%bc", "/ü", ""),
        "a character that is not encoded": ("/a!", "/a!", ""),
        "encoded twice": ("/%25C3%25BC", "/ü", ""),
        "normalized: one code point": ("/%C3%BC", "/u\u0308", ""),
        "a host": ("//bank.example/a", "/a", ""),
    }
    for name, (sealed, path, query) in resources.items():
        yield {**_compared(name, sealed, path, query), **refused("R42")}
    for method in ("GET", "post"):
        other = _compared(f"{method} in place of POST", "/a", "/a", method=method)
        yield {**other, **refused("R42")}
