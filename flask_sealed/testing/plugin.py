"""Fixtures for pytest; they fit the ``app`` of pytest-flask, or any other fixture of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .client import SealedClient


@pytest.fixture
def sealed_client(request: pytest.FixtureRequest) -> SealedClient:
    """A test client of the fixture ``app`` that seals and opens transparently."""
    from .client import sealed_client as make  # noqa: PLC0415 - only where a test asks for it

    app: Any = request.getfixturevalue("app")
    return make(app)
