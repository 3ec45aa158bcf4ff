"""The target is compared with what the application routes on, the same behind every server."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

import pytest

from flask_sealed.protocol.messages import Request, target

from ..driver import SealedCaller
from .conftest import Service

# What stands in the request line.
LINES = [
    "/what",
    "/what/a/",
    "/what/a/b",
    "/what/caf%C3%A9",
    "/what/caf%c3%a9",
    "/what/%E6%97%A5%E6%9C%AC/%F0%9F%94%92",
    "/what/%7euser/%41%2d%5F",
    "/what/a%20b",
    "/what/a+b",
    "/what/(a)!*'$&,;=:@",
    "/what/a%2Fb",
    "/what/a%3Fb",
    "/what/a%3Fb?c=1",
    "/what/a%23b",
    "/what/a%25b",
    "/what/a%252Fb",
    "/what?",
    "/what?a=1&b=%41+%20&a=2",
    "/what?a=/../b//c?d",
    "/what?caf%C3%A9",
]
# What servers and proxies may change on the way; then it is refused.
CHANGED = [
    "//what",
    "//what/a",
    "/what//a",
    "/what/a//",
    "/what/./a",
    "/what/b/../a",
    "/what/%2E%2E/what/a",
    "/what/..",
    "/what/%2F/a",
]


@pytest.fixture(scope="module")
def caller(service: Service) -> SealedCaller:
    return service.caller()


def sealed_target(line: str) -> str:
    path, _, query = line.partition("?")
    return target(unquote(path), query.encode())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_view_has_what_was_sealed(caller: SealedCaller, method: str) -> None:
    for line in LINES:
        reply = caller.request(method, sealed_target(line), line=line)
        path, _, query = line.partition("?")
        assert reply.status == 200, line
        seen = reply.json()
        assert (seen["path"], seen["query"]) == (unquote(path), query), line
        assert seen["method"] == method


@pytest.mark.parametrize("line", CHANGED)
def test_what_is_changed_on_the_way_is_refused(service: Service, line: str) -> None:
    caller = service.caller()
    attempt = caller.prepare(Request(method="GET", target=sealed_target(line)))
    outer = caller.deliver(replace(attempt.send, target=line))
    if outer.status == 200:
        # Werkzeug itself makes one slash of those that a path starts with.
        assert attempt.json(outer)["path"] == "/" + unquote(line).lstrip("/")
    else:
        # Refused, or led to where the client would go with a seal of its own, or no such view.
        assert outer.status in {308, 400, 404}


def test_the_path_is_not_read_twice(service: Service) -> None:
    """A path that is decoded twice, or a query that has been in the path, is another target."""
    caller = service.caller()
    for sealed, line in [
        ("/what/a%252Fb", "/what/a%2Fb"),
        ("/what/a%3Fb", "/what/a?b"),
        ("/what/a", "/what/a?b"),
        ("/what/a?b", "/what/a"),
        ("/what/a?b=1", "/what/a?b=%31"),
        ("/what/a", "/what/a%00"),
        ("/what/a", "/what/b"),
        ("/what/a", "/what/%FF"),
        ("/what/A", "/what/a"),
        ("/what/a", "/what/a/"),
        ("/what/a", "/what/a;b"),
    ]:
        attempt = caller.prepare(Request(method="GET", target=sealed))
        outer = caller.deliver(replace(attempt.send, target=line))
        assert outer.status == 400, (sealed, line)


def test_another_method_is_refused(service: Service) -> None:
    caller = service.caller()
    attempt = caller.prepare(Request(method="GET", target="/what"))
    for method in ("POST", "DELETE", "PATCH"):
        assert caller.deliver(replace(attempt.send, method=method)).status == 400


def test_forwarded_headers_change_nothing(service: Service) -> None:
    caller = service.caller()
    forged = [
        ("x-forwarded-prefix", "/elsewhere"),
        ("x-forwarded-host", "attacker.example"),
        ("x-original-url", "/what/b"),
        ("x-rewrite-url", "/what/b"),
        ("x-http-method-override", "DELETE"),
    ]
    seen = caller.get("/what/a", outer=forged).json()
    assert (seen["path"], seen["method"]) == ("/what/a", "GET")


def test_a_hidden_query(service: Service) -> None:
    caller = service.caller()
    seen = caller.get("/what", query="secret=1&b=%41").json()
    assert seen["args"] == {"secret": ["1"], "b": ["A"]}
    assert "secret" not in caller.sent[-1].target
    attempt = caller.prepare(Request(method="GET", target="/what", query="secret=1"))
    assert caller.deliver(replace(attempt.send, target="/what?secret=2")).status == 400


def test_a_body(service: Service) -> None:
    value = {"text": "grün 日本 🔒" * 3000}
    assert service.caller().post("/echo", json=value).json() == value


def test_head_and_delete(service: Service) -> None:
    caller = service.caller()
    assert caller.request("HEAD", "/what/a").status == 200
    assert caller.raw.read() == b""
    assert caller.request("DELETE", "/what/a").json()["method"] == "DELETE"
