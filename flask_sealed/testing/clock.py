"""A clock that tests move, for an application and its clients alike."""

from __future__ import annotations

import time


class TestClock:
    """Seconds since 1970: the machine's, as long as a test does not say otherwise."""

    # It is none of pytest's tests.
    __test__ = False

    def __init__(self) -> None:
        self._fixed: float | None = None
        self._moved = 0.0

    def time(self) -> float:
        """The time now."""
        return (time.time() if self._fixed is None else self._fixed) + self._moved

    def fix(self, at: float | None = None) -> None:
        """Stop the clock.

        :param at: the time that it stops at, in seconds since 1970; now where left out.
        """
        self._fixed, self._moved = (self.time() if at is None else at), 0.0

    def move(self, seconds: float) -> None:
        """Let time pass.

        :raises ValueError: for less than none.
        """
        if seconds < 0:
            raise ValueError("a clock that is moved goes forward")
        self._moved += seconds
