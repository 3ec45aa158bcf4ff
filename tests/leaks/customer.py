"""A customer of the example bank, and what nobody else is to know of it."""

from __future__ import annotations

import httpx

from .drive import new_marker

PASSWORD, PAYER, PAYEE = "nanoseconds", "40-2001", "40-1001"


def use(client: httpx.Client, *, live: bool) -> dict[str, str]:
    """Use every sealed view of the bank once, and some wrongly.

    :param live: whether to use the one, too, that answers with events as they come: proxies that
        write down whole answers pass none on before its end.
    :returns: what was sent and told, by its name.
    """
    name, file, account = (new_marker() for _ in range(3))
    login = client.post("/api/login", json={"customer": "grace", "password": PASSWORD}).json()
    assert client.post("/api/login", json={"customer": name, "password": name}).status_code == 401
    client.headers["Authorization"] = f"Bearer {login['accessToken']}"
    assert PAYER in client.get("/api/accounts").text
    assert client.get("/api/payment-details").status_code == 200
    if live:
        with client.stream("GET", "/api/balances") as events:
            assert PAYER in next(events.iter_text())
    order = {"from": PAYER, "to": PAYEE, "amount": 1}
    assert client.post("/api/transfers", json=order).status_code == 201
    assert client.post("/api/transfers", json={**order, "to": account}).status_code == 404
    assert PAYEE in client.get("/api/statement", params={"account": PAYER}).text
    document = {"document": (f"{file}.pdf", b"%PDF-1.7 " + file.encode(), "application/pdf")}
    assert client.post("/api/kyc", files=document).status_code == 201
    return {
        "a password": PASSWORD,
        "the payer": PAYER,
        "the payee": PAYEE,
        "the token": login["accessToken"],
        "a wrong name": name,
        "a wrong account": account,
        "a document and its name": file,
    }
