"""Collects the snippets of README.rst and docs/ as tests."""

from tests.docs.snippets import pytest_collect_file

__all__ = ["pytest_collect_file"]
