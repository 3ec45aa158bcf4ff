"""``flask sealed …``: make keys, see what clients pin, see what is sealed."""

from . import doctor as doctor
from . import keys as keys
from . import revocation as revocation
from . import rotation as rotation
from . import routes as routes
from .group import cli as cli
