"""How long stores are waited for.

Applications wait for half a second, and then refuse. In tests, a machine that is busy with
something else makes nothing be refused.
"""

from __future__ import annotations

from flask_sealed.stores import redis, revocations, sqlite

_STORES = (redis, revocations, sqlite)
_LONG = 60.0
#: What applications wait, in seconds, by the name of the store's module.
AS_SHIPPED: dict[str, float] = {store.__name__: store._PATIENCE for store in _STORES}


def wait_long() -> None:
    """In this process, from now on."""
    for store in _STORES:
        vars(store)["_PATIENCE"] = _LONG
