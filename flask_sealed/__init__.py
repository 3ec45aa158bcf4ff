"""Flask-Sealed encrypts the payloads of chosen Flask views, on top of TLS and JWT."""

from .current import current as current
from .errors import ConfigError as ConfigError
from .errors import GivenUp as GivenUp
from .errors import HttpsRequired as HttpsRequired
from .errors import Malformed as Malformed
from .errors import NoAnswer as NoAnswer
from .errors import Refusal as Refusal
from .errors import Refused as Refused
from .errors import Replayed as Replayed
from .errors import SealedError as SealedError
from .errors import SealedRequired as SealedRequired
from .errors import SessionUnknown as SessionUnknown
from .errors import Stale as Stale
from .errors import TokenUnbound as TokenUnbound
from .errors import TooLarge as TooLarge
from .errors import TooSlow as TooSlow
from .errors import Unavailable as Unavailable
from .errors import Untrusted as Untrusted
from .extension import Sealed as Sealed
from .password import password_session as password_session
from .policy import sealed as sealed
from .revocation import revoke as revoke
