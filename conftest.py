"""Collects the snippets of README.rst and docs/ as tests."""

from tests.docs.snippets import pytest_collect_file as pytest_collect_file
