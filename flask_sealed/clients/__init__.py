"""Clients: for httpx in :mod:`.httpx`, for requests in :mod:`.requests`.

They need no Flask application, and import nothing of the Flask side.
"""

from ..protocol.password import open_password_session as open_password_session
from .identity import binding_key as binding_key
from .service import Operation as Operation
