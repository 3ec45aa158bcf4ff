from __future__ import annotations

import os
from typing import Any

import pytest
from flask import Flask

from flask_sealed import ConfigError, Sealed
from flask_sealed.config import load

from .conftest import MakeApp

KEY = os.urandom(32).hex()


def test_secrets_leave_the_configuration_and_show_nowhere(make_app: MakeApp) -> None:
    app = make_app(SEALED_LEVEL3_KEY=KEY)
    assert "SEALED_LEVEL3_KEY" not in app.config
    side = app.extensions["sealed"]
    for text in (repr(app.config), repr(side), repr(side.settings), repr(vars(side))):
        assert KEY not in text


def test_defaults() -> None:
    settings = load({"SEALED_PROFILE": "level3", "SEALED_LEVEL3_KEY": KEY})
    assert settings.max_body == 16 * 1024 * 1024
    assert settings.require_https is True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SEALED_PROFILE": "level4"}, r"SEALED_PROFILE: 'level4'.*level3"),
        ({"SEALED_PROFILE": "level3"}, r"SEALED_LEVEL3_KEY is not set.*flask sealed keygen"),
        ({"SEALED_LEVEL3_KEY": "00"}, r"SEALED_LEVEL3_KEY: .*64 hex digits"),
        ({"SEALED_LEVEL3_KEY": b"x" * 32}, r"SEALED_LEVEL3_KEY: it must be text"),
        ({"SEALED_LEVEL3_KEY": "00" * 32}, r"SEALED_LEVEL3_KEY: .*others can know it"),
        ({"SEALED_MAX_BODY": 0}, r"SEALED_MAX_BODY: .*bytes"),
        ({"SEALED_MAX_BODY": "1MB"}, r"SEALED_MAX_BODY: .*bytes"),
        ({"SEALED_MAX_BODY": True}, r"SEALED_MAX_BODY: .*bytes"),
        ({"SEALED_REQUIRE_HTTPS": "false"}, r"SEALED_REQUIRE_HTTPS: 'false'"),
        ({"SEALED_LEVEL3_KEYS": KEY}, r"SEALED_LEVEL3_KEYS is no setting.*SEALED_LEVEL3_KEY\?"),
        ({"SEALED_XYZ": 1}, r"SEALED_XYZ is no setting"),
    ],
)
def test_mistakes_stop_the_application_and_say_what_to_write(
    settings: dict[str, Any], message: str
) -> None:
    app = Flask(__name__)
    app.config.update(settings)
    with pytest.raises(ConfigError, match=message) as caught:
        Sealed(app)
    assert caught.value.__cause__ is None
    assert KEY not in str(caught.value)


def test_a_bad_key_is_in_no_message_and_no_frame() -> None:
    bad = KEY[:-1] + "g"
    with pytest.raises(ConfigError) as caught:
        load({"SEALED_LEVEL3_KEY": bad})
    assert caught.value.__context__ is None
    assert bad not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [{}, {"SEALED_PROFILE": "levl3"}, {"SEALED_XYZ": 1}, {"SEALED_MAX_BODY": 0}]
)
def test_no_error_has_a_frame_that_shows_the_key(fault: dict[str, Any]) -> None:
    key = KEY if fault else KEY[:-1]
    app = Flask(__name__)
    app.config.update(SEALED_LEVEL3_KEY=key, **fault)
    with pytest.raises(ConfigError) as caught:
        Sealed(app)
    trace = caught.tb.tb_next  # without this test's own frame
    while trace is not None:
        assert key not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def test_two_extensions_on_one_application(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(ConfigError, match="already"):
        Sealed(app)


def test_one_extension_on_several_applications() -> None:
    seal = Sealed()
    for key in (KEY, os.urandom(32).hex()):
        app = Flask(__name__)
        app.config.update(SEALED_PROFILE="level3", SEALED_LEVEL3_KEY=key)
        seal.init_app(app)
        assert app.extensions["sealed"] is not None
    assert not vars(seal)
