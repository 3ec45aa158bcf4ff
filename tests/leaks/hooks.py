"""Hooks of gunicorn that know which requests have not wholly ended.

Monitoring notes some of a request only when its answer is closed. The client has it before.
"""

from __future__ import annotations

from threading import Condition

_SECONDS = 60
_changed = Condition()
_running = 0


def pre_request(worker: object, req: object) -> None:
    _count(1)


def post_request(worker: object, req: object, environ: object, resp: object) -> None:
    """The answer is closed, and the access log is written."""
    _count(-1)


def _count(change: int) -> None:
    global _running  # noqa: PLW0603 - gunicorn has one such module
    with _changed:
        _running += change
        _changed.notify_all()


def wait_for_others() -> None:
    """Wait until the request that asks is the only one."""
    with _changed:
        assert _changed.wait_for(lambda: _running == 1, _SECONDS), _running
