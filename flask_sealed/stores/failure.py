"""What a store says when it cannot answer."""

from __future__ import annotations

import logging

from ..errors import Unavailable

_log = logging.getLogger(__name__)


def unavailable(problem: str) -> Unavailable:
    """The refusal of a store that cannot answer; the operator's log says why.

    :param problem: what is wrong, without any operation or password.
    """
    _log.warning("The replay store cannot answer: %s", problem)
    return Unavailable("The service cannot tell whether it has seen the operation; try again.")
