"""The bank from Python: ``python -m examples.bank.caller http://127.0.0.1:5000 PIN PIN``.

The pins are what ``flask --app examples.bank sealed pins`` prints, and ``make demo``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import httpx

from flask_sealed.clients.httpx import SealedTransport


def main(arguments: Sequence[str] | None = None) -> None:
    """Log in as Grace, send Ada one cent, and print the statement."""
    parser = argparse.ArgumentParser(prog="python -m examples.bank.caller")
    parser.add_argument("url", help="where the bank is, such as http://127.0.0.1:5000")
    parser.add_argument("pins", nargs="+", help="what `flask sealed pins` prints there")
    given = parser.parse_args(arguments)
    transport = SealedTransport(audience="quayside-bank", pins=given.pins, origin=given.url)
    with httpx.Client(transport=transport, base_url=given.url) as client:
        answer = client.post("/api/login", json={"customer": "grace", "password": "nanoseconds"})
        client.headers["Authorization"] = (
            f"Bearer {answer.raise_for_status().json()['accessToken']}"
        )
        order = {"from": "40-2001", "to": "40-1001", "amount": 1}
        client.post("/api/transfers", json=order).raise_for_status()
        print(client.get("/api/statement", params={"account": "40-2001"}).text, end="")


if __name__ == "__main__":
    main()
