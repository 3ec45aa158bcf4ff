"""``flask sealed …``: keys and pins, what is sealed, what is weak, and what was captured."""

from . import bench as bench
from . import doctor as doctor
from . import keys as keys
from . import opening as opening
from . import revocation as revocation
from . import rotation as rotation
from . import routes as routes
from .group import cli as cli
