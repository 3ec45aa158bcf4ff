"""Signals (Blinker): what happens to sealed requests, without any of their content.

The sender is the application. ``sid`` names the session, and is ``None`` with a pre-shared key and
in Level 3. Receivers run with the request as it came.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: A response was sealed. ``endpoint``, ``profile``, ``sid``.
sealed = _signals.signal("sealed")
#: A request in clear was let through to a view whose mode is optional. ``endpoint``.
unsealed = _signals.signal("unsealed")
#: A request was refused. ``endpoint``, ``code``, ``sid``.
refused = _signals.signal("refused")
#: A session was agreed on. ``sid``, ``kem``: whether ML-KEM-768 took part.
handshake = _signals.signal("handshake")
#: An operation was seen again; :data:`refused` is sent too. ``endpoint``, ``sid``.
replayed = _signals.signal("replayed")
