"""Logging in, a password for a token, and out. Sealed both ways."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import flask_jwt_extended
from flask import Blueprint, Flask, abort, request
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity
from werkzeug.security import check_password_hash, generate_password_hash

from flask_sealed import current, sealed

from .db import connection

V = TypeVar("V", bound="Callable[..., Any]")

auth = Blueprint("auth", __name__)
jwt = JWTManager()


def init_app(app: Flask) -> None:
    """Let an application check tokens."""
    jwt.init_app(app)
    _nobodys_hash()  # Made now, or the first unknown name would take twice as long.


@auth.post("/login")
@sealed
def login() -> dict[str, Any]:
    """Answer a token for ``{"customer": …, "password": …}``."""
    name, password = _credentials(request.get_json())
    customer = (
        connection()
        .execute("SELECT id, full_name, password_hash FROM customer WHERE name = ?", (name,))
        .fetchone()
    )
    # Unknown names cost a hash too: the time of the answer must not tell who has an account.
    expected = customer["password_hash"] if customer else _nobodys_hash()
    if not check_password_hash(expected, password) or customer is None:
        abort(401, "The customer name or the password is wrong.")
    # The token is bound to the client's key without a word here: who steals it cannot use it.
    token = create_access_token(identity=str(customer["id"]))
    return {"accessToken": token, "fullName": customer["full_name"]}


def jwt_required() -> Callable[[V], V]:
    """The library's decorator, with a type: without one, it would take the views' types away."""
    decorator: Callable[[V], V] = flask_jwt_extended.jwt_required()
    return decorator


@auth.post("/logout")
@sealed
@jwt_required()
def logout() -> tuple[str, int]:
    """End the session and all tokens that its client has so far: copies are worth nothing."""
    current.revoke()
    return "", 204


def customer_id() -> int:
    """The customer whose token came with the request, in a view that demands one."""
    return int(get_jwt_identity())


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value from JSON is text that a person can type. Lone surrogates are not."""
    return isinstance(value, str) and value.isprintable()


def _credentials(sent: object) -> tuple[str, str]:
    name, password = (
        (sent.get("customer"), sent.get("password")) if isinstance(sent, dict) else (None, None)
    )
    if not is_text(name) or not is_text(password):
        abort(400, 'Send {"customer": "<name>", "password": "<password>"}.')
    return name.strip().lower(), password


@functools.cache
def _nobodys_hash() -> str:
    return generate_password_hash(secrets.token_hex())
