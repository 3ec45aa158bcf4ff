"""Captured messages: curl commands, HTTP/1.1 as text, and HAR files (HTTP Archive 1.2).

Nothing that is named in them is fetched or read.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


class UnreadableError(Exception):
    """It is none of the forms; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A request or a response as it was on the wire."""

    #: Of a request.
    method: str = ""
    target: str = ""
    #: Of a response.
    status: int = 0
    #: By their names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """What it is, in a word."""
        return f"response {self.status}" if self.status else f"request {self.method} {self.target}"


def read_captured(data: bytes) -> list[Captured]:
    """Read captured messages, in the order in which they stand.

    :raises UnreadableError: where it is none of the forms.
    """
    start = data.lstrip()
    if start.startswith(b"{"):
        return list(_har(start))
    if start.startswith(b"curl"):
        return [_curl(_text(start))]
    messages = list(_http(data))
    if not messages:
        raise UnreadableError("it is no curl command, no HTTP message and no HAR file")
    return messages


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# ----------------------------------------------------------------------------------- HAR


def _har(data: bytes) -> Iterator[Captured]:
    fault = "it is JSON, and no HAR file: there is no log.entries with requests and responses"
    try:
        entries = json.loads(data)["log"]["entries"]
        pairs = [(entry["request"], entry["response"]) for entry in entries]
        for request, response in pairs:
            yield _har_request(request)
            if response.get("status"):  # A request that was never answered has 0.
                yield _har_response(response)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # binascii too
        raise UnreadableError(fault) from None


def _har_request(request: dict[str, Any]) -> Captured:
    return Captured(
        method=str(request["method"]),
        target=_target(request["url"]),
        headers=_har_headers(request),
        body=_har_body(request.get("postData") or {}),
    )


def _har_response(response: dict[str, Any]) -> Captured:
    return Captured(
        status=int(response["status"]),
        headers=_har_headers(response),
        body=_har_body(response.get("content") or {}),
    )


def _har_headers(message: dict[str, Any]) -> dict[str, str]:
    return {header["name"].lower(): str(header["value"]) for header in message["headers"]}


def _har_body(content: dict[str, Any]) -> bytes:
    text = content.get("text") or ""
    if content.get("encoding") == "base64":
        return base64.b64decode(text)
    return str(text).encode("utf-8", "surrogateescape")


def _target(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnreadableError(f"{url!r} is no URL") from None
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


# ----------------------------------------------------------------------------------- curl

# What bash reads in `$'...'`, as browsers write it.
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
# What bash knows inside of that (its manual, "ANSI-C Quoting"); it leaves other backslashes.
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|([0-7]{1,3})|(.))", re.DOTALL)
_CHARACTERS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_DATA = frozenset(
    ("-d", "--data", "--data-ascii", "--data-binary", "--data-raw", "--data-urlencode", "--json")
)
_FLAGS = frozenset(
    re.findall(
        r"\S+",
        "-s -S -k -i -v -L -f -g -N -sS -# --silent --show-error --insecure --include --verbose"
        " --location --fail --compressed --globoff --http1.1 --http2 --http3 --path-as-is"
        " --no-buffer",
    )
)


def _curl(command: str) -> Captured:
    words = _words(command)
    method, url, headers, data = "", "", {}, []
    for option, value in _options(words):
        if option in ("", "--url"):
            url = value
        elif option in ("-X", "--request"):
            method = value
        elif option in ("-I", "--head"):
            method = "HEAD"
        elif option in ("-H", "--header"):
            name, _, text = value.partition(":")
            headers[name.strip().lower()] = text.strip()
        elif option in _DATA:
            data.append(_inline(option, value))
    if not url:
        raise UnreadableError("the curl command has no URL")
    body = "&".join(data).encode("utf-8", "surrogateescape")
    method = method or ("POST" if data else "GET")
    return Captured(method=method, target=_target(url), headers=headers, body=body)


def _words(command: str) -> list[str]:
    command = command.replace("\\\r\n", " ").replace("\\\n", " ")
    try:
        return shlex.split(_ANSI.sub(lambda match: shlex.quote(_unescaped(match[1])), command))[1:]
    except (ValueError, UnicodeError):
        raise UnreadableError("the curl command is not quoted as bash reads it") from None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    if number := escape[1] or escape[2]:
        return chr(int(number, 16))
    if escape[3]:
        return chr(int(escape[3], 8) & 0xFF)
    return _CHARACTERS.get(escape[4], escape[0])


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """The options, each with its value; a URL has none."""
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            yield "", word
        elif word in ("-I", "--head"):
            yield word, ""
        elif word.startswith("--") and "=" in word:
            option, _, value = word.partition("=")
            yield option, value
        elif not word.startswith("--") and word[:2] in ("-X", "-H", "-d") and len(word) > 2:
            yield word[:2], word[2:]
        elif word not in _FLAGS:
            yield word, next(left, "")


def _inline(option: str, value: str) -> str:
    if value.startswith("@") and option != "--data-raw":
        raise UnreadableError(
            f"the body is in the file {value[1:]!r}, which is not read: give the message as HTTP"
        )
    return value


# ----------------------------------------------------------------------------------- HTTP/1.1

_START = re.compile(
    rb"^(?:(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+|HTTP/[\d.]+ (?P<status>\d{3})[^\r\n]*)"
    rb"\r?\n(?P<headers>(?:[!-9;-~]+:[^\r\n]*(?:\r?\n|\Z))*)(?:\r?\n|\Z)",
    re.MULTILINE,
)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")


def _http(data: bytes) -> Iterator[Captured]:
    # Cut off and not searched from a position, which would be no beginning of a line.
    while (start := _START.search(data)) is not None:
        headers = _headers(start["headers"])
        body, data = _body(data[start.end() :], headers)
        target = _text(start["target"] or b"")
        yield Captured(
            method=_text(start["method"] or b""),
            target=_target(target) if "://" in target else target,
            status=int(start["status"] or 0),
            headers=headers,
            body=body,
        )


def _headers(lines: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in _text(lines).splitlines():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _body(data: bytes, headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    """A body, and what follows it."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        whole = _dechunked(data)
        if whole is not None:
            return whole
    length = headers.get("content-length", "")
    if length.isdecimal():
        return data[: int(length)], data[int(length) :]
    following = _START.search(data)
    end = len(data) if following is None else following.start()
    return data[:end], data[end:]


def _dechunked(data: bytes) -> tuple[bytes, bytes] | None:
    """A chunked body (RFC 9112, section 7.1); ``None`` where the chunks are gone."""
    whole, at = b"", 0
    while (size := _CHUNK.match(data, at)) is not None:
        end = size.end() + int(size[1], 16)
        if end == size.end():
            return whole, data[end:]
        whole += data[size.end() : end]
        at = end + (2 if data[end : end + 2] == b"\r\n" else 1)
    return None
