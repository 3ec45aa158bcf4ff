"""Counters and histograms for Prometheus, by signals; the extra ``prometheus``.

Labels have few values, whatever is sent: endpoints of the application, codes of refusals, names of
profiles, purposes of keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

from flask import Flask, request, request_started
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .. import signals
from ..errors import ConfigError, Unavailable
from ..protocol.keys import KeyRing
from ..window import Window

_EXTENSION = "sealed_metrics"
_STARTED = "flask_sealed.started"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# A request is taken for 60 s.
_AGES = (1, 2, 5, 10, 20, 30, 45, 60)


class SealedMetrics:
    """What is counted. One object serves any number of applications.

    :param app: the application; or none, and :meth:`init_app` in the application's factory.
    :param registry: where the metrics are registered.
    """

    def __init__(
        self, app: Flask | None = None, *, registry: CollectorRegistry = REGISTRY
    ) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"flask_sealed_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            name = f"flask_sealed_{name}"
            return Histogram(name, text, ["endpoint"], buckets=buckets, registry=registry)

        self._sealed = counter("responses", "Sealed responses.", "endpoint", "profile")
        self._refused = counter("refusals", "Refused requests.", "endpoint", "code")
        self._unsealed = counter(
            "unsealed_requests", "Requests in clear to optional views.", "endpoint"
        )
        self._handshakes = counter("handshakes", "Sessions that were agreed on.", "kem")
        self._seconds = histogram(
            "request_seconds", "From a request's arrival to its sealed response.", _SECONDS
        )
        self._age = histogram(
            "request_age_seconds", "How long ago the client had sealed a request.", _AGES
        )
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Count what happens in an application.

        :raises ConfigError: where it has no ``Sealed``, or is counted already.
        """
        if "sealed" not in app.extensions or _EXTENSION in app.extensions:
            raise ConfigError(
                "write `SealedMetrics(app)` once, below `Sealed(app)`: there is nothing to count"
                " before"
            )
        # Also what keeps this object: signals hold their receivers by weak references.
        app.extensions[_EXTENSION] = self
        request_started.connect(self._on_started, app)
        signals.sealed.connect(self._on_sealed, app)
        signals.refused.connect(self._on_refused, app)
        signals.unsealed.connect(self._on_unsealed, app)
        signals.handshake.connect(self._on_handshake, app)

    def _on_started(self, sender: Flask, **_: object) -> None:  # noqa: ARG002 - Blinker's names
        request.environ[_STARTED] = time.perf_counter()

    def _on_sealed(
        self, sender: Flask, *, endpoint: str | None, profile: str, **_: object
    ) -> None:
        name = _name(endpoint)
        self._sealed.labels(name, profile).inc()
        started = request.environ.get(_STARTED)
        if started is not None:
            self._seconds.labels(name).observe(time.perf_counter() - started)
        window = Window.of(cast("Any", request)._get_current_object())
        if window is not None and window.exchange is not None:
            age = sender.extensions["sealed"].now() - window.exchange.iat
            # A client's clock may be ahead; what falls would be no histogram any more.
            self._age.labels(name).observe(max(0, age))

    def _on_refused(
        self,
        sender: Flask,  # noqa: ARG002
        *,
        endpoint: str | None,
        code: str,
        **_: object,
    ) -> None:
        self._refused.labels(_name(endpoint), code).inc()

    def _on_unsealed(self, sender: Flask, *, endpoint: str | None, **_: object) -> None:  # noqa: ARG002
        self._unsealed.labels(_name(endpoint)).inc()

    def _on_handshake(self, sender: Flask, *, kem: bool, **_: object) -> None:  # noqa: ARG002
        self._handshakes.labels("yes" if kem else "no").inc()


class KeyringCollector(Collector):
    """How old an application's keys are and when they end, read when Prometheus asks.

    Register it where the answer is made: ``registry.register(KeyringCollector(app))``. With
    several workers each tells the same.

    :raises ConfigError: where the application has no keyring.
    """

    def __init__(self, app: Flask) -> None:
        side = app.extensions.get("sealed")
        if side is None or side.settings.keyring is None:
            raise ConfigError("the application has no keyring, so there is nothing to tell of it")
        self._side = side

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics, without numbers."""
        return _gauges()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics as they are now."""
        readable, began, ends, backup = _gauges()
        try:
            ring: KeyRing = self._side.settings.keyring.ring()
        except Unavailable:
            readable.add_metric((), 0)
            yield readable
            return
        readable.add_metric((), 1)
        now = self._side.now()
        for purpose in ("identity", "ticket"):
            for key in [key for key in ring.order(cast("Any", purpose)) if key.nbf <= now][-1:]:
                began.add_metric((purpose,), key.nbf)
                if key.exp is not None:
                    ends.add_metric((purpose,), key.exp)
        backup.add_metric((), 0 if ring.backup is None else 1)
        yield from (readable, began, ends, backup)


def _gauges() -> tuple[GaugeMetricFamily, ...]:
    name = "flask_sealed_key"
    purpose = ("purpose",)
    return (
        GaugeMetricFamily(f"{name}ring_readable", "Whether the keyring can be read.", labels=()),
        GaugeMetricFamily(
            f"{name}_began_timestamp_seconds", "As of when the key is in use.", labels=purpose
        ),
        GaugeMetricFamily(f"{name}_ends_timestamp_seconds", "When the key ends.", labels=purpose),
        GaugeMetricFamily(f"{name}ring_backup", "Whether there is a backup pin.", labels=()),
    )


def _name(endpoint: str | None) -> str:
    return endpoint or "none"
