"""The example bank, as its callers see it, and what is on its wire."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from examples.bank import auth, caller, create_app, keys, ledger, page
from flask_sealed.cli import cli
from flask_sealed.errors import Refused, Untrusted
from flask_sealed.keyfile import create_keyring
from flask_sealed.protocol.encoding import b64u_encode
from flask_sealed.protocol.flow import RECORDS_TYPE
from flask_sealed.testing import SealedClient

ADA = {"customer": "ada", "password": "analytical-engine"}
GRACE = {"customer": "grace", "password": "nanoseconds"}
PDF = b"%PDF-1.7 passport of Ada"
MARKERS = ('"4242"', "cardLast4", '"balance"', "accessToken", "Lovelace", "passport", "analytical")


class Customer:
    """Calls the bank as its clients do; the wire of every call is checked for plaintext."""

    def __init__(self, app: Flask) -> None:
        self.client = SealedClient(app, app.response_class)
        self.headers: dict[str, str] = {}

    def send(self, path: str, body: bytes, content_type: str = "application/json") -> TestResponse:
        return self.client.post(path, data=body, headers=self.headers, content_type=content_type)

    def post(self, path: str, sent: object) -> tuple[int, Any]:
        return self.open(self.send(path, json.dumps(sent).encode()))

    def get(self, path: str) -> tuple[int, Any]:
        return self.open(self.client.get(path, headers=self.headers))

    def upload(self, name: str, content: bytes, field: str = "document") -> tuple[int, Any]:
        file = FileStorage(io.BytesIO(content), name, field)
        boundary, form = encode_multipart({field: file})
        return self.open(self.send("/api/kyc", form, f"multipart/form-data; boundary={boundary}"))

    def open(self, response: TestResponse) -> tuple[int, Any]:
        self.client.assert_not_on_wire(*MARKERS)
        return response.status_code, response.get_json()

    def log_in(self, credentials: dict[str, str]) -> Customer:
        status, answer = self.post("/api/login", credentials)
        assert status == 200
        self.headers["Authorization"] = f"Bearer {answer['accessToken']}"
        return self

    def balances(self) -> dict[str, int]:
        status, accounts = self.get("/api/accounts")
        assert status == 200
        return {account["number"]: account["balance"] for account in accounts}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder to copy: to hash the passwords anew for each test takes its time."""
    folder = tmp_path_factory.mktemp("instance")
    create_app(instance_path=folder)
    return folder


@pytest.fixture
def bank(instance: Path, tmp_path: Path) -> Flask:
    shutil.copytree(instance, tmp_path, dirs_exist_ok=True)
    return create_app({"TESTING": True}, instance_path=tmp_path)


@pytest.fixture
def stranger(bank: Flask) -> Customer:
    return Customer(bank)


@pytest.fixture
def ada(bank: Flask) -> Customer:
    return Customer(bank).log_in(ADA)


@pytest.fixture
def grace(bank: Flask) -> Customer:
    return Customer(bank).log_in(GRACE)


# --- logging in ---


def test_login_answers_a_token_and_a_name(stranger: Customer) -> None:
    status, answer = stranger.post("/api/login", ADA | {"customer": " Ada "})
    assert status == 200
    assert answer.keys() == {"accessToken", "fullName"}
    assert answer["fullName"] == "Ada Lovelace"


@pytest.mark.parametrize(
    "credentials", [ADA | {"password": "no"}, ADA | {"customer": "eve"}, ADA | {"password": ""}]
)
def test_wrong_credentials_and_unknown_names_get_one_answer(
    stranger: Customer, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]
) -> None:
    checked: list[str] = []

    def check(expected: str, password: str) -> bool:
        checked.append(expected.partition("$")[0])
        return False

    monkeypatch.setattr(auth, "check_password_hash", check)
    status, answer = stranger.post("/api/login", credentials)
    assert status == 401
    assert answer == {"error": "The customer name or the password is wrong."}
    assert checked == ["scrypt:32768:8:1"]  # as much work, whoever asks


@pytest.mark.parametrize(
    "sent", [[], {}, "ada", None, {"customer": "ada"}, {"customer": 1, "password": "x"}]
)
def test_login_demands_two_texts(stranger: Customer, sent: object) -> None:
    assert stranger.post("/api/login", sent)[0] == 400


def test_login_refuses_lone_surrogates(stranger: Customer) -> None:
    for credentials in (ADA | {"customer": "\ud800"}, ADA | {"password": "\ud800"}):
        assert stranger.post("/api/login", credentials)[0] == 400


@pytest.mark.parametrize("path", ["/api/accounts", "/api/payment-details"])
def test_without_a_token_the_refusal_is_sealed(stranger: Customer, path: str) -> None:
    status, answer = stranger.get(path)
    assert (status, answer.keys()) == (401, {"error"})
    stranger.headers["Authorization"] = "Bearer none"
    assert stranger.get(path)[0] == 422


# --- reading ---


def test_each_customer_sees_their_own(ada: Customer, grace: Customer) -> None:
    assert ada.balances() == {"40-1001": 2_457_310, "40-1002": 8_120_000}
    assert grace.balances() == {"40-2001": 1_936_045}
    article = {"cardLast4": "4242", "expiryMonth": 12, "expiryYear": 2027}
    assert ada.get("/api/payment-details") == (200, article)
    assert grace.get("/api/payment-details")[1]["cardLast4"] == "1881"


def test_rates_are_in_clear_and_need_no_token(bank: Flask) -> None:
    response = bank.test_client().get("/api/rates")
    assert response.get_json()["base"] == "EUR"
    assert response.get_json()["rates"]["USD"] > 0


def test_the_page_has_pins_and_no_secret(bank: Flask) -> None:
    response = FlaskClient(bank, bank.response_class).get("/")
    folder = Path(bank.instance_path)
    pinned = create_keyring(folder / "keyring.json").pins(int(time.time()))
    assert all(b64u_encode(pin) in response.text for pin in pinned)
    for key in json.loads((folder / "keyring.json").read_text())["keys"]:
        for secret in (key.get("d"), key.get("k")):
            assert secret is None or secret not in response.text
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]


def test_a_statement_streams_the_bookings(ada: Customer, grace: Customer) -> None:
    ada.post("/api/transfers", order("40-1001", "40-2001", 1250))
    grace.post("/api/transfers", order("40-2001", "40-1001", 5))
    answer = ada.client.get("/api/statement?account=40-1001", headers=ada.headers)
    assert answer.content_type == "text/csv; charset=utf-8"
    lines = [line.split(",")[1:] for line in answer.text.splitlines()]
    assert lines == [["with", "cents"], ["40-2001", "-1250"], ["40-2001", "5"]]
    assert dict(ada.client.wire[-1].response.headers)["Content-Type"] == RECORDS_TYPE
    ada.client.assert_not_on_wire("40-2001", "account=")
    assert (
        grace.client.get("/api/statement?account=40-1001", headers=grace.headers).status_code
        == 404
    )


def watch(customer: Customer) -> Generator[dict[str, int] | None]:
    """Balances as they change; `None` for a sign of life."""
    response = customer.client.get("/api/balances", headers=customer.headers)
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    try:
        for event in response.iter_encoded():
            name, _, data = event.decode().strip().partition("\n")
            assert name in ("event: balances", ":")
            yield json.loads(data.removeprefix("data: ")) if data else None
    finally:
        response.close()


def test_balances_come_as_they_change(ada: Customer, grace: Customer) -> None:
    seen = watch(ada)
    first = next(seen)
    assert first == {"40-1001": 2_457_310, "40-1002": 8_120_000}
    assert grace.post("/api/transfers", order("40-2001", "40-1001", 4500))[0] == 201
    assert next(seen) == first | {"40-1001": 2_461_810}
    seen.close()
    ada.client.assert_not_on_wire(*MARKERS)


def test_a_watch_shows_that_it_lives_and_comes_to_an_end(
    ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_LOOK", 0.001)
    monkeypatch.setattr(ledger, "_LONGEST_WATCH", 0.3)
    first, *others = watch(ada)
    assert first is not None
    assert set(others) == {None}


def test_a_token_is_of_no_use_to_others(bank: Flask, ada: Customer) -> None:
    eve = Customer(bank)
    eve.headers = ada.headers
    assert eve.get("/api/accounts")[0] == 401


def test_a_logout_ends_the_token_and_the_session_of_this_client_alone(
    bank: Flask, ada: Customer
) -> None:
    other = Customer(bank).log_in(ADA)
    assert ada.get("/api/accounts")[0] == 200
    assert ada.post("/api/logout", None)[0] == 204
    assert other.get("/api/accounts")[0] == 200
    ada.client.clear_wire()
    status, answer = ada.get("/api/accounts")
    assert (status, answer["type"]) == (401, "urn:flask-sealed:token-unbound")
    # The old session is unknown, and the client has made another.
    assert [exchange.request.line.split()[1] for exchange in ada.client.wire] == [
        "/api/accounts",
        "/sealed/session",
        "/api/accounts",
    ]


# --- transfers ---


def order(payer: object, payee: object, amount: object) -> dict[str, object]:
    return {"from": payer, "to": payee, "amount": amount}


def test_a_transfer_moves_the_amount(ada: Customer, grace: Customer) -> None:
    status, answer = ada.post("/api/transfers", order("40-1001", "40-2001", 1250))
    assert (status, answer["balance"]) == (201, 2_456_060)
    assert ada.balances()["40-1001"] == 2_456_060
    assert grace.balances() == {"40-2001": 1_937_295}


def test_an_account_can_be_emptied_to_the_last_cent(ada: Customer) -> None:
    assert ada.post("/api/transfers", order("40-1002", "40-1001", 8_120_000))[1]["balance"] == 0


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, []),
        (400, None),
        (400, {}),
        (400, order("40-1001", "40-2001", 1) | {"more": 1}),
        (400, order("40-1001", 402001, 1)),
        (400, order("40-1001", "\ud800", 1)),
        (400, order("40-1001", "40-2001", "1")),
        (400, order("40-1001", "40-2001", 1.5)),
        (400, order("40-1001", "40-2001", True)),
        (400, order("40-1001", "40-2001", 0)),
        (400, order("40-1001", "40-2001", -5)),
        (400, order("40-1001", "40-2001", 10**30)),
        (400, order("40-1001", "40-1001", 1)),
        (404, order("40-1001", "40-9999", 1)),
        (404, order("40-9999", "40-2001", 1)),
        (404, order("40-2001", "40-1001", 1)),
        (409, order("40-1001", "40-2001", 2_457_311)),
    ],
)
def test_a_transfer_that_cannot_be_changes_nothing(
    ada: Customer, grace: Customer, status: int, sent: object
) -> None:
    before = ada.balances() | grace.balances()
    refused, answer = ada.post("/api/transfers", sent)
    assert (refused, answer.keys()) == (status, {"error"})
    assert ada.balances() | grace.balances() == before


def test_what_is_no_json_inside_the_envelope_is_a_sealed_400(ada: Customer) -> None:
    assert ada.open(ada.send("/api/transfers", b"{"))[0] == 400
    assert ada.open(ada.send("/api/transfers", b"hello", "text/plain"))[0] == 415


def test_transfers_at_once_never_overdraw(bank: Flask, ada: Customer) -> None:
    amount = 300_000  # eight of these are on the account, and twenty are asked for

    customers: SimpleQueue[Customer] = SimpleQueue()
    for _ in range(10):
        customers.put(Customer(bank).log_in(ADA))

    def attempt(_: int) -> int:
        customer = customers.get()
        status = customer.post("/api/transfers", order("40-1001", "40-2001", amount))[0]
        customers.put(customer)
        return status

    with ThreadPoolExecutor(10) as pool:
        statuses = Counter(pool.map(attempt, range(20)))
    assert statuses == {201: 8, 409: 12}
    assert ada.balances()["40-1001"] == 2_457_310 - 8 * amount


def test_transfers_both_ways_at_once_keep_the_sum(
    bank: Flask, ada: Customer, grace: Customer
) -> None:
    before = ada.balances() | grace.balances()
    logins = [(GRACE, "40-2001", "40-1002"), (ADA, "40-1001", "40-2001")] * 5
    workers = [(Customer(bank).log_in(who), payer, payee) for who, payer, payee in logins]

    def attempt(number: int) -> set[int]:
        customer, payer, payee = workers[number]
        orders = [order(payer, payee, 100_000 + number + again) for again in range(4)]
        return {customer.post("/api/transfers", sent)[0] for sent in orders}

    with ThreadPoolExecutor(10) as pool:
        assert set().union(*pool.map(attempt, range(10))) <= {201, 409}
    after = ada.balances() | grace.balances()
    assert sum(after.values()) == sum(before.values())
    assert after != before
    assert min(after.values()) >= 0


# --- identity documents ---


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (PDF, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n passport", "image/png"),
        (b"\xff\xd8\xff passport", "image/jpeg"),
    ],
)
def test_a_document_is_kept(bank: Flask, ada: Customer, content: bytes, content_type: str) -> None:
    status, answer = ada.upload("passport é.pdf", content)
    digest = hashlib.sha256(content).hexdigest()
    kept = {"name": "passport é.pdf", "type": content_type, "size": len(content)}
    assert (status, answer) == (201, kept | {"sha256": digest})
    with closing(sqlite3.connect(Path(bank.instance_path) / "bank.sqlite3")) as db:
        assert db.execute("SELECT customer, content FROM document").fetchall() == [(1, content)]


@pytest.mark.parametrize(
    ("status", "name", "content", "field"),
    [
        (400, "passport.pdf", PDF, "other"),
        (400, "", PDF, "document"),
        (413, "passport.pdf", PDF.ljust(2 * 1024 * 1024 + 1), "document"),
        (415, "passport.pdf", b"MZ passport", "document"),
        (415, "passport.pdf", b"", "document"),
    ],
)
def test_other_documents_are_refused(
    ada: Customer, status: int, name: str, content: bytes, field: str
) -> None:
    refused, answer = ada.upload(name, content, field)
    assert (refused, answer.keys()) == (status, {"error"})


def test_the_largest_document_fits(ada: Customer) -> None:
    assert ada.upload("passport.pdf", PDF.ljust(2 * 1024 * 1024))[0] == 201


def test_the_wire_carries_nothing_of_an_upload(ada: Customer) -> None:
    assert ada.upload("passport.pdf", PDF)[0] == 201
    ada.client.assert_not_on_wire("passport", "%PDF-1.7", "multipart")


# --- refusals ---


@pytest.mark.parametrize("path", ["/api/login", "/api/transfers", "/api/kyc"])
@pytest.mark.parametrize(
    ("code", "seal"), [("sealed-required", {}), ("malformed", {"Sealed": "e30..AAAA.AAAA.AAAA"})]
)
def test_what_is_not_sealed_is_refused_in_clear(
    bank: Flask, ada: Customer, path: str, code: str, seal: dict[str, str]
) -> None:
    client = FlaskClient(bank, bank.response_class)
    response = client.post(path, headers=ada.headers | seal, json=ADA)
    assert response.content_type == "application/problem+json"
    problem = json.loads(response.data)
    assert problem["type"] == f"urn:flask-sealed:{code}"
    assert (response.status_code, problem["status"]) == (400, 400)


# --- the first start, and the second ---


def test_the_first_start_makes_private_files_and_the_second_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "instance"
    Customer(create_app(instance_path=folder)).log_in(ADA)
    keys = {"keyring.json", "jwt.key"}
    # The journal of SQLite's that is there while the store is open.
    names = {path.name for path in folder.iterdir()} - {"operations.sqlite3-journal"}
    assert names == keys | {"bank.sqlite3", "operations.sqlite3"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {name: (folder / name).read_bytes() for name in keys}
    again = Customer(create_app(instance_path=folder)).log_in(ADA)
    assert again.balances()["40-1002"] == 8_120_000
    assert before == {name: (folder / name).read_bytes() for name in keys}


def test_instances_have_keys_of_their_own(tmp_path: Path) -> None:
    for name in "ab":
        create_app(instance_path=tmp_path / name)
    for name in ("keyring.json", "jwt.key"):
        assert len({(tmp_path / folder / name).read_text() for folder in "ab"}) == 2


def test_starts_at_once_agree_on_one_file(tmp_path: Path) -> None:
    everybody = threading.Barrier(8)

    def write(path: Path) -> None:
        everybody.wait(60)  # so that none is there yet for any of them
        path.write_text(path.name)

    def start(_: int) -> str:
        return keys.make_once(tmp_path / "key", write).read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        keys.make_once(tmp_path / "key", fail)
    assert os.listdir(tmp_path) == []


def test_configuration_goes_before_the_files(tmp_path: Path) -> None:
    ring = create_keyring(tmp_path / "own.json").to_json().decode()
    (tmp_path / "own.json").unlink()
    given = {
        "SEALED_KEYRING": ring,
        "SEALED_REPLAY_STORE": "memory://",
        "JWT_SECRET_KEY": os.urandom(32).hex(),
    }
    create_app(given, instance_path=tmp_path)
    assert os.listdir(tmp_path) == ["bank.sqlite3"]


@pytest.fixture
def routes(bank: Flask) -> Callable[..., int]:
    def run(*patterns: str) -> int:
        options = [word for pattern in patterns for word in ("--require", pattern)]
        return bank.test_cli_runner().invoke(cli, ["routes", *options]).exit_code

    return run


def test_the_command_line_finds_what_is_sealed(routes: Callable[..., int]) -> None:
    assert routes("/api/login", "/api/logout", "/api/accounts", "/api/payment-details") == 0
    assert routes("/api/transfers", "/api/kyc", "/api/statement", "/api/balances") == 0
    assert routes("/api/rates") == 1


def test_a_caller_in_python(
    bank: Flask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(httpx, "HTTPTransport", lambda: httpx.WSGITransport(bank))
    caller.main(["http://127.0.0.1:5000", *page.pins(bank)])
    assert capsys.readouterr().out.endswith(",40-1001,-1\r\n")
    stranger = create_keyring(Path(bank.instance_path) / "other.json").pins(int(time.time()))
    with pytest.raises((Refused, Untrusted)):
        caller.main(["http://127.0.0.1:5000", b64u_encode(stranger[0])])
