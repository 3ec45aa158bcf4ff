"""Level 2 under Level 3: flask-jwt-extended, with pytest-flask's client."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, jsonify, request
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required

from flask_sealed import sealed

from .conftest import MakeApp
from .peer import Peer, problem


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app(JWT_SECRET_KEY="0123456789abcdef" * 4, JWT_TOKEN_LOCATION=["headers", "json"])
    JWTManager(app)

    @app.get("/outside")
    @sealed
    @jwt_required()
    def outside() -> Any:
        return jsonify(get_jwt_identity())

    @app.get("/inside")
    @jwt_required()
    @sealed
    def inside() -> Any:
        return jsonify(get_jwt_identity())

    @app.post("/body")
    @jwt_required(locations="json")
    @sealed
    def body() -> Any:
        return {"who": get_jwt_identity(), "sent": request.get_json()["amount"]}

    return app


@pytest.fixture
def token(app: Flask) -> str:
    with app.app_context():
        return str(create_access_token("ada"))


@pytest.mark.parametrize("path", ["/outside", "/inside"])
def test_a_token_is_demanded_in_either_order(client: FlaskClient, peer: Peer, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 401
    assert "Missing Authorization Header" in peer.json(response)["msg"]


@pytest.mark.parametrize("path", ["/outside", "/inside"])
def test_a_token_opens_the_view(client: FlaskClient, peer: Peer, token: str, path: str) -> None:
    response = client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    assert peer.json(response) == "ada"
    response = client.get(path, headers={"Authorization": f"Bearer {token[:-4]}AAAA"})
    assert response.status_code == 422
    assert "msg" in peer.json(response)


def test_a_token_in_the_sealed_body(client: FlaskClient, peer: Peer, token: str) -> None:
    body = jsonify(access_token=token, amount=5).get_data()
    assert peer.json(peer.send(client, "/body", body)) == {"who": "ada", "sent": 5}


def test_a_token_is_no_substitute_for_the_seal(client: FlaskClient, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert problem(client.post("/body", json={"amount": 5}, headers=headers)) == "malformed"
