"""requests through :mod:`flask_sealed.clients.requests`, against a service and those between."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
import requests
from flask import Flask, Response, request
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from requests.exceptions import UnrewindableBodyError
from urllib3 import Retry

from flask_sealed import ConfigError, Malformed, Refused, Untrusted, sealed
from flask_sealed.clients import Operation
from flask_sealed.clients.requests import SealedAdapter, mark
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.keys import KeyRing

from ..conftest import PSK
from ..http_server import Answer, answering
from .conftest import Done

Tamper = Callable[[requests.PreparedRequest, requests.Response], requests.Response]
MakeSession = Callable[..., requests.Session]
SECRET = "42424242"
UNKNOWN = b'{"type":"urn:flask-sealed:session-unknown","title":"","status":401,"detail":""}'


class Middle(HTTPAdapter):
    """Who is between: sees all, and may answer in the service's place."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.seen: list[requests.PreparedRequest] = []
        self.came: list[requests.Response] = []
        self.tamper: Tamper | None = None

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> Any:
        if "Transfer-Encoding" in request.headers:
            request.body = b"".join(cast("Iterator[bytes]", request.body))
            request.headers["Content-Length"] = str(len(request.body))
            del request.headers["Transfer-Encoding"]
        self.seen.append(request)
        response = super().send(request, *args, **more)
        self.came.append(response)
        return response if self.tamper is None else self.tamper(request, response)

    @property
    def targets(self) -> list[str]:
        return [request.path_url for request in self.seen]

    def saw(self, text: str) -> bool:
        """Whether a text was on the wire."""
        return text in "".join(
            f"{request.url}{request.headers}{request.body!r}" for request in self.seen
        )


@pytest.fixture
def middle() -> Middle:
    return Middle()


@pytest.fixture
def make_session(middle: Middle, base: str, options: dict[str, Any]) -> Iterator[MakeSession]:
    made: list[requests.Session] = []

    def make(adapter: HTTPAdapter = middle, **more: Any) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        # Those that it has would not be closed.
        for one in session.adapters.values():
            one.close()
        sealing = SealedAdapter(adapter=adapter, **{"origin": base, **options, **more})
        session.mount("https://", sealing)
        session.mount("http://", sealing)
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session: MakeSession) -> requests.Session:
    return make_session()


def forged(
    response: requests.Response, status: int, content: bytes, **headers: str
) -> requests.Response:
    """An answer in the place of another."""
    response.close()
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update(headers)
    from urllib3 import HTTPResponse

    answer.raw = HTTPResponse(
        io.BytesIO(content), headers=headers, status=status, preload_content=False
    )
    return answer


def test_an_answer_looks_as_if_it_had_never_been_sealed(
    session: requests.Session, middle: Middle, base: str
) -> None:
    response = session.post(f"{base}/echo", json={"card": SECRET}, timeout=120)
    assert (response.status_code, response.reason) == (201, "CREATED".title())
    assert response.json() == {"card": SECRET}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert (response.headers["x-own"], response.headers["etag"]) == ("caf\xe9", '"x"')
    assert "sealed" not in response.headers
    assert session.cookies["seen"] == "1"
    assert response.cookies["seen"] == "1"
    assert response.url == f"{base}/echo"
    assert middle.targets == ["/sealed/session", "/sealed/routes", "/echo"]
    assert not middle.saw(SECRET)
    assert response.sealed.status == 201  # type: ignore[attr-defined]


def test_headers_and_queries_travel_sealed(
    session: requests.Session, middle: Middle, base: str
) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Accept": "text/x", "X-Other": "shown"}
    said = session.get(f"{base}/look", params={"card": SECRET}, headers=headers).json()
    assert (said["args"], said["accept"]) == ({"card": SECRET}, "text/x")
    assert said["authorization"] == f"Bearer {SECRET}"
    assert middle.targets[-1] == "/look"
    assert middle.seen[-1].headers["X-Other"] == "shown"
    assert "X-Other" not in middle.seen[0].headers
    assert "X-Other" not in middle.seen[1].headers
    assert not middle.saw(SECRET)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_sealed_anew(
    session: requests.Session, middle: Middle, base: str, status: int
) -> None:
    response = session.get(f"{base}/go/{status}", params={"to": f"/look?card={SECRET}"})
    assert response.json()["args"] == {"card": SECRET}
    assert [one.status_code for one in response.history] == [status]
    assert middle.came[-2].status_code == 200
    assert not middle.saw(SECRET)


@pytest.mark.parametrize("status", [302, 307])
def test_a_sealed_redirect_does_not_lead_out_in_clear(
    session: requests.Session, middle: Middle, base: str, status: int
) -> None:
    query = {"to": f"/clear?card={SECRET}"}
    with pytest.raises(Untrusted):
        session.post(f"{base}/go/{status}", params=query, data=SECRET)
    assert not middle.saw(SECRET)
    assert session.get(f"{base}/go/302?to=/once").status_code == 200
    assert session.get(f"{base}/clear").status_code == 200


def test_a_redirect_that_keeps_its_method_is_another_operation(
    session: requests.Session, base: str, done: Done
) -> None:
    headers = {"Content-Type": "text/plain"}
    ask = requests.Request("POST", f"{base}/go/307?to=/echo", data=b"x", headers=headers)
    prepared = mark(session.prepare_request(ask), operation=Operation())
    response = session.send(prepared)
    assert (response.status_code, response.content) == (201, b"x")
    assert done == ["go", b"x"]


def test_a_redirect_to_another_origin_ends_here(
    session: requests.Session, middle: Middle, base: str
) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    for elsewhere in ("https://thief.example/look", "http://user@127.0.0.1:1/look"):
        with pytest.raises(ConfigError):
            session.get(f"{base}/go/302", params={"to": elsewhere}, headers=headers)
    assert {str(request.url).startswith(base) for request in middle.seen} == {True}
    named = base.replace("http://", "http://user@")
    assert session.get(f"{named}/look").json()["args"] == {}


def test_other_origins_in_clear_where_that_is_said(
    make_session: MakeSession, middle: Middle, base: str
) -> None:
    session = make_session(origin="https://bank.example", others="clear")
    assert session.get(f"{base}/clear").json() == {"binding": None, "body": ""}
    assert middle.targets == ["/clear"]


def test_views_that_are_not_sealed(session: requests.Session, middle: Middle, base: str) -> None:
    response = session.post(f"{base}/clear?x=1", data=b"open")
    assert response.json() == {"binding": None, "body": "open"}
    assert middle.targets[-1] == "/clear?x=1"
    headers = {"Authorization": "Bearer x"}
    proved = session.post(f"{base}/clear", data="open", headers=headers).json()
    assert proved["binding"] == session.get(f"{base}/look").json()["binding"]
    assert session.options(f"{base}/echo").status_code == 200
    assert "Sealed" not in middle.seen[-1].headers
    request = session.prepare_request(requests.Request("GET", f"{base}/look"))
    assert session.send(mark(request, sealed=False)).status_code == 400
    # It is not said of where a redirect leads.
    request = session.prepare_request(requests.Request("GET", f"{base}/lost"))
    assert session.send(mark(request, sealed=False)).json()["args"] == {"a": "1"}


def test_a_pre_shared_key(make_session: MakeSession, ring: KeyRing, base: str) -> None:
    secret = next(key.material for key in ring.keys if key.kid == PSK)
    response = make_session(psk=(PSK, secret), pins=None).post(f"{base}/echo", json=[1])
    assert response.json() == [1]


def test_streams_both_ways(
    make_session: MakeSession, base: str, tmp_path: Path, done: Done
) -> None:
    session = make_session(HTTPAdapter(pool_maxsize=1, pool_block=True))
    pieces = [b"4242" * 30_000, b"", b"x"]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    response = session.post(f"{base}/digest", data=iter(pieces))
    assert response.json() == {"size": 120_001, "sha256": digest}
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)
    with path.open("rb") as file:
        file.seek(50_000)
        assert session.post(f"{base}/digest", data=file).json()["size"] == 150_000
    assert session.post(f"{base}/digest", data=bytes(1_500_000)).json()["size"] == 1_500_000
    files = {"one": b"4242" * 50_000}
    assert session.post(f"{base}/form", files=files).json() == {"one": 200_000}
    expected = b"".join(b"%04d" % n * 250 for n in range(300))
    with session.get(f"{base}/pieces/300", stream=True) as response:
        found = list(response.iter_content(8192))
    assert b"".join(found) == expected
    assert max(map(len, found)) <= 8192
    with session.get(f"{base}/pieces/300", stream=True) as response:
        assert response.raw.read(10) == expected[:10]
    assert session.get(f"{base}/pieces/300").content == expected
    assert done[-1] == 1_500_000


def test_a_live_answer_does_not_wait(make_session: MakeSession, base: str, app: Flask) -> None:
    seen = [Event(), Event()]

    @app.get("/live")
    @sealed
    def live() -> Response:
        def events() -> Iterator[bytes]:
            yield b"data: 0\n\n"
            for number, event in enumerate(seen, 1):
                assert event.wait(60)
                yield b"data: %d\n\n" % number

        return Response(events(), mimetype="text/event-stream")

    found = []
    with make_session().get(f"{base}/live", stream=True) as response:
        for piece, event in zip(response.iter_content(4096), [*seen, Event()], strict=True):
            found.append(piece)
            event.set()
    assert found == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


def test_head_empty_and_errors(session: requests.Session, base: str) -> None:
    response = session.head(f"{base}/look")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0
    assert session.get(f"{base}/empty").status_code == 204
    assert session.post(f"{base}/go/303").status_code == 400
    assert session.post(f"{base}/echo").status_code in {201, 500}


def test_a_sealed_content_encoding_is_the_views_own(
    session: requests.Session, base: str, app: Flask
) -> None:
    @app.get("/packed")
    @sealed
    def packed() -> Response:
        packed = gzip.compress(b"x" * 5000)
        headers = {"content-encoding": "gzip"}
        return Response((packed[n : n + 9] for n in range(0, len(packed), 9)), headers=headers)

    assert session.get(f"{base}/packed").content == b"x" * 5000


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (200, b'{"card": "1"}', {}),
        (302, b"", {"location": "https://thief.example/"}),
        (503, b'{"type":"urn:flask-sealed:unavailable","title":"","status":503,"detail":""}', {}),
        (200, b"", {"sealed": "x"}),
    ],
)
@pytest.mark.parametrize("path", ["/look", "/sealed/session", "/sealed/routes"])
def test_an_answer_in_clear_is_refused(
    session: requests.Session,
    middle: Middle,
    base: str,
    path: str,
    status: int,
    content: bytes,
    headers: dict[str, str],
) -> None:
    def tamper(
        request: requests.PreparedRequest, response: requests.Response
    ) -> requests.Response:
        if request.path_url != path:
            return response
        return forged(response, status, content, **headers)

    middle.tamper = tamper
    with pytest.raises((Untrusted, Malformed)):
        session.get(f"{base}/look", params={"card": SECRET})
    assert not middle.saw(SECRET)


def test_swapped_answers_are_refused(session: requests.Session, middle: Middle, base: str) -> None:
    session.get(f"{base}/look?a=1")
    headers = dict(middle.came[-1].headers)
    middle.tamper = lambda request, response: forged(response, 200, b"{}", **headers)
    with pytest.raises(Refused):
        session.get(f"{base}/look?a=2")


def test_wrong_pins(make_session: MakeSession, middle: Middle, base: str) -> None:
    session = make_session(pins=[bytes(range(32))])
    with pytest.raises(Untrusted):
        session.post(f"{base}/echo", data=SECRET)
    assert middle.targets == ["/sealed/session"]


def test_wrong_options(make_session: MakeSession) -> None:
    for wrong in ({"hide_query": False}, {"pins": None}, {"origin": "http://bank.example"}):
        with pytest.raises(ConfigError):
            make_session(**wrong)


def test_a_cut_stream_is_no_short_one(
    session: requests.Session, middle: Middle, base: str
) -> None:
    def cut(request: requests.PreparedRequest, response: requests.Response) -> requests.Response:
        if not request.path_url.startswith("/pieces"):
            return response
        return forged(response, 200, response.content[:150_000], **dict(response.headers))

    middle.tamper = cut
    with pytest.raises(Malformed):
        _ = session.get(f"{base}/pieces/300").content
    read: list[bytes] = []
    response = session.get(f"{base}/pieces/300", stream=True)
    with pytest.raises(Malformed):
        read.extend(response.iter_content(1000))
    assert read


def test_an_operation_after_a_lost_answer(
    session: requests.Session, middle: Middle, base: str, done: Done
) -> None:
    session.get(f"{base}/look")

    def lose(request: requests.PreparedRequest, response: requests.Response) -> requests.Response:
        response.close()
        raise requests.ConnectionError

    operation = Operation()
    ask = requests.Request("POST", f"{base}/echo", data=b"x")
    request = mark(session.prepare_request(ask), operation=operation)
    middle.tamper = lose
    with pytest.raises(requests.ConnectionError):
        session.send(request)
    middle.tamper = None
    assert session.send(request).status_code == 409
    assert done == [b"x"]


def test_retries_are_the_inner_adapters(make_session: MakeSession, base: str, done: Done) -> None:
    """urllib3 sends the same seal again: the service knows it."""
    fails = iter([True])

    names = ("sealed", "content-type")

    def lossy(send: Send) -> Answer | None:
        headers = {name: value for name, value in send.headers if name in names}
        answer = requests.request(
            send.method, f"{base}{send.target}", data=send.body, headers=headers, timeout=120
        )
        if send.target == "/echo" and next(fails, False):
            return None
        told = {name: answer.headers.get(name) for name in names}
        kept = tuple((name, value) for name, value in told.items() if value)
        return Answer(answer.status_code, kept, answer.content)

    with answering(lossy) as url:
        retry = Retry(2, allowed_methods=None, backoff_factor=0)
        session = make_session(HTTPAdapter(max_retries=retry), origin=url)
        response = session.post(f"{url}/echo", data=b"x")
        session.close()
    assert response.json()["type"] == "urn:flask-sealed:replayed"
    assert done == [b"x"]


def test_a_body_that_cannot_be_sent_twice(
    session: requests.Session, middle: Middle, base: str, done: Done, tmp_path: Path
) -> None:
    session.get(f"{base}/look")

    def tamper(
        request: requests.PreparedRequest, response: requests.Response
    ) -> requests.Response:
        return forged(response, 401, UNKNOWN) if request.path_url == "/digest" else response

    middle.tamper = tamper
    with pytest.raises(UnrewindableBodyError):
        session.post(f"{base}/digest", data=iter([b"x"]))
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file, pytest.raises(Untrusted):
        session.post(f"{base}/digest", data=file)
    assert set(done) <= {1, 100_000}
    assert middle.targets.count("/digest") == 3


def test_a_proof_in_a_session_that_is_unknown(
    session: requests.Session, middle: Middle, base: str, agreed: list[str]
) -> None:
    kind = {"content-type": "application/problem+json"}

    def tamper(
        request: requests.PreparedRequest, response: requests.Response
    ) -> requests.Response:
        clear = request.path_url == "/clear"
        return forged(response, 401, UNKNOWN, **kind) if clear else response

    middle.tamper = tamper
    response = session.get(f"{base}/clear", headers={"Authorization": "Bearer x"})
    assert response.status_code == 401
    assert len(agreed) == 2
    text = UNKNOWN.replace(b"session-unknown", b"token-unbound")
    middle.tamper = lambda request, response: (
        forged(response, 401, text, **kind) if request.path_url == "/clear" else response
    )
    response = session.get(f"{base}/clear", headers={"Authorization": "Bearer x"})
    assert (response.content, response.json()["status"]) == (text, 401)


def test_what_authentication_sends_again_is_sealed(
    session: requests.Session, middle: Middle, base: str, app: Flask
) -> None:
    @app.get("/digested")
    @sealed
    def digested() -> Any:
        if "Authorization" not in request.headers:
            value = 'Digest realm="x", nonce="x", qop="auth", algorithm=MD5'
            return {}, 401, {"WWW-Authenticate": value}
        return {"authorization": request.headers["Authorization"]}

    answer = session.get(f"{base}/digested", auth=HTTPDigestAuth("ada-lovelace", "x"))
    assert answer.json()["authorization"].startswith('Digest username="ada-lovelace"')
    assert not middle.saw("ada-lovelace")


def test_network_errors_stay_what_they_are(make_session: MakeSession) -> None:
    session = make_session(HTTPAdapter(), origin="http://127.0.0.1:1")
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            session.get("http://127.0.0.1:1/look")


def test_threads_share_one_handshake(
    make_session: MakeSession, base: str, agreed: list[str]
) -> None:
    session = make_session(HTTPAdapter(pool_maxsize=50))

    def ask(number: int) -> bool:
        response = session.post(f"{base}/echo", json=number)
        return bool(response.json() == number)

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(ask, range(100)))
    assert len(agreed) == 1
