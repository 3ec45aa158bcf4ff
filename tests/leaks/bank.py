"""The example bank, in the folder that it shares with a test."""

from __future__ import annotations

import os

from flask import Flask

from examples import bank


def create_app() -> Flask:
    return bank.create_app(instance_path=os.environ["SEALED_TEST_FOLDER"])
