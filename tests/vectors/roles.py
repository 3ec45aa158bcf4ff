"""Both roles of an exchange, as the tests of several files need them."""

from __future__ import annotations

from flask_sealed.protocol.exchange import ClientExchange, Opened, RequestSeal, ServerExchange
from flask_sealed.protocol.handshake import Random
from flask_sealed.protocol.messages import REQUEST_HEADERS, Response
from flask_sealed.protocol.replay import MemoryStore, check_fresh, check_once, is_safe

from .reading import Case


class Tape:
    """Randomness that is known: hands out the given bytes, in their order."""

    def __init__(self, *values: bytes) -> None:
        self._left = b"".join(values)

    def __call__(self, length: int) -> bytes:
        assert len(self._left) >= length
        value, self._left = self._left[:length], self._left[length:]
        return value

    def is_used_up(self) -> bool:
        return not self._left


def client(case: Case, random: Random) -> ClientExchange:
    return ClientExchange(
        case.hex("secret"), case.get("kid", "k"), case["audience"], random=random
    )


def open_request(case: Case) -> ServerExchange:
    """A server opens the seal of a request."""
    seal, secret = case["seal"], case.hex("secret")
    allowed = REQUEST_HEADERS | set(case.get("also_allowed", []))
    audience = case["audience"]
    return RequestSeal(seal).open(secret, audience, allowed=allowed)


def open_response(case: Case) -> Opened[Response]:
    """The client of the request ``jti`` opens the seal of its response."""
    return client(case, Tape(case.hex("jti"))).open(case["seal"])


def body(case: Case) -> bytes:
    """What comes as the body of a half; nothing where the case has none."""
    if "envelope" in case:
        return str(case["envelope"]).encode()
    return case.hex("records") if "records" in case else b""


def serve(case: Case) -> bytes:
    """All that a server does with a request, in the order in which it does it.

    :returns: the content.
    """
    came, routed, now = body(case), case["routed"].plain(), case["now"]
    exchange = open_request(case)
    exchange.check_target(routed["method"], routed["target"])
    check_fresh(exchange.iat, now)
    check_operation(exchange, case)
    return exchange.request.open_body(came)


def check_operation(exchange: ServerExchange, case: Case) -> None:
    begun = case["store"]["begun"]
    store = MemoryStore(begun)
    for op in case["store"]["seen"]:
        store.add(bytes.fromhex(op), since=begun + 1, now=case["now"])
    message = exchange.request.message
    if not is_safe(message.method):
        check_once(store, message.op, iat=exchange.iat, now=case["now"])


def take(case: Case) -> bytes:
    """All that a client does with a response.

    :returns: the content.
    """
    came = body(case)
    return open_response(case).open_body(came)
