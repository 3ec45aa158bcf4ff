"""``flask sealed open``: read a captured message with the keys of the application."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from ..config import Settings
from ..errors import ConfigError, Malformed, Refusal, Refused
from ..keyfile import read_keyring
from ..level3 import TYPE_HEADER
from ..protocol import envelope
from ..protocol.encoding import b64u_encode
from ..protocol.exchange import ClientExchange, Opened, RequestSeal
from ..protocol.handshake import TICKET_CHARACTERS, Session, open_ticket, ticket_kid
from ..protocol.keys import KeyRing
from ..reports import printable
from ..responses import JSON
from .captured import Captured, UnreadableError, read_captured
from .group import cli, server_side

_HIDDEN = frozenset(("authorization", "set-cookie", "x-csrf-token", "x-csrftoken", "x-xsrf-token"))


class _ClosedError(Exception):
    """A message could not be opened; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What is shown of a message."""

    message: str
    #: Facts of the seal, by name.
    seal: dict[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    #: Why it, or its body, could not be opened.
    fault: str | None = None


@cli.command("open")
@click.argument("files", type=click.File("rb"), nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--keyring",
    "path",
    metavar="PATH",
    help="Open with the keyring in this file, such as a copy from before a rotation.",
)
@click.option("--tokens", is_flag=True, help="Show tokens, too, instead of their length.")
def open_(files: Sequence[IO[bytes]], as_json: bool, path: str | None, tokens: bool) -> None:
    """Open captured messages and show what is in them.

    FILES have a curl command, HTTP messages as text, or a HAR file; without any, standard input is
    read. A response opens beside its request. Nothing is sent. The status is 1 where something
    sealed did not open.
    """
    reader = _Reader(server_side(), path)
    messages = [one for file in files or [sys.stdin.buffer] for one in _captured(file)]
    if not sys.stdout.isatty():
        click.echo("Warning: plaintext goes to where standard output leads.", err=True)
    shown = [reader.read(message) for message in messages]
    if as_json:
        click.echo(json.dumps([_as_json(one, tokens) for one in shown], indent=2))
    else:
        click.echo("\n\n".join("\n".join(_lines(one, tokens)) for one in shown))
    if any(one.fault for one in shown):
        raise SystemExit(1)


def _captured(file: IO[bytes]) -> list[Captured]:
    try:
        return read_captured(file.read())
    except UnreadableError as error:
        raise click.ClickException(f"{file.name}: {error}") from None


class _Reader:
    """Opens messages, one after the other: a response needs its request.

    :param side: what the extension holds for the application.
    :param path: a keyring's file in place of the application's keyring.
    """

    def __init__(self, side: Any, path: str | None) -> None:
        self._settings: Settings = side.settings
        self._allowed: frozenset[str] = side.headers
        self._ring = _ring(self._settings, path)
        # What opens the response to a request, by the request's `jti`.
        self._exchanges: dict[str, ClientExchange] = {}

    def read(self, message: Captured) -> _Shown:
        """Open one message, or say why not."""
        name = message.name
        try:
            if "sealed" in message.headers:
                read = self._response if message.status else self._request
                return read(message, message.headers["sealed"])
            return self._unsealed(message)
        except _ClosedError as error:
            return _Shown(message=name, fault=str(error))
        except Refusal as error:
            return _Shown(message=name, fault=f"the seal is broken: {error.detail}")

    def _request(self, message: Captured, compact: str) -> _Shown:
        seal = RequestSeal(compact)
        header = _header(compact)
        secret, facts = self._secret(seal.kid, header["iat"])
        audience = self._settings.audience
        try:
            opened = seal.open(secret, audience, allowed=self._allowed).request
        except Refused:
            raise _ClosedError(_CHANGED.format(audience=audience)) from None
        jti = header["jti"]
        exchange = ClientExchange(secret, seal.kid, audience, random=partial(_same, jti))
        self._exchanges[jti] = exchange
        request = opened.message
        facts |= {"made": _time(header["iat"]), "method": request.method, "target": request.target}
        if request.op is not None:
            facts["op"] = b64u_encode(request.op)
        if request.query is not None:
            facts["query"] = request.query
        if (message.method, message.target) != (request.method, request.target):
            facts["but"] = f"it came as {message.method} {message.target}, and is refused there"
        return _with_body(message, opened, facts)

    def _response(self, message: Captured, compact: str) -> _Shown:
        jti = _header(compact).get("jti")
        exchange = self._exchanges.get(str(jti))
        if exchange is None:
            raise _ClosedError(
                f"it answers the request whose jti is {jti}, which is not here or did not open:"
                " give both, the request first"
            )
        try:
            opened = exchange.open(compact)
        except Refused:
            raise _ClosedError(
                "the seal was changed on its way, or is another service's"
            ) from None
        return _with_body(message, opened, {"status": opened.message.status})

    def _secret(self, kid: str, made: int) -> tuple[bytes, dict[str, Any]]:
        """The secret that a seal names, and what can be told of it.

        :param made: when the seal was made, by what it says: tickets and keys may be over by now.
        :raises _ClosedError: where the keyring does not have it.
        """
        if self._ring is None:
            raise _ClosedError("the application has no keyring: its profile is level3")
        if len(kid) == TICKET_CHARACTERS:
            session = self._session(self._ring, kid, made)
            facts = {"session": session.sid, "binding": session.jkt, "kem": session.kem}
            return session.secret, {**facts, "session ends": _time(session.exp)}
        for key in self._ring.keys:
            if (key.purpose, key.kid) == ("psk", kid) and isinstance(key.material, bytes):
                return key.material, {"pre-shared key": kid}
        raise _ClosedError(f"it names the pre-shared key {kid!r}, which the keyring does not have")

    def _session(self, ring: KeyRing, ticket: str, made: int) -> Session:
        kid = ticket_kid(ticket)
        kids = {key.kid for key in ring.keys if key.purpose == "ticket"}
        if kid not in kids:
            raise _ClosedError(
                f"its ticket is of the ticket key {kid}, which the keyring does not have: it was"
                " rotated out, or is another service's. Try a copy of that time with --keyring"
            )
        try:
            return open_ticket(ticket, ring, audience=self._settings.audience, now=made)
        except Refusal:
            raise _ClosedError(
                f"its ticket does not open with the ticket key {kid}: it was changed, is another"
                f" audience's than {self._settings.audience!r}, or was over when the seal was made"
            ) from None

    def _unsealed(self, message: Captured) -> _Shown:
        key = self._settings.level3_key
        if not message.body.lstrip().startswith(b"{") or key is None:
            return _Shown(message=f"{message.name}, not sealed")
        content_type = message.headers.get(TYPE_HEADER.lower())
        try:
            body = envelope.open_(key, message.body, aad=(content_type or "").encode())
        except Malformed:
            return _Shown(message=f"{message.name}, not sealed")
        except Refusal:
            raise _ClosedError("the envelope does not open with SEALED_LEVEL3_KEY") from None
        facts = {"profile": "level3", "content type": content_type or JSON}
        return _Shown(message=message.name, seal=facts, body=body)


_CHANGED = (
    "the seal does not open with the key that it names: it was changed on its way, or was made for"
    " another audience than {audience!r}"
)


def _ring(settings: Settings, path: str | None) -> KeyRing | None:
    if path is None:
        return None if settings.keyring is None else settings.keyring.ring()
    try:
        return read_keyring(Path(path))
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _same(jti: str, _: int) -> bytes:
    return base64.urlsafe_b64decode(f"{jti}==")


def _header(compact: str) -> dict[str, Any]:
    """A seal's protected header; what it says is not authenticated."""
    try:
        header = json.loads(base64.urlsafe_b64decode(compact.partition(".")[0] + "=="))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise Malformed("The protected header is no JSON object.")
    return header


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _with_body(message: Captured, opened: Opened[Any], facts: dict[str, Any]) -> _Shown:
    facts |= {"body": opened.body}
    body, fault = None, None
    try:
        body = opened.open_body(message.body)
    except Refusal:
        fault = (
            "the body does not open: it was changed or cut on its way, captured incompletely, or"
            " belongs to another seal"
        )
    content = opened.message
    if content.content_type is not None:
        facts["content type"] = content.content_type
    return _Shown(
        message=message.name,
        seal=facts,
        headers=tuple(content.headers),
        body=body if opened.body else None,
        fault=fault,
    )


# ----------------------------------------------------------------------------------- printing


def _lines(shown: _Shown, tokens: bool) -> Iterator[str]:
    # Nothing of a capture is authentic, and what did not open is quoted, too.
    yield printable(shown.message)
    if shown.fault is not None:
        yield f"  NOT OPENED: {printable(shown.fault)}"
    for name, value in shown.seal.items():
        if value is not None:
            yield f"  {name}: {printable(str(value))}"
    for name, value in _masked(shown, tokens):
        yield f"  header {name}: {printable(value)}"
    if shown.body is not None:
        yield ""
        yield _text(shown.body) or f"({len(shown.body)} bytes that are no text)"


def _masked(shown: _Shown, tokens: bool) -> Iterator[tuple[str, str]]:
    for name, value in shown.headers:
        hidden = name in _HIDDEN and not tokens
        yield name, f"({len(value)} characters; --tokens shows them)" if hidden else value


def _text(body: bytes) -> str | None:
    """A body as text; ``None`` where it is none, or could steer the terminal."""
    try:
        text = body.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    return text if all(one.isprintable() or one in "\t\n" for one in text) else None


def _as_json(shown: _Shown, tokens: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"message": shown.message, "opened": shown.fault is None}
    if shown.fault is not None:
        row["why"] = shown.fault
    row |= {"seal": shown.seal, "headers": [list(pair) for pair in _masked(shown, tokens)]}
    if shown.body is not None:
        try:
            row["body"] = shown.body.decode()
        except UnicodeDecodeError:
            row["body_base64"] = base64.b64encode(shown.body).decode()
    return row
