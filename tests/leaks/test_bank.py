"""The example bank as it is, behind proxies that decrypt TLS."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
import pytest

from flask_sealed.clients.httpx import SealedTransport
from flask_sealed.keyfile import read_keyring

from ..servers import process
from .drive import is_in, new_marker
from .proxies import PLACES, Proxies, standing

AUDIENCE = "quayside-bank"
PASSWORD, PAYER, PAYEE = "nanoseconds", "40-2001", "40-1001"


@dataclass
class Captures:
    #: What the customer has sent and been told.
    secrets: dict[str, str]
    places: dict[str, bytes]


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Captures:
    folder = tmp_path_factory.mktemp("bank")
    bank = process.gunicorn(folder, {}, kind="gthread", app="tests.leaks.bank")
    with standing(folder, bank) as proxies, customer(proxies) as client:
        assert "163.05" in client.get("/api/rates").text
        secrets = use(client)
    return Captures(secrets, proxies.kept())


def customer(proxies: Proxies) -> httpx.Client:
    pins = read_keyring(proxies.folder / "keyring.json").pins(int(time.time()))
    transport = SealedTransport(
        audience=AUDIENCE, origin=proxies.tls, pins=pins, transport=proxies.transport()
    )
    return httpx.Client(base_url=proxies.tls, transport=transport)


def use(client: httpx.Client) -> dict[str, str]:
    """Use every sealed view of the bank once, and some wrongly."""
    note = new_marker()
    login = client.post("/api/login", json={"customer": "grace", "password": PASSWORD}).json()
    assert client.post("/api/login", json={"customer": note, "password": note}).status_code == 401
    client.headers["Authorization"] = f"Bearer {login['accessToken']}"
    assert PAYER in client.get("/api/accounts").text
    assert client.get("/api/payment-details").status_code == 200
    order = {"from": PAYER, "to": PAYEE, "amount": 1}
    assert client.post("/api/transfers", json=order).status_code == 201
    assert client.post("/api/transfers", json={**order, "to": note}).status_code == 404
    assert PAYEE in client.get("/api/statement", params={"account": PAYER}).text
    document = {"document": (f"{note}.pdf", b"%PDF-1.7 " + note.encode(), "application/pdf")}
    assert client.post("/api/kyc", files=document).status_code == 201
    return {
        "a password": PASSWORD,
        "the payer": PAYER,
        "the payee": PAYEE,
        "the token": login["accessToken"],
        "a name, a document and its name": note,
    }


@pytest.mark.parametrize("place", PLACES)
def test_what_customers_do(captures: Captures, place: str) -> None:
    for name, secret in captures.secrets.items():
        assert not is_in(secret.encode(), captures.places[place]), name


def test_control(captures: Captures) -> None:
    """The bank's one public view is seen; so are the paths of all others."""
    for place in ("nginx's answers", "mitmproxy's flows"):
        assert b"163.05" in captures.places[place]
    for place in ("nginx's log", "mitmproxy's flows"):
        assert b"/api/transfers" in captures.places[place]
