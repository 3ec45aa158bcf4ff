from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import create_environ, run_wsgi_app

from flask_sealed import Malformed, Refused, sealed
from flask_sealed.protocol.messages import Request
from flask_sealed.targets import Paths, mount, public_path, routed_resource

from .conftest import MakeApp, MakeCaller

LINES = ["RAW_URI", "REQUEST_URI", None]


def environ(line: str, name: str | None = "RAW_URI", **more: Any) -> dict[str, Any]:
    """What a server makes of a target in the request line."""
    path, _, query = line.partition("?")
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    info = unquote_to_bytes(path).decode("latin-1")
    made = {"PATH_INFO": info, "QUERY_STRING": query, "SCRIPT_NAME": ""}
    return made | ({} if name is None else {name: line}) | more


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(
    ("line", "resource"),
    [
        ("/", "/"),
        ("/cards", "/cards"),
        ("/cards?", "/cards"),
        ("/cards?a=%62&c=%C3", "/cards?a=%62&c=%C3"),
        ("/a%2Fb", "/a/b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%63ards", "/cards"),
        ("/a%3Fb?c", "/a%3Fb?c"),
        ("/a%25b", "/a%25b"),
        ("/a+b:c@d;e", "/a%2Bb%3Ac%40d%3Be"),
        ("http://bank.example/cards?x", "/cards?x"),
        ("http://bank.example", "/"),
    ],
)
def test_resources(line: str, resource: str, name: str | None) -> None:
    assert routed_resource(environ(line, name), ()) == resource


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("line", ["/%ff", "/a%C3", "/%C3%28", "/%ED%A0%80", "/a?\xe9", "/a?b c"])
def test_what_is_no_text_is_malformed(line: str, name: str | None) -> None:
    with pytest.raises(Malformed):
        routed_resource(environ(line, name), ())


def test_where_the_server_reads_another_path() -> None:
    for info in ("/transfers", "/x", "cards/"):
        with pytest.raises(Refused):
            routed_resource(environ("/cards", PATH_INFO=info), ())


@pytest.mark.parametrize("name", LINES)
def test_mounts(name: str | None) -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append(environ)
        start("204 No Content", [])
        return []

    mounted = DispatcherMiddleware(app, {"/api": app, "/api/v2": app})
    for line in ("/api/cards?x", "/api", "/api/", "/api/v2/cards", "/caf%C3%A9"):
        made = create_environ()
        made.pop("RAW_URI", None)
        made.pop("REQUEST_URI", None)
        run_wsgi_app(mounted, made | environ(line, name))
        assert routed_resource(seen[-1], ()) == line
    assert [mount(one) for one in seen] == ["/api", "/api", "/api", "/api/v2", ""]


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("trusted", [0, 1])
def test_a_forwarded_prefix_changes_nothing(name: str | None, trusted: int) -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append(environ)
        start("204 No Content", [])
        return []

    fixed: Any = ProxyFix(app, x_prefix=trusted)
    for prefix in ("/api", "/cards", "/", ""):
        made = create_environ(headers={"X-Forwarded-Prefix": prefix})
        made.pop("RAW_URI", None)
        made.pop("REQUEST_URI", None)
        run_wsgi_app(fixed, made | environ("/cards", name))
        try:
            assert routed_resource(seen[-1], ()) == "/cards"
        except Refused:
            # Nobody else can say where it is mounted.
            assert name is None
            assert trusted


@pytest.mark.parametrize(
    "header", ["HTTP_SCRIPT_NAME", "HTTP_X_SCRIPT_NAME", "HTTP_X_FORWARDED_PREFIX"]
)
@pytest.mark.parametrize("name", LINES)
def test_a_header_cannot_lead_a_seal_to_another_view(header: str, name: str | None) -> None:
    # What Gunicorn makes of `GET /archive/cards` with `SCRIPT_NAME: /archive`.
    mounted = {"SCRIPT_NAME": "/archive", "PATH_INFO": "/cards"}
    made = environ("/archive/cards", name, **mounted)
    assert routed_resource(made, ()) == "/archive/cards"  # set by whoever runs the server
    with pytest.raises(Refused):
        routed_resource(made | {header: "/archive"}, ())
    # Where no mount follows from it, it says nothing.
    if header == "HTTP_X_FORWARDED_PREFIX":
        assert routed_resource(made | {header: "/else"}, ()) == "/archive/cards"
    assert routed_resource(environ("/cards", name, **{header: "/x"}), ()) == "/cards"
    if name is not None:
        made = environ("/caf%C3%A9", name, **{header: "/x", "SCRIPT_NAME": "/x"})
        assert routed_resource(made, ()) == "/caf%C3%A9"


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize("line", ["/cards#/cards", "http://bank.example/cards#/cards"])
def test_a_fragment_cannot_lead_a_seal_to_another_view(line: str, name: str) -> None:
    with pytest.raises(Refused):
        routed_resource(environ(line, name, PATH_INFO="/cards"), ())
    assert routed_resource(environ("/a%23/cards", name), ()) == "/a%23/cards"


PUBLIC = (("/mounted/", "/api/"), ("/other/", "/o/"))


@pytest.mark.parametrize(
    ("line", "resource"),
    [
        ("/mounted/cards?x", "/api/cards?x"),
        ("/mounted/", "/api/"),
        ("/mounted/%C3%A9", "/api/%C3%A9"),
        ("/other/mounted/", "/o/mounted/"),
    ],
)
def test_public_paths(line: str, resource: str) -> None:
    assert routed_resource(environ(line), PUBLIC) == resource


@pytest.mark.parametrize("line", ["/", "/mounted", "/api/cards", "/Mounted/cards"])
def test_paths_that_are_not_public_are_refused(line: str) -> None:
    with pytest.raises(Refused):
        routed_resource(environ(line), PUBLIC)
    assert public_path(line, PUBLIC) is None


def test_through_an_application(make_session_app: MakeApp, make_caller: MakeCaller) -> None:
    app = make_session_app(SEALED_PUBLIC_PATHS={"/": "/api/"})
    app.add_url_rule("/cards", "cards", sealed(lambda: "4242"))
    caller = make_caller(app)
    assert caller.get("/api/cards?x", line="/cards?x").content == b"4242"
    outer, _ = caller.attempt(Request(method="GET", target="/cards"))
    assert outer.json()["type"] == "urn:flask-sealed:refused"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6)
queries = st.text(st.sampled_from("a=&%?/+3F"), max_size=4)
pairs = st.tuples(st.lists(texts, max_size=3).map("/".join), queries)
mappings: list[Paths] = [(), PUBLIC, (("/", "/api/"),)]


@given(pairs, pairs, st.sampled_from(mappings), st.sampled_from(LINES), st.booleans())
def test_what_is_routed_in_two_ways_is_never_the_same_resource(
    one: tuple[str, str],
    other: tuple[str, str],
    public: Paths,
    name: str | None,
    mounted: bool,
) -> None:
    assume(one != other)
    resources = []
    for (path, query), start in (
        (one, "/mounted/"),
        (other, "/other/" if mounted else "/mounted/"),
    ):
        made = environ(quote(start + path) + (f"?{query}" if query else ""), name)
        resources.append(routed_resource(made, public))
    assert resources[0] != resources[1]


@given(st.binary(max_size=8), st.binary(max_size=8), st.sampled_from(LINES))
def test_octets_of_paths(one: bytes, other: bytes, name: str | None) -> None:
    resources = []
    for octets in (one, other):
        try:
            resources.append(routed_resource(environ("/" + quote(octets), name), ()))
        except Malformed:
            with pytest.raises(UnicodeError):
                octets.decode()
            return
    assert (resources[0] == resources[1]) == (one == other)
