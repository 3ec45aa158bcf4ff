from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sealed.errors import Malformed
from flask_sealed.protocol.messages import (
    REQUEST_HEADERS,
    Headers,
    Request,
    Response,
    check_allowed,
    is_transport,
    read_headers,
    target,
)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/", b"", "/"),
        ("/a/b", b"c=d&e", "/a/b?c=d&e"),
        ("/a?b", b"", "/a%3Fb"),
        ("/a", b"b", "/a?b"),
        ("/ä 100%", b"", "/%C3%A4%20100%25"),
        ("/a-._~b", b"%2f", "/a-._~b?%2f"),
        ("//a", b"?", "//a??"),
    ],
)
def test_targets(path: str, query: bytes, expected: str) -> None:
    assert target(path, query) == expected
    Request(method="GET", target=expected)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/\udcff", b""),
        ("/", b"\xff"),
        ("", b""),
        ("", b"a"),
        ("a", b""),
        ("/", b"a b"),
        ("*", b""),
    ],
)
def test_what_is_no_target_is_malformed(path: str, query: bytes) -> None:
    with pytest.raises(Malformed):
        target(path, query)


@given(st.text(st.characters(codec="utf-8")), st.text("!~/?%a"))
def test_a_target_names_one_resource(path: str, query: str) -> None:
    resource = target(f"/{path}", query.encode())
    assert resource.partition("?")[2] == query
    assert ("?" in resource) is bool(query)
    assert target(f"/{path}/", query.encode()) != resource


@pytest.mark.parametrize(
    "change",
    [
        {"method": ""},
        {"method": "GET /"},
        {"target": ""},
        {"target": "a"},
        {"target": "/ä"},
        {"target": "/a b"},
        {"target": "/\n"},
        {"query": ""},
        {"query": "a b"},
        {"query": "ä"},
        {"query": "a", "target": "/?b"},
        {"content_type": ""},
        {"content_type": "text/html\r\nx: y"},
        {"content_type": "x" * 257},
        {"op": bytes(15)},
        {"op": bytes(17)},
        {"headers": (("accept", "a"), ("accept", "b"))},
    ],
)
def test_what_is_no_request(change: dict[str, Any]) -> None:
    right: dict[str, Any] = {"method": "POST", "target": "/a", "content_type": "text/html"}
    Request(**right)
    with pytest.raises(ValueError):
        Request(**right | change)


def test_what_is_a_request() -> None:
    headers: Headers = (("accept", "\tä \xff!"), ("x-csrf-token", ""))
    query, kind = "!~?", "x" * 256
    Request(method="M-SEARCH_1", target="/?!~", headers=headers, content_type=kind, op=bytes(16))
    Request(method="GET", target="/", query=query)


@pytest.mark.parametrize(
    "pair",
    [
        ("Upper", "x"),
        ("a b", "x"),
        ("a_b", "x"),
        ("a:b", "x"),
        ("", "x"),
        ("a", "x\r\nb: y"),
        ("a", "\0"),
        ("a\0b", "x"),
        ("a", "\x7f"),
        ("a", "\u0100"),
        ("a", "\ud800"),
        ("é", "x"),
    ],
)
def test_what_is_no_header(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        Request(method="GET", target="/", headers=(pair,))
    with pytest.raises(ValueError):
        Response(status=200, headers=(pair,))


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 600])
def test_what_is_no_status(status: int) -> None:
    with pytest.raises(ValueError):
        Response(status=status)


@pytest.mark.parametrize(
    "name", ["set-cookie", "access-control-allow-origin", "access-control-", "date", "via"]
)
def test_headers_that_speak_to_browsers_and_proxies_do_not_travel_sealed(name: str) -> None:
    assert is_transport(name)
    with pytest.raises(ValueError):
        Response(status=200, headers=(("etag", "x"), (name, "x")))


def test_a_responses_headers_may_stand_twice() -> None:
    headers = (("link", "a"), ("link", "b"), ("cache-control", "max-age=1"))
    assert Response(status=599, headers=headers).headers == headers
    assert not any(is_transport(name) for name, _ in headers)


@pytest.mark.parametrize("name", ["cookie", "host", "x-forwarded-for", "content-length", "range"])
def test_only_the_closed_list_of_a_requests_headers_travels_sealed(name: str) -> None:
    request = Request(method="GET", target="/", headers=(("accept", "x"), (name, "x")))
    with pytest.raises(Malformed):
        check_allowed(request, REQUEST_HEADERS)
    check_allowed(request, REQUEST_HEADERS | {name})


@pytest.mark.parametrize("pairs", [["ab"], [["a"]], [["a", "b", "c"]], [[1, "b"]], [["a", None]]])
def test_headers_are_pairs_of_strings(pairs: list[Any]) -> None:
    with pytest.raises(ValueError):
        read_headers(pairs)
