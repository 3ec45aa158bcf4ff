"""What those who report an exception are shown of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, request, stream_with_context
from pydantic import BaseModel
from werkzeug.exceptions import UnprocessableEntity

from flask_sealed import sealed
from flask_sealed.errors import ConfigError
from flask_sealed.reports import MASK, MaskedError, bare, chain, hidden_variables, masked

from .conftest import MakeApp, MakeCaller

MARKER = "4242-4242"


def fail(card: str) -> None:
    number = card.upper()
    raise RuntimeError(number)


def caught(work: Any, *args: object) -> Exception:
    try:
        work(*args)
    except Exception as error:
        return error
    raise AssertionError


def variables(error: BaseException) -> str:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return repr([frame.f_locals for frame in frames])


def lines(error: BaseException) -> list[tuple[str, int | None, str, str | None]]:
    parts = traceback.extract_tb(error.__traceback__)
    return [(part.filename, part.lineno, part.name, part.line) for part in parts]


# ------------------------------------------------------------------------ variables


def test_the_same_lines_without_variables() -> None:
    error = caught(fail, MARKER)
    shown, came = variables(error), lines(error)
    assert MARKER in shown
    with hidden_variables(error):
        assert MARKER not in variables(error)
        assert lines(error) == came
        assert "fail" in "".join(traceback.format_exception(error))
    assert variables(error) == shown
    assert bare(None) is None


def test_of_those_that_an_exception_came_from() -> None:
    def wrap() -> None:
        try:
            fail(MARKER)
        except RuntimeError as error:
            raise ExceptionGroup("several", [KeyError("a"), error]) from error

    error = caught(wrap)
    assert len(list(chain(error))) == 3
    with hidden_variables(error):
        assert all(MARKER not in variables(one) for one in chain(error))
    assert any(MARKER in variables(one) for one in chain(error))


class Keeping(logging.Handler):
    """Keeps what monitoring would."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info is not None
        _, error, came = record.exc_info
        assert error is not None
        frames = [frame for frame, _ in traceback.walk_tb(came)]
        self.kept.append(repr([frame.f_locals for frame in frames]) + variables(error))
        self.kept.append(logging.Formatter().format(record))


def report() -> dict[str, Any]:
    """A view that reports an exception itself."""
    card = request.get_json()["card"]
    try:
        fail(card)
    except RuntimeError as error:
        logging.getLogger("bank").exception("could not pay")
        error.args = ()
    return {"card": card}


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    handler = Keeping()
    logging.getLogger("bank").addHandler(handler)
    yield handler
    logging.getLogger("bank").removeHandler(handler)


@pytest.mark.parametrize("debug", [False, True])
def test_a_logged_exception(
    make_session_app: MakeApp, make_caller: MakeCaller, keeping: Keeping, debug: bool
) -> None:
    app = make_session_app()
    app.debug = debug
    app.add_url_rule("/open", "open", report, methods=["POST"])
    app.add_url_rule("/report", "report", sealed(report), methods=["POST"])
    assert make_caller(app).post("/report", json={"card": MARKER}).json() == {"card": MARKER}
    shown, text = keeping.kept
    assert (MARKER in shown) is debug
    assert "in fail" in text
    app.test_client().post("/open", json={"card": MARKER})
    assert MARKER in keeping.kept[2]


def view_of(card: str) -> str:
    fail(card)
    return card


async def coroutine(_: str) -> str:
    # Given to it, asgiref would know it too, which is outside.
    card = request.get_json()["card"]
    fail(card)
    return str(card)


@pytest.mark.parametrize("view", [view_of, coroutine])
@pytest.mark.parametrize("seals", [True, False])
def test_monitoring_that_wraps_a_view(
    make_session_app: MakeApp, make_caller: MakeCaller, view: Any, seals: bool
) -> None:
    """It runs inside the window, around `@sealed`."""
    app = make_session_app()
    inner = app.ensure_sync(sealed(view) if seals else view)
    kept: list[str] = []

    def watched() -> Any:
        try:
            return inner(request.get_json()["card"] if view is view_of else "")
        except RuntimeError as error:
            error.args = ()
            kept.append(variables(error))
            raise

    app.add_url_rule("/watched", "watched", sealed(watched), methods=["POST"])
    assert make_caller(app).post("/watched", json={"card": MARKER}).status == 500
    assert (MARKER in kept[0]) is not seals


# ------------------------------------------------------------------------------ text


class Ledger(Exception):
    def __init__(self, card: str) -> None:
        super().__init__(f"no such card {card}")
        self.card = card
        self.message = f"no such card {card}"


class Computed(Exception):
    card = MARKER

    @property
    def message(self) -> str:
        return self.card

    def __str__(self) -> str:
        return self.card


class Slotted(ValueError):
    __slots__ = ("card",)


class Final(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError


class Payment(BaseModel):
    card: int


def noted() -> None:
    error = ValueError(MARKER)
    error.add_note(MARKER)
    raise error


def chained() -> None:
    try:
        int(MARKER)
    except ValueError as error:
        raise KeyError(MARKER) from error


def in_context() -> None:
    try:
        int(MARKER)
    except ValueError:
        raise Ledger(MARKER)  # noqa: B904  # that is the point


def raised(error: Exception) -> None:
    raise error


QUOTING: list[Any] = [
    lambda: int(MARKER),
    lambda: dict[str, str]()[MARKER],
    lambda: open(MARKER),  # noqa: SIM115
    lambda: raised(Ledger(MARKER)),
    lambda: raised(Computed()),
    lambda: raised(Slotted(MARKER)),
    lambda: raised(Final(MARKER)),
    lambda: raised(UnprocessableEntity(MARKER)),
    lambda: raised(ExceptionGroup(MARKER, [ValueError(MARKER)])),
    lambda: Payment.model_validate({"card": MARKER}),
    noted,
    chained,
    in_context,
]


def shown(error: BaseException) -> str:
    """What reports an exception, in any usual way."""
    texts = "".join(traceback.format_exception(error))
    ways = [str(error), repr(error), error.args, getattr(error, "message", "")]
    return f"{ways} {texts} {[repr(one) + str(one) for one in chain(error)]}".replace(
        # The source of this file.
        f'"{MARKER}"',
        "",
    )


@pytest.mark.parametrize("work", QUOTING)
def test_no_text_is_left(work: Any) -> None:
    error = caught(work)
    kind = type(error)
    assert "4242" in shown(error)
    new = masked(error)
    assert "4242" not in shown(new)
    assert MASK in shown(new)
    can_be = kind not in {ExceptionGroup, Final}
    assert isinstance(new, kind if can_be else MaskedError)
    assert new.__traceback__ is not None
    assert masked(new) is new


def test_links_stay() -> None:
    for work in (chained, in_context):
        error = caught(work)
        cause, context = type(error.__cause__), type(error.__context__)
        suppressed = error.__suppress_context__
        new = masked(error)
        assert isinstance(new.__cause__, cause)
        assert isinstance(new.__context__, context)
        assert new.__suppress_context__ is suppressed


def test_attributes_stay() -> None:
    new: Any = masked(caught(lambda: raised(Ledger(MARKER))))
    assert new.card == MARKER
    http: Any = masked(caught(lambda: abort(422, description=MARKER)))
    assert (http.code, http.description) == (422, MARKER)


@pytest.mark.parametrize("error", [SystemExit(MARKER), StopIteration(1), ConfigError("x")])
def test_what_is_left_as_it_is(error: BaseException) -> None:
    text = str(error)
    assert masked(error) is error
    assert str(error) == text


def quote() -> Any:
    card = request.get_json()["card"]
    what = request.args["what"]
    if what == "abort":
        abort(422, description=card)
    if what == "stream":

        def generate() -> Iterator[str]:
            yield "1"
            int(card)

        return Response(stream_with_context(generate()))
    return str(int(card))


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def app(make_session_app: MakeApp, seen: list[str], request: pytest.FixtureRequest) -> Flask:
    app = make_session_app(SEALED_MASK_EXCEPTIONS=getattr(request, "param", True))
    app.add_url_rule("/quote", "quote", sealed(quote), methods=["POST"])

    @app.errorhandler(ValueError)
    def handle(error: ValueError) -> tuple[dict[str, str], int]:
        seen.append(shown(error))
        return {"text": str(error)}, 400

    return app


@pytest.mark.parametrize("app", [True, False], indirect=True)
def test_handlers_find_the_class(
    app: Flask, make_caller: MakeCaller, seen: list[str], request: pytest.FixtureRequest
) -> None:
    masks = request.node.callspec.params["app"]
    reply = make_caller(app).post("/quote?what=int", json={"card": MARKER})
    assert reply.status == 400
    assert (MASK in reply.json()["text"]) is masks
    assert ("4242" in seen[0]) is not masks


def test_a_clients_error_says_what_it_did(app: Flask, make_caller: MakeCaller) -> None:
    """Its description is what the client is answered, sealed."""
    reply = make_caller(app).post("/quote?what=abort", json={"card": MARKER})
    assert reply.status == 422
    assert MARKER in reply.content.decode()


def test_a_stream(app: Flask, make_caller: MakeCaller) -> None:
    reply = make_caller(app).post("/quote?what=stream", json={"card": MARKER})
    with pytest.raises(ValueError) as error:
        reply.content  # noqa: B018  # reads it
    assert "4242" not in str(error.value)


def test_unhandled(app: Flask, make_caller: MakeCaller, caplog: pytest.LogCaptureFixture) -> None:
    app.error_handler_spec.clear()
    reply = make_caller(app).post("/quote?what=int", json={"card": MARKER})
    assert reply.status == 500
    assert MASK in caplog.text
    assert "4242" not in caplog.text


def test_in_debug_mode_all_is_shown(app: Flask, make_caller: MakeCaller) -> None:
    app.debug = True
    reply = make_caller(app).post("/quote?what=int", json={"card": MARKER})
    assert MARKER in reply.json()["text"]
