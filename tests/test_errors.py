from __future__ import annotations

import flask_sealed
from flask_sealed import errors


def test_every_error_is_exported() -> None:
    tree = {name for name, thing in vars(errors).items() if isinstance(thing, type)} - {"ClassVar"}
    assert tree | {"Sealed", "password_session", "revoke", "sealed"} == {
        name for name, thing in vars(flask_sealed).items() if callable(thing)
    }


def test_codes_and_statuses_are_those_of_the_protocol() -> None:
    refusals = {
        (cls.code, cls.status)
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.Refusal) and cls is not errors.Refusal
    }
    assert refusals == {
        ("sealed-required", 400),
        ("malformed", 400),
        ("refused", 400),
        ("stale", 400),
        ("session-unknown", 401),
        ("token-unbound", 401),
        ("https-required", 403),
        ("replayed", 409),
        ("too-large", 413),
        ("unavailable", 503),
    }


def test_every_error_stands_in_the_drawing() -> None:
    assert errors.__doc__ is not None
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert name in errors.__doc__
