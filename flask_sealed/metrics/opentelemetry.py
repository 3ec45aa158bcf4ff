"""Attributes for OpenTelemetry's spans, by signals; the extra ``opentelemetry``.

========================== ==========================================================
``flask_sealed.sealed``    ``True`` where the response is sealed
``flask_sealed.profile``   the profile of the view
``flask_sealed.refused``   the code of the refusal, where the request was refused
``flask_sealed.unsealed``  ``True`` where a request in clear was let through
``flask_sealed.kem``       of a handshake: whether ML-KEM-768 took part
========================== ==========================================================
"""

from __future__ import annotations

from flask import Flask
from opentelemetry import trace

from .. import signals
from ..errors import ConfigError

_EXTENSION = "sealed_telemetry"
_INSTRUMENTATION = "opentelemetry."


class SealedTelemetry:
    """Says on the current span what became of the request. One object serves any number of
    applications.

    :param app: the application; or none, and :meth:`init_app` in the application's factory.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Say it in an application. Call it when the application is instrumented.

        :raises ConfigError: where it has no ``Sealed``, or says it already.
        """
        if "sealed" not in app.extensions or _EXTENSION in app.extensions:
            raise ConfigError(
                "write `SealedTelemetry(app)` once, below `Sealed(app)` and the application's"
                " instrumentation"
            )
        # Also what keeps this object: signals hold their receivers by weak references.
        app.extensions[_EXTENSION] = self
        _start_spans_first(app)
        signals.sealed.connect(self._on_sealed, app)
        signals.refused.connect(self._on_refused, app)
        signals.unsealed.connect(self._on_unsealed, app)
        signals.handshake.connect(self._on_handshake, app)

    def _on_sealed(self, sender: Flask, *, profile: str, **_: object) -> None:  # noqa: ARG002
        _say("sealed", True)
        _say("profile", profile)

    def _on_refused(self, sender: Flask, *, code: str, **_: object) -> None:  # noqa: ARG002
        _say("refused", code)

    def _on_unsealed(self, sender: Flask, **_: object) -> None:  # noqa: ARG002
        _say("unsealed", True)

    def _on_handshake(self, sender: Flask, *, kem: bool, **_: object) -> None:  # noqa: ARG002
        _say("kem", kem)


def _say(name: str, value: bool | str) -> None:
    trace.get_current_span().set_attribute(f"flask_sealed.{name}", value)


def _start_spans_first(app: Flask) -> None:
    """Move the hooks that start spans ahead of the one that refuses, or a refused request has no
    span. They see the request as it came."""
    hooks = app.before_request_funcs.get(None, [])
    hooks.sort(key=lambda hook: not str(hook.__module__).startswith(_INSTRUMENTATION))
