"""Plaintext is where the view is, and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextvars import copy_context
from threading import Thread
from typing import Any

import pytest
from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    after_this_request,
    copy_current_request_context,
    g,
    got_request_exception,
    jsonify,
    request,
    request_finished,
    request_started,
    request_tearing_down,
    stream_with_context,
)
from pydantic import BaseModel
from webargs import fields
from webargs.flaskparser import use_args
from werkzeug.datastructures import FileStorage

from flask_sealed import sealed
from flask_sealed.window import Inside, Window, current_window, guard_logging, hide_locals

from .conftest import MakeApp
from .peer import Peer

MARKER = "4242-marker"
PLAINTEXT = b'{"card":"4242-marker"}'


def seen(request: Request) -> str:
    """All of a request that a collector could read."""
    data = request.get_data()
    values = (
        request.headers,
        request.content_type,
        request.form,
        request.values,
        request.mimetype,
    )
    parts = [data.decode("latin1"), *(repr(value) for value in values), repr(request)]
    parts += [repr(vars(request)), repr(request.environ), str(request.get_json(silent=True))]
    return "\n".join(parts)


class Everyone:
    """Looks at the request wherever Flask lets others look."""

    def __init__(self, app: Flask) -> None:
        self.looks: dict[str, str] = {}
        app.before_request(self.looker("before_request"))
        app.teardown_request(self.looker("teardown_request"))
        app.after_request(lambda response: self.look("after_request", response))
        for signal in (request_started, request_finished, got_request_exception):
            signal.connect(self._signalled, app)
        self._signals = (request_started, request_finished, got_request_exception)

    def looker(self, name: str) -> Any:
        return lambda *_: self.look(name, None)

    def look(self, name: str, response: Any) -> Any:
        text = seen(request)
        if response is not None:
            text += response.get_data(as_text=True)
        self.looks[name] = text + repr(dict(vars(g)))
        return response

    def _signalled(self, sender: Flask, **extra: Any) -> None:
        response = extra.get("response")
        self.look(f"signal {len(self.looks)}", response)


@pytest.mark.parametrize("fails", [False, True])
def test_nobody_else_sees_plaintext(make_app: MakeApp, peer: Peer, fails: bool) -> None:
    app = make_app()
    bp = Blueprint("bp", __name__)
    everyone = Everyone(app)
    bp.after_request(lambda response: everyone.look("blueprint after", response))

    @app.errorhandler(RuntimeError)
    def handle(_: RuntimeError) -> tuple[str, int]:
        everyone.look("handler", None)
        return MARKER, 500

    @bp.post("/view")
    @sealed
    def view() -> Any:
        assert request.get_json() == {"card": MARKER}
        if fails:
            raise RuntimeError
        return request.get_json()

    app.register_blueprint(bp)
    response = peer.send(app.test_client(), "/view", PLAINTEXT)
    assert response.status_code == (500 if fails else 200)
    assert {"before_request", "after_request", "teardown_request", "blueprint after"} <= set(
        everyone.looks
    )
    for place, text in everyone.looks.items():
        assert MARKER not in text, place
        assert '"data":' in text.replace('"data": ', '"data":'), place


def test_the_view_sees_an_ordinary_request(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()

    @app.post("/view/<int:number>")
    @sealed
    def view(number: int) -> dict[str, Any]:
        return {
            "json": request.get_json(),
            "is_json": request.is_json,
            "data": request.get_data(as_text=True),
            "stream": request.stream.read().decode(),
            "content_type": request.content_type,
            "content_length": request.content_length,
            "header": request.headers["Content-Type"],
            "own": request.headers["X-Own"],
            "args": request.args,
            "path": request.path,
            "endpoint": request.endpoint,
            "view_args": request.view_args,
            "number": number,
        }

    response = peer.send(
        app.test_client(), "/view/7?q=1", PLAINTEXT, headers={"X-Own": "x", "Range": "bytes=0-1"}
    )
    assert peer.json(response) == {
        "json": {"card": MARKER},
        "is_json": True,
        "data": PLAINTEXT.decode(),
        "stream": PLAINTEXT.decode(),
        "content_type": "application/json",
        "content_length": len(PLAINTEXT),
        "header": "application/json",
        "own": "x",
        "args": {"q": "1"},
        "path": "/view/7",
        "endpoint": "view",
        "view_args": {"number": 7},
        "number": 7,
    }


def test_hooks_that_looked_first_do_not_blind_the_view(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    app.before_request(lambda: seen(request) and None)

    @app.post("/view")
    @sealed
    def view() -> Any:
        return [request.form.get("card"), request.mimetype, request.content_length]

    body = b"card=4242-marker"
    kind = "application/x-www-form-urlencoded"
    response = peer.send(app.test_client(), "/view", body, content_type=kind)
    assert peer.json(response) == [MARKER, kind, len(body)]


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-1"}])
def test_a_clear_request_that_hooks_have_read_can_be_read_again(
    make_app: MakeApp, peer: Peer, headers: dict[str, str]
) -> None:
    app = make_app()
    app.before_request(lambda: request.get_data() and None)
    app.add_url_rule(
        "/view", "view", sealed(request=False)(lambda: request.get_json()), methods=["POST"]
    )
    response = app.test_client().post("/view", json={"a": 1}, headers=headers)
    assert peer.json(response) == {"a": 1}


def test_the_stream_of_the_outer_request_has_been_read(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    rest: list[bytes] = []

    @app.after_request
    def drain(response: Response) -> Response:
        rest.append(request.stream.read())
        return response

    app.add_url_rule("/view", "view", sealed(lambda: "x"), methods=["POST"])
    peer.send(app.test_client(), "/view", PLAINTEXT)
    assert rest == [b""]


def test_multipart(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()

    @app.post("/view")
    @sealed
    def view() -> Any:
        file: FileStorage = request.files["document"]
        return [request.form["name"], file.filename, file.mimetype, file.read().decode()]

    body = (
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n'
        b'--x\r\nContent-Disposition: form-data; name="document"; filename="id.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n4242-marker\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    response = peer.send(app.test_client(), "/view", body, content_type=kind)
    assert peer.json(response) == ["Ada", "id.txt", "text/plain", MARKER]


class Card(BaseModel):
    card: str


def test_argument_parsers_in_any_order(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    arguments = use_args({"card": fields.Str(required=True)})

    def parsed(args: dict[str, str]) -> Any:
        return args

    app.add_url_rule("/a", "a", sealed(arguments(parsed)), methods=["POST"])
    app.add_url_rule("/b", "b", arguments(sealed(parsed)), methods=["POST"])

    @app.post("/c")
    @sealed
    def model() -> Any:
        return Card.model_validate_json(request.get_data()).model_dump()

    for path in "/a", "/b", "/c":
        assert peer.json(peer.send(app.test_client(), path, PLAINTEXT)) == {"card": MARKER}
    invalid = peer.send(app.test_client(), "/a", b'{"cord":"4242-marker"}')
    assert invalid.status_code == 422
    assert peer.open(invalid)


def test_async_views(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()

    @app.post("/view")
    @sealed
    async def view() -> Any:
        await asyncio.sleep(0)
        return request.get_json()

    assert peer.json(peer.send(app.test_client(), "/view", PLAINTEXT)) == {"card": MARKER}


def test_after_this_request_of_the_view_sees_its_plaintext(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    outside: list[bytes] = []

    @app.before_request
    def register() -> None:
        @after_this_request
        def look(response: Response) -> Response:
            outside.append(response.get_data())
            return response

    @app.post("/view")
    @sealed
    def view() -> Any:
        @after_this_request
        def change(response: Response) -> Response:
            assert request.get_json() == {"card": MARKER}
            response.set_cookie("seen", "1")
            return jsonify([*response.get_json(), "more"])

        return ["first"]

    response = peer.send(app.test_client(), "/view", PLAINTEXT)
    assert peer.json(response) == ["first", "more"]
    assert outside == [response.data]


@pytest.mark.parametrize("seals_response", [True, False])
def test_generators_run_inside_the_window(
    make_app: MakeApp, peer: Peer, seals_response: bool
) -> None:
    app = make_app()
    closed: list[object] = []

    @app.post("/view")
    @sealed(response=seals_response)
    def view() -> Any:
        def generate() -> Iterator[str]:
            try:
                yield "a"
                yield request.get_json()["card"]
            finally:
                closed.append(request.get_json())

        return Response(stream_with_context(generate()), mimetype="application/json")

    response = peer.send(app.test_client(), "/view", PLAINTEXT)
    data = peer.open(response) if seals_response else response.data
    response.close()
    assert data == b"a4242-marker"
    assert closed == [{"card": MARKER}]


def test_a_failing_generator_of_a_clear_response_forgets_its_locals(
    make_app: MakeApp, peer: Peer
) -> None:
    app = make_app()

    @app.post("/view")
    @sealed(response=False)
    def view() -> Any:
        def generate() -> Iterator[str]:
            card = request.get_json()["card"]
            yield "a"
            raise RuntimeError(len(card))

        return Response(stream_with_context(generate()))

    response = peer.send(app.test_client(), "/view", PLAINTEXT)
    with pytest.raises(RuntimeError) as caught:
        _ = response.data
    assert MARKER not in all_locals(caught.value)


_SERVER = {"flask", "flask_sealed"}
_VIEWS = {"view", "fail", "generate"}


def all_locals(error: BaseException | None) -> str:
    """The local variables of all frames of an exception and of those it came from, and what these
    hold."""
    found, seen_errors = [], set()
    while error is not None and id(error) not in seen_errors:
        seen_errors.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            module = frame.f_globals["__name__"].partition(".")[0]
            # Not this test's own side of the wire, which has the plaintext of course.
            if module in _SERVER or frame.f_code.co_name in _VIEWS:
                values = frame.f_locals.values()
                found += [repr(value) + repr(getattr(value, "__dict__", "")) for value in values]
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return "\n".join(found)


def fail(card: str) -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


@pytest.mark.parametrize("debug", [False, True])
def test_escaping_exceptions_lose_their_locals_except_in_debug_mode(
    make_app: MakeApp, peer: Peer, debug: bool
) -> None:
    app = make_app()
    app.debug = debug
    app.config["PROPAGATE_EXCEPTIONS"] = True
    errors: list[BaseException] = []
    got_request_exception.connect(lambda _, exception: errors.append(exception), app, weak=False)

    @app.post("/view")
    @sealed
    def view() -> Any:
        card = request.get_json()["card"]
        fail(card)
        return card

    with pytest.raises(ValueError, match="outer"):
        peer.send(app.test_client(), "/view", PLAINTEXT)
    assert (MARKER in all_locals(errors[0])) is debug


def test_a_failing_seal_keeps_the_response_out_of_the_frames(
    make_app: MakeApp, peer: Peer
) -> None:
    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.post("/view")
    @sealed
    def view() -> Any:
        return Response(request.get_data(), headers={"Content-Encoding": "gzip"})

    with pytest.raises(Exception, match="Content-Encoding") as caught:
        peer.send(app.test_client(), "/view", PLAINTEXT)
    assert MARKER not in all_locals(caught.value)


def test_groups_and_cycles_of_exceptions_are_forgotten() -> None:
    def raise_with(secret: str) -> None:
        raise RuntimeError

    inner: list[Exception] = []
    for _ in range(2):
        try:
            raise_with(MARKER)
        except RuntimeError as error:
            inner.append(error)
    group = ExceptionGroup("both", inner)
    inner[0].__context__ = group
    hide_locals(Flask(__name__), group)
    for one in inner:
        assert one.__traceback__ is not None
        assert one.__traceback__.tb_next is not None
        assert not one.__traceback__.tb_next.tb_frame.f_locals


def test_log_handlers_inside_the_view_see_the_outer_request(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    looks: list[str] = []

    def look(record: logging.LogRecord) -> bool:
        looks.append(seen(request))
        return True

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            looks.append(seen(request))
            if record.msg == "first":
                logging.getLogger("tests.nested").error("second")
            assert MARKER not in seen(request)

    handler = Handler()
    logging.getLogger("tests").addHandler(handler)
    logging.getLogger("tests.view").addFilter(look)

    @app.post("/view")
    @sealed
    def view() -> Any:
        logging.getLogger("tests.view").error("first")
        return request.get_json()

    try:
        response = peer.send(app.test_client(), "/view", PLAINTEXT)
    finally:
        logging.getLogger("tests").removeHandler(handler)
        logging.getLogger("tests.view").removeFilter(look)
    assert peer.json(response) == {"card": MARKER}
    assert len(looks) == 3
    assert not any(MARKER in look for look in looks)


def test_logging_is_guarded_once() -> None:
    guarded = logging.Logger.handle
    guard_logging()
    assert logging.Logger.handle is guarded


def test_a_thread_of_the_view_keeps_its_own_context(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    kept: list[Any] = []

    @app.post("/view")
    @sealed
    def view() -> Any:
        kept.append(copy_current_request_context(lambda: request.get_json()))
        return "x"

    peer.send(app.test_client(), "/view", PLAINTEXT)
    assert kept[0]() == {"card": MARKER}


def test_a_thread_that_shares_the_context_never_sees_the_outer_request(
    make_app: MakeApp, peer: Peer
) -> None:
    """Not even while a handler of log records is at work, which does."""
    app = make_app()
    looks: list[Any] = []
    logger = logging.getLogger("tests.shared")

    @app.post("/view")
    @sealed
    def view() -> Any:
        shared = copy_context()

        def emit(_: logging.LogRecord) -> bool:
            thread = Thread(target=shared.run, args=(lambda: looks.append(request.get_json()),))
            thread.start()
            thread.join()
            looks.append(seen(request))
            return False

        logger.addFilter(emit)
        logger.error("x")
        logger.removeFilter(emit)
        return request.get_json()

    assert peer.json(peer.send(app.test_client(), "/view", PLAINTEXT)) == {"card": MARKER}
    assert looks[0] == {"card": MARKER}
    assert MARKER not in looks[1]


@pytest.mark.parametrize("streams", [True, False])
def test_the_end_of_a_context_sees_the_outer_request(
    make_app: MakeApp, peer: Peer, streams: bool
) -> None:
    """That of a stream ends in its last step, and that of a thread after the view."""
    app = make_app()
    looks: list[str] = []
    work: list[Callable[[], object]] = []
    record = logging.LogRecord("tests", logging.ERROR, "", 1, "", (), None)

    def look(*_: object, **__: object) -> bool:
        looks.append(seen(request))
        return True

    app.teardown_request(lambda _: looks.append(seen(request)))
    request_tearing_down.connect(look, app)
    logger = logging.getLogger("tests.thread")
    logger.addFilter(look)

    @app.post("/view")
    @sealed
    def view() -> Any:
        work.append(copy_current_request_context(lambda: logger.handle(record)))
        return stream_with_context(iter(["a", "b"])) if streams else "x"

    peer.send(app.test_client(), "/view", PLAINTEXT)
    before = len(looks)
    work[0]()
    logger.removeFilter(look)
    assert len(looks) == before + 3
    assert not any(MARKER in look for look in looks)


def test_nested_requests_have_their_own_windows(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()

    @app.post("/inner")
    @sealed
    def inner() -> Any:
        return request.get_json()

    @app.post("/outer")
    @sealed
    def outer() -> Any:
        body = peer.json(peer.send(app.test_client(), "/inner", b"[1]"))
        unsealed = app.test_client().post("/inner", json={}).status_code
        return [body, unsealed, request.get_json(), app.view_functions["inner"]()]

    response = peer.send(app.test_client(), "/outer", PLAINTEXT)
    assert peer.json(response) == [[1], 400, {"card": MARKER}, {"card": MARKER}]


def test_plaintext_does_not_wait_for_the_garbage_collector(make_app: MakeApp, peer: Peer) -> None:
    app = make_app()
    kept: list[weakref.ref[Request]] = []

    @app.post("/view")
    @sealed
    def view() -> Any:
        kept.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        return "x"

    client = app.test_client()
    gc.collect()
    gc.disable()
    try:
        peer.send(client, "/view", PLAINTEXT)
        assert kept[0]() is None
    finally:
        gc.enable()


def test_repr_shows_sizes_only() -> None:
    window = Window(Request({}), None)
    window.hold(Inside(body=PLAINTEXT, content_type="application/json", query="q=4242"))
    assert repr(window) == f"<Window closed, <Inside, {len(PLAINTEXT)} bytes>>"


def test_there_is_no_window_outside_of_requests(make_app: MakeApp) -> None:
    assert current_window() is None
    app = make_app()
    with app.app_context():
        assert current_window() is None
    with app.test_request_context():
        assert current_window() is None
