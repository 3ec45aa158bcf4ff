"""httpx through :mod:`flask_sealed.clients.httpx`, against a service and those between."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from flask import Flask

from flask_sealed import ConfigError, GivenUp, Malformed, Refused, SealedError, Untrusted
from flask_sealed.clients import Operation, binding_key
from flask_sealed.clients.httpx import AsyncSealedTransport, SealedTransport
from flask_sealed.protocol.keys import KeyRing
from flask_sealed.protocol.rotation import new_ring

from ..conftest import AUDIENCE, PSK, MakeApp
from .conftest import Done, add_views

Tamper = Callable[[httpx.Request, httpx.Response], httpx.Response]
MakeClient = Callable[..., httpx.Client]
SECRET = "42424242"
UNKNOWN = b'{"type":"urn:flask-sealed:session-unknown","title":"","status":401,"detail":""}'


class Middle(httpx.BaseTransport):
    """Who is between: sees all, and may answer in the service's place."""

    def __init__(self, app: Flask) -> None:
        self._inner = httpx.WSGITransport(app, raise_app_exceptions=False)
        self.seen: list[httpx.Request] = []
        self.came: list[httpx.Response] = []
        self.tamper: Tamper | None = None
        self.closed = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        response = self._inner.handle_request(whole(request))
        response.read()
        response = self._copy(response, response.content)
        self.came.append(response)
        return response if self.tamper is None else self.tamper(request, response)

    def _copy(self, response: httpx.Response, content: bytes) -> httpx.Response:
        return httpx.Response(
            response.status_code, headers=response.headers.raw, stream=Body(content, self)
        )

    def close(self) -> None:
        self.closed += 100

    @property
    def targets(self) -> list[str]:
        return [request.url.raw_path.decode() for request in self.seen]

    def saw(self, text: str) -> bool:
        """Whether a text was on the wire."""
        shown = "".join(
            f"{request.url}{request.headers.raw!r}{request.content!r}" for request in self.seen
        )
        return text in shown


def whole(request: httpx.Request) -> httpx.Request:
    """The request with its length: httpx hands applications no other bodies."""
    if "transfer-encoding" not in request.headers:
        return request
    headers = [pair for pair in request.headers.raw if pair[0].lower() != b"transfer-encoding"]
    headers.append((b"Content-Length", b"%d" % len(request.content)))
    return httpx.Request(request.method, request.url, headers=headers, content=request.content)


class Body(httpx.SyncByteStream):
    """A body that comes in pieces, and tells when it is closed."""

    def __init__(self, content: bytes, middle: Middle | None = None) -> None:
        self.content = content
        self._middle = middle

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self.content), 1000):
            yield self.content[at : at + 1000]

    def close(self) -> None:
        if self._middle is not None:
            self._middle.closed += 1


@pytest.fixture
def middle(app: Flask) -> Middle:
    return Middle(app)


@pytest.fixture
def make_client(middle: Middle, options: dict[str, Any]) -> Iterator[MakeClient]:
    made: list[httpx.Client] = []

    def make(**more: Any) -> httpx.Client:
        transport = SealedTransport(transport=middle, **{**options, **more})
        made.append(httpx.Client(transport=transport, base_url=AUDIENCE))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> httpx.Client:
    return make_client()


def forged(status: int, content: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=Body(content))


def test_an_answer_looks_as_if_it_had_never_been_sealed(
    client: httpx.Client, middle: Middle
) -> None:
    response = client.post("/echo", json={"card": SECRET})
    assert (response.status_code, response.json()) == (201, {"card": SECRET})
    assert response.reason_phrase == "Created"
    headers = dict(response.headers)
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(response.content))
    assert (headers["x-own"], headers["etag"]) == ("caf\xe9", '"x"')
    assert "sealed" not in headers
    assert client.cookies["seen"] == "1"
    assert response.request.url == f"{AUDIENCE}/echo"
    assert middle.targets == ["/sealed/session", "/sealed/routes", "/echo"]
    assert not middle.saw(SECRET)
    assert SECRET.encode() not in middle.came[-1].stream.content  # type: ignore[union-attr]
    how = response.extensions["sealed"]
    assert (how.status, dict(how.headers)["content-type"]) == (201, "application/json")
    assert "sealed" in dict(how.headers)


def test_the_session_and_the_list_serve_many_requests(
    client: httpx.Client, middle: Middle
) -> None:
    sids = {client.get("/look").extensions["sealed"].sid for _ in range(3)}
    assert len(sids) == 1
    assert middle.targets == ["/sealed/session", "/sealed/routes", *["/look"] * 3]


@pytest.mark.kem
def test_headers_and_queries_travel_sealed(client: httpx.Client, middle: Middle) -> None:
    headers = {"Authorization": f"Basic {SECRET}", "Accept": "text/x", "X-Other": "shown"}
    response = client.get("/look", params={"card": SECRET}, headers=headers)
    said = response.json()
    assert (said["args"], said["accept"]) == ({"card": SECRET}, "text/x")
    assert said["authorization"] == f"Basic {SECRET}"
    assert said["kem"] is True
    assert "authorization" not in middle.seen[-1].headers
    assert middle.seen[-1].headers["x-other"] == "shown"
    assert not middle.saw(SECRET)
    # A handshake says nothing that is not its own.
    assert "x-other" not in middle.seen[0].headers
    assert "x-other" not in middle.seen[1].headers


def test_a_query_may_be_shown(make_client: MakeClient, middle: Middle) -> None:
    client = make_client(hide_query=False)
    assert client.get("/look?a=1").json()["args"] == {"a": "1"}
    assert middle.targets[-1] == "/look?a=1"
    hidden = client.get("/look?a=2", extensions={"seal_query": True})
    assert hidden.json()["args"] == {"a": "2"}
    assert middle.targets[-1] == "/look"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("hide", [True, False])
def test_redirects_are_sealed_anew(
    make_client: MakeClient, middle: Middle, status: int, hide: bool
) -> None:
    client = make_client(hide_query=hide)
    response = client.get(
        f"/go/{status}",
        params={"to": f"/look?card={SECRET}"},
        follow_redirects=True,
        extensions={"seal_query": True},
    )
    assert response.json()["args"] == {"card": SECRET}
    assert [one.status_code for one in response.history] == [status]
    assert middle.came[-2].status_code == 200
    assert not middle.saw(SECRET)


def test_the_query_of_a_redirect_came_sealed_and_stays_so(
    make_client: MakeClient, middle: Middle, app: Flask
) -> None:
    client = make_client(hide_query=False)
    body = {"to": f"/look?card={SECRET}"}
    app.view_functions["clear"] = app.view_functions["go"]
    response = client.post(f"/go/303?to={body['to']}", follow_redirects=True)
    assert response.json()["args"] == {"card": SECRET}
    # Its own query was shown, and so is the next one.
    assert middle.targets[-1] == f"/look?card={SECRET}"
    request = client.build_request("GET", "/go/302?to=/look?x=1")
    request.extensions["seal_query"] = True
    assert client.send(request, follow_redirects=True).json()["args"] == {"x": "1"}
    assert middle.targets[-1] == "/look"


@pytest.mark.parametrize("status", [302, 307])
def test_a_sealed_redirect_does_not_lead_out_in_clear(
    client: httpx.Client, middle: Middle, done: Done, status: int
) -> None:
    query = {"to": f"/clear?card={SECRET}"}
    with pytest.raises(Untrusted):
        client.post(f"/go/{status}", params=query, content=SECRET.encode(), follow_redirects=True)
    assert not middle.saw(SECRET)
    # A view that is taken once is so after a redirect, too.
    assert client.get("/go/302?to=/once", follow_redirects=True).status_code == 200
    assert client.get("/clear").status_code == 200


def test_a_redirect_that_keeps_its_method_is_another_operation(
    client: httpx.Client, done: Done
) -> None:
    response = client.post(
        "/go/307?to=/echo",
        content=b"x",
        headers={"content-type": "text/plain"},
        follow_redirects=True,
        extensions={"seal_operation": Operation()},
    )
    assert (response.status_code, response.content) == (201, b"x")
    assert done == ["go", b"x"]


def test_a_redirect_to_another_origin_ends_here(client: httpx.Client, middle: Middle) -> None:
    ask = {
        "url": "/go/302?to=https://thief.example/look",
        "headers": {"authorization": f"Bearer {SECRET}"},
    }
    with pytest.raises(ConfigError):
        client.get(**ask, follow_redirects=True)  # type: ignore[arg-type]
    assert {request.url.host for request in middle.seen} == {"bank.example"}
    assert client.get(**ask).status_code == 302  # type: ignore[arg-type]


def test_other_origins_in_clear_where_that_is_said(
    make_client: MakeClient, middle: Middle
) -> None:
    client = make_client(others="clear")
    response = client.get(
        "/go/302?to=https://other.example/clear",
        headers={"authorization": f"Bearer {SECRET}"},
        follow_redirects=True,
    )
    assert response.json()["binding"] is None
    assert middle.seen[-1].url.host == "other.example"
    assert not middle.saw(SECRET)
    assert "sealed" not in middle.seen[-1].headers


@pytest.mark.parametrize(
    "url",
    ["http://bank.example/look", "https://bank.example:444/look", "https://x.bank.example/look"],
)
def test_an_origin_is_scheme_host_and_port(client: httpx.Client, middle: Middle, url: str) -> None:
    with pytest.raises(ConfigError):
        client.get(url)
    assert middle.seen == []
    assert client.get("https://BANK.example:443/look").status_code == 200


def test_views_that_are_not_sealed(client: httpx.Client, middle: Middle) -> None:
    assert client.post("/clear?x=1", content=b"open").json() == {"binding": None, "body": "open"}
    assert "sealed" not in middle.seen[-1].headers
    assert middle.targets[-1] == "/clear?x=1"
    proved = client.post("/clear", content=b"open", headers={"authorization": "Bearer x"})
    assert proved.json() == {"binding": client.get("/look").json()["binding"], "body": "open"}
    assert client.get("/nowhere").status_code == 404
    assert client.request("OPTIONS", "/echo").status_code == 200
    assert "sealed" not in middle.seen[-1].headers


def test_a_proof_may_go_with_other_headers(make_client: MakeClient) -> None:
    client = make_client(prove_with=["Cookie"])
    assert client.get("/clear").json()["binding"] is None
    assert client.get("/clear", headers={"cookie": "token=x"}).json()["binding"]


def test_a_pre_shared_key(make_client: MakeClient, ring: KeyRing, middle: Middle) -> None:
    secret = next(key.material for key in ring.keys if key.kid == PSK)
    client = make_client(psk=(PSK, secret), pins=None)
    # The time is not known yet, and the proof of an unsafe request must not be too late.
    proved = client.post("/clear", headers={"authorization": "Bearer x"})
    assert proved.json()["binding"] == f"psk:{PSK}"
    response = client.post("/echo", json={"card": SECRET})
    assert response.json() == {"card": SECRET}
    assert response.extensions["sealed"].sid is None
    assert "/sealed/session" not in middle.targets
    assert not middle.saw(SECRET)


def test_streams_both_ways(client: httpx.Client, middle: Middle) -> None:
    pieces = [b"4242" * 30_000, b"", b"x"]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    response = client.post("/digest", content=(piece for piece in pieces))
    assert response.json() == {"size": 120_001, "sha256": digest}
    assert not middle.saw(SECRET)
    with client.stream("GET", "/pieces/300") as response:
        pieces = list(response.iter_bytes())
        middle_of_it = middle.closed
    assert b"".join(pieces) == b"".join(b"%04d" % n * 250 for n in range(300))
    assert len(pieces) > 3
    assert middle.closed > middle_of_it or middle_of_it >= len(middle.seen)


def test_files_and_long_bodies_go_as_records(client: httpx.Client, middle: Middle) -> None:
    files = {"one": io.BytesIO(b"4242" * 50_000), "two": io.BytesIO(b"x")}
    assert client.post("/form", files=files).json() == {"one": 200_000, "two": 1}
    assert middle.seen[-1].headers["content-type"] == "application/vnd.flask-sealed.records"
    assert not middle.saw(SECRET)
    long = bytes(1_500_000)
    assert client.post("/digest", content=long).json()["size"] == len(long)
    assert middle.seen[-1].headers["content-type"] == "application/vnd.flask-sealed.records"


def test_head_empty_and_errors(client: httpx.Client, middle: Middle) -> None:
    response = client.head("/look")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0
    assert client.get("/empty").status_code == 204
    assert middle.came[-1].status_code == 200
    assert client.post("/go/303").status_code == 400
    assert middle.came[-1].headers["sealed"]


def test_a_sealed_content_encoding_is_the_views_own(
    make_session_app: MakeApp, options: dict[str, Any]
) -> None:
    from flask import Response

    from flask_sealed import sealed

    app = make_session_app()

    @app.route("/packed", methods=["GET", "POST"])
    @sealed
    def packed() -> Response:
        headers = {"content-encoding": "gzip"}
        return Response(gzip.compress(b"x" * 5000), headers=headers)

    middle = Middle(app)

    def pack(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        content = gzip.compress(response.read())
        headers = {**response.headers, "content-encoding": "gzip"}
        headers["content-length"] = str(len(content))
        return httpx.Response(response.status_code, headers=headers, stream=Body(content))

    middle.tamper = pack
    transport = SealedTransport(transport=middle, **options)
    with httpx.Client(transport=transport, base_url=AUDIENCE) as client:
        assert client.get("/packed").content == b"x" * 5000
        with pytest.raises(ValueError):
            client.post("/packed", headers={"content-encoding": "gzip"}, content=b"")
        assert client.get("/packed").headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (200, b'{"card": "1"}', {}),
        (204, b"", {}),
        (302, b"", {"location": "https://thief.example/"}),
        (500, b"oops", {}),
        (409, b'{"type":"urn:flask-sealed:replayed","title":"","status":409,"detail":""}', {}),
        (200, b"", {"sealed": "x"}),
    ],
)
@pytest.mark.parametrize("path", ["/look", "/sealed/session", "/sealed/routes"])
def test_an_answer_in_clear_is_refused(
    client: httpx.Client,
    middle: Middle,
    path: str,
    status: int,
    content: bytes,
    headers: dict[str, str],
) -> None:
    if path == "/look":
        client.get("/look")

    def tamper(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        return forged(status, content, **headers) if request.url.path == path else response

    middle.tamper = tamper
    with pytest.raises((Untrusted, Malformed)):
        client.get("/look", follow_redirects=True)
    assert middle.seen[-1].url.host == "bank.example"


def test_a_forged_refusal_is_told_as_one(client: httpx.Client, middle: Middle) -> None:
    client.get("/look")
    text = b'{"type":"urn:flask-sealed:unavailable","title":"","status":503,"detail":""}'
    middle.tamper = lambda request, response: forged(503, text)
    with pytest.raises(Untrusted) as caught:
        client.post("/echo", content=b"x")
    assert (caught.value.status, caught.value.code) == (503, "unavailable")


def test_swapped_answers_are_refused(client: httpx.Client, middle: Middle) -> None:
    client.get("/look?a=1")
    earlier = middle.came[-1]
    middle.tamper = lambda request, response: earlier
    with pytest.raises(Refused):
        client.get("/look?a=2")


def test_a_changed_status_says_nothing(client: httpx.Client, middle: Middle) -> None:
    def tamper(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        return httpx.Response(
            418 if request.url.path == "/look" else response.status_code,
            headers=[*response.headers.raw, (b"x-own", b"forged"), (b"location", b"/x")],
            stream=response.stream,
        )

    middle.tamper = tamper
    response = client.get("/look")
    assert response.status_code == 200
    assert not {"x-own", "location"} & set(response.headers)


@pytest.mark.parametrize("path", ["/sealed/session", "/sealed/routes"])
def test_no_list_no_request(client: httpx.Client, middle: Middle, path: str) -> None:
    """A forged list would lead what has to be sealed out in clear."""

    def tamper(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path == path:
            return forged(200, b'{"routes": []}')
        return response

    middle.tamper = tamper
    with pytest.raises(SealedError):
        client.post("/echo", content=SECRET.encode())
    assert not middle.saw(SECRET)
    middle.tamper = None
    assert client.post("/echo", content=SECRET.encode()).status_code == 201


def test_wrong_pins(make_client: MakeClient, middle: Middle) -> None:
    with pytest.raises(Untrusted):
        make_client(pins=[bytes(range(32))]).post("/echo", content=SECRET.encode())
    assert middle.targets == ["/sealed/session"]


def test_another_server_with_keys_of_its_own(
    make_client: MakeClient, middle: Middle, make_session_app: MakeApp
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    keys = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ring = new_ring(*keys, now=int(time.time()), random=os.urandom)
    thief = make_session_app(SEALED_KEYRING=ring.to_json().decode())
    add_views(thief, [])
    other = httpx.WSGITransport(thief)
    middle.tamper = lambda request, response: other.handle_request(request)
    with pytest.raises((Untrusted, Refused)):
        make_client().post("/echo", content=SECRET.encode())
    assert make_client(pins=None, unpinned=True).get("/look").status_code == 200


@pytest.mark.parametrize(
    ("path", "sealed"),
    [
        ("/users/ada/card", True),
        ("/users/a%2Fb/card", True),
        ("/users/%2e%2e%2fx/card", None),
        ("/users//card", True),
        ("/users/ada/card/", True),
        ("//users/ada/card", True),
        ("/users/ada%2Fcard", True),
        ("/users/ada/cards", False),
        ("/users/nobody/card", False),
        ("/users/nobody/card/", True),
        ("/users//nobody/card", True),
        ("/users/%6eobody/card", True),
        ("/users/caf%c3%a9/card", True),
        ("/users/a;b=c/card", True),
    ],
)
def test_in_doubt_a_request_is_sealed(
    client: httpx.Client, middle: Middle, path: str, sealed: bool | None
) -> None:
    client.get("/look")
    try:
        client.post(f"{AUDIENCE}{path}", content=SECRET.encode())
    except (Untrusted, ValueError):
        assert sealed is not False
    assert middle.saw(SECRET) is (sealed is False)


def test_what_the_caller_says_of_a_route(client: httpx.Client, middle: Middle) -> None:
    with pytest.raises(Untrusted):
        client.get("/clear", extensions={"sealed": True})
    assert client.get("/look", extensions={"sealed": False}).status_code == 400
    # It is not said of where a redirect leads.
    response = client.get("/lost", extensions={"sealed": False}, follow_redirects=True)
    assert response.json()["args"] == {"a": "1"}


def test_level3_views_need_another_client(
    make_session_app: MakeApp, options: dict[str, Any]
) -> None:
    from flask_sealed import sealed

    app = make_session_app(SEALED_LEVEL3_KEY=os.urandom(32).hex())

    @app.post("/old")
    @sealed(profile="level3")
    def old() -> Any:
        return {}

    middle = Middle(app)
    transport = SealedTransport(transport=middle, **options)
    client = httpx.Client(transport=transport, base_url=AUDIENCE)
    with client, pytest.raises(ConfigError):
        client.post("/old", content=SECRET.encode())
    assert not middle.saw(SECRET)


def test_views_that_are_taken_once(client: httpx.Client, done: Done) -> None:
    operation = Operation()
    for status in (200, 409):
        response = client.get("/once", extensions={"seal_operation": operation})
        assert response.status_code == status
    assert response.json()["type"] == "urn:flask-sealed:replayed"
    assert client.get("/once").status_code == 200
    assert done == ["once", "once"]


def test_an_operation_after_a_lost_answer(
    client: httpx.Client, middle: Middle, done: Done
) -> None:
    client.get("/look")

    def lose(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        raise httpx.ReadError("lost", request=request)

    middle.tamper = lose
    operation = Operation()
    again = {"content": b"x", "extensions": {"seal_operation": operation}}
    with pytest.raises(httpx.ReadError):
        client.post("/echo", **again)  # type: ignore[arg-type]
    middle.tamper = None
    assert client.post("/echo", **again).status_code == 409  # type: ignore[arg-type]
    assert done == [b"x"]
    attempts = operation._attempts
    attempts.update({key: (op, then - 121) for key, (op, then) in attempts.items()})
    with pytest.raises(GivenUp):
        client.post("/echo", **again)  # type: ignore[arg-type]


@pytest.fixture
def forget(app: Flask, make_session_app: MakeApp, done: Done) -> Callable[[Middle], None]:
    """Puts a server in the place of the first, with another ticket key and the same identity."""

    def forget(middle: Middle) -> None:
        ring = app.extensions["sealed"].settings.keyring.ring()
        identities = [key for key in ring.keys if key.purpose == "identity"]
        fresh = new_ring(
            *(key.material for key in identities),
            now=int(time.time()),
            random=os.urandom,
        )
        new = make_session_app(SEALED_KEYRING=fresh.to_json().decode())
        add_views(new, done)
        middle._inner = httpx.WSGITransport(new)

    return forget


def test_a_session_that_the_server_does_not_know_any_more(
    client: httpx.Client, middle: Middle, done: Done, forget: Callable[[Middle], None]
) -> None:
    client.get("/look")
    forget(middle)
    middle.seen.clear()
    assert client.post("/echo", content=b"x").status_code == 201
    assert middle.targets == ["/echo", "/sealed/session", "/echo"]
    assert done == [b"x"]
    client.get("/look")
    assert middle.targets[3:] == ["/sealed/routes", "/look"]


def test_a_proof_in_a_session_that_is_unknown(
    client: httpx.Client, middle: Middle, forget: Callable[[Middle], None]
) -> None:
    client.get("/look")
    forget(middle)
    proved = client.post("/clear", content=b"x", headers={"authorization": "Bearer x"})
    assert proved.json()["binding"]
    for text in (UNKNOWN, b'{"type":"urn:flask-sealed:refused"}', b"no"):
        answer = {"content_type": "application/problem+json"}
        headers = {name.replace("_", "-"): value for name, value in answer.items()}
        middle.tamper = lambda request, response, text=text, headers=headers: (
            forged(401, text, **headers) if request.url.path == "/clear" else response
        )
        response = client.get("/clear", headers={"authorization": "Bearer x"})
        assert (response.status_code, response.content) == (401, text)
        assert response.is_closed


def test_a_body_that_cannot_be_sent_twice(
    client: httpx.Client, middle: Middle, done: Done, tmp_path: Path
) -> None:
    client.get("/look")

    def lose_session(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        return forged(401, UNKNOWN) if request.url.path == "/digest" else response

    middle.tamper = lose_session
    with pytest.raises(httpx.StreamConsumed):
        client.post("/digest", content=(b"x" for _ in range(3)))
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file, pytest.raises(httpx.StreamConsumed):
        client.post("/digest", content=file)
    # httpx rewinds these itself; what comes in the end is the service's answer.
    with path.open("rb") as file, pytest.raises(Untrusted):
        client.post("/digest", files={"one": file})
    assert middle.targets.count("/digest") == 4
    assert 0 not in done


def test_a_length_that_is_wrong(client: httpx.Client, done: Done) -> None:
    headers = {"content-length": "5"}
    with pytest.raises(httpx.LocalProtocolError):
        client.post("/digest", content=iter([b"x"]), headers=headers)
    assert done == []


def test_a_cut_stream_is_no_short_one(client: httpx.Client, middle: Middle) -> None:
    def cut(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.startswith("/pieces"):
            return response
        content = response.read()[:150_000]
        return httpx.Response(200, headers=response.headers.raw, stream=Body(content, middle))

    middle.tamper = cut
    with pytest.raises(Malformed):
        client.get("/pieces/300")
    read: list[bytes] = []
    with client.stream("GET", "/pieces/300") as response, pytest.raises(Malformed):
        read.extend(response.iter_bytes())
    assert read
    closed = middle.closed
    with client.stream("GET", "/pieces/300") as response:
        next(response.iter_bytes())
    assert middle.closed > closed


def test_network_errors_stay_what_they_are(client: httpx.Client, middle: Middle) -> None:
    def fail(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        raise httpx.ConnectTimeout("late", request=request)

    middle.tamper = fail
    with pytest.raises(httpx.ConnectTimeout):
        client.get("/look")
    # What waits for a handshake is not left waiting.
    middle.tamper = None
    assert client.get("/look").status_code == 200


def test_threads_share_one_handshake(
    base: str, options: dict[str, Any], agreed: list[str]
) -> None:
    transport = SealedTransport(origin=base, **options)
    limits = {"timeout": 120}
    with httpx.Client(transport=transport, base_url=base, **limits) as client:  # type: ignore[arg-type]

        def ask(number: int) -> bool:
            response = client.post("/echo", json={"number": number})
            return bool(response.json() == {"number": number})

        with ThreadPoolExecutor(50) as pool:
            assert all(pool.map(ask, range(100)))
    assert len(agreed) == 1


def test_tasks_share_one_handshake(base: str, options: dict[str, Any], agreed: list[str]) -> None:
    async def main() -> None:
        transport = AsyncSealedTransport(origin=base, **options)
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=120) as client:

            async def ask(number: int) -> None:
                response = await client.post("/echo", json={"number": number})
                assert response.json() == {"number": number}

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(ask, number)

    anyio.run(main)
    assert len(agreed) == 1


def test_asynchronously(base: str, options: dict[str, Any], agreed: list[str]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 70_000

    async def main() -> None:
        transport = AsyncSealedTransport(origin=base, **options)
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=120) as client:
            response = await client.post("/digest", content=pieces())
            assert response.json()["size"] == 210_000
            async with client.stream("GET", "/pieces/300") as response:
                size = sum([len(piece) async for piece in response.aiter_bytes()])
            assert size == 300_000
            response = await client.get("/go/302?to=/look?a=1", follow_redirects=True)
            assert response.json()["args"] == {"a": "1"}
            response = await client.get("/clear", headers={"authorization": "Bearer x"})
            assert response.json()["binding"]
            with pytest.raises(ConfigError):
                await client.get("https://other.example/")
            assert (await client.post("/digest", content=bytes(1_500_000))).status_code == 200
            files = {"one": io.BytesIO(b"x" * 100_000)}
            assert (await client.post("/form", files=files)).json() == {"one": 100_000}

    anyio.run(main)
    assert len(agreed) == 1


def test_an_asynchronous_handshake_that_fails_lets_others_go(
    base: str, options: dict[str, Any]
) -> None:
    async def main() -> None:
        transport = AsyncSealedTransport(origin="http://127.0.0.1:1", **options)
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(2):
                with anyio.fail_after(60), pytest.raises(httpx.ConnectError):
                    await client.get("http://127.0.0.1:1/look")

    anyio.run(main)


def test_a_handshake_that_is_cancelled_lets_others_go(
    app: Flask, options: dict[str, Any], agreed: list[str]
) -> None:
    middle = Middle(app)
    events: list[anyio.Event] = []

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/sealed/session":
                await events[0].wait()
            response = middle.handle_request(request)
            return httpx.Response(
                response.status_code,
                headers=response.headers.raw,
                stream=httpx.ByteStream(b"".join(response.stream)),  # type: ignore[arg-type]
            )

    # Made outside of any event loop.
    transport = AsyncSealedTransport(transport=Slow(), **options)

    async def main() -> None:
        events.append(anyio.Event())
        async with httpx.AsyncClient(transport=transport, base_url=AUDIENCE) as client:
            with anyio.move_on_after(0.05) as scope:
                await client.get("/look")
            assert scope.cancelled_caught
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(client.get, "/look")
                await anyio.sleep(0.05)
                events[0].set()

    anyio.run(main)
    assert len(agreed) == 1


def test_a_real_connection_is_given_back(base: str, options: dict[str, Any]) -> None:
    inner = httpx.HTTPTransport(limits=httpx.Limits(max_connections=1))
    transport = SealedTransport(origin=base, transport=inner, **options)
    timeout = httpx.Timeout(120, pool=5)
    with httpx.Client(transport=transport, base_url=base, timeout=timeout) as client:
        for _ in range(2):
            assert client.get("/look").status_code == 200
            assert client.get("/clear", headers={"authorization": "Bearer x"}).status_code == 200
            with client.stream("GET", "/pieces/300") as response:
                next(response.iter_bytes())
            assert client.head("/look").status_code == 200
            with pytest.raises(Untrusted):
                client.get("/clear", extensions={"sealed": True})


def test_keys_of_a_client_outlive_it(
    make_client: MakeClient, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "client.json"
    one = make_client(binding=str(path)).get("/look").json()["binding"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_client(binding=path).get("/look").json()["binding"] == one
    assert make_client(binding=binding_key(path)).get("/look").json()["binding"] == one
    assert make_client().get("/look").json()["binding"] != one
    other = make_client(binding=generate_private_key(SECP256R1())).get("/look").json()["binding"]
    assert other != one
    path.chmod(0o644)
    with pytest.raises(ConfigError):
        make_client(binding=path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"kty":"oct","k":"eHl6"}', '{"kty":"OKP","crv":"Ed25519"}']
)
def test_a_file_without_a_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        binding_key(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pins": None},
        {"pins": []},
        {"pins": "x" * 43},
        {"pins": ["x"]},
        {"pins": [b"x"]},
        {"pins": [bytes(32)] * 5},
        {"unpinned": True},
        {"psk": ("x", b"x")},
        {"psk": ("x", bytes(range(32)))},
        {"origin": "https://"},
        {"origin": "ftp://bank.example"},
        {"origin": "http://bank.example"},
        {"origin": "https://bank.example/api"},
        {"origin": "https://user@bank.example"},
        {"origin": "https://bank.example:x"},
        {"audience": "bank"},
        {"audience": "", "origin": AUDIENCE},
    ],
    ids=str,
)
def test_wrong_options(make_client: MakeClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_client(**wrong).get("/look")


def test_pins_are_the_lines_that_are_printed(
    make_client: MakeClient, options: dict[str, Any]
) -> None:
    from flask_sealed.protocol.encoding import b64u_encode

    pins = [b64u_encode(pin) for pin in options["pins"]]
    assert make_client(pins=pins).get("/look").status_code == 200


def test_a_service_below_a_path(options: dict[str, Any], app: Flask) -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    mounted = DispatcherMiddleware(Flask("other"), {"/api": app.wsgi_app})
    inner = httpx.WSGITransport(mounted)
    transport = SealedTransport(transport=inner, prefix="/api/sealed", **options)
    with httpx.Client(transport=transport, base_url=f"{AUDIENCE}/api") as client:
        assert client.post("/echo", json={"a": 1}).json() == {"a": 1}


def test_no_secret_is_shown(client: httpx.Client) -> None:
    client.get("/look")
    service = client._transport._service  # type: ignore[attr-defined]
    key = service._keys._key
    assert repr(key.secret) not in repr(service) + repr(key) + repr(client._transport)
    assert json.dumps(key.kid) not in repr(service)
