"""Helpers of the tests of batch calls: messages made from a vendor's table, and outcomes read from a response."""

from typing import Any

import msgspec

from clarion.domain.content import Account
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Outcome
from tests.providers import battery


def delivery(number: int) -> str:
    return f"dlv_{number:048x}"


def messages(table: dict[str, Any], *addresses: str, **changes: Any) -> list[Message]:
    """Return a message of the table's content for each address, with an id and a link of its own."""
    return [
        battery.message(
            table,
            **{
                "address": address,
                "delivery_id": delivery(number),
                "metadata": {"list_unsubscribe": f"https://shop.example/u/{number}"},
                **changes,
            },
        )
        for number, address in enumerate(addresses)
    ]


def account(table: dict[str, Any], **settings: Any) -> Account:
    given = battery.account(table)
    return msgspec.structs.replace(given, settings=given.settings | settings)


def build(vendor: Any, table: dict[str, Any], sent: list[Message], **settings: Any) -> HttpRequest:
    owner = account(table, **settings)
    assert len({vendor.batch_key(message, owner) for message in sent}) == 1
    assert vendor.batch_key(sent[0], owner) is not None
    return vendor.build_batch(sent, owner, now_ms=battery.NOW_MS, token=None)


def read(
    vendor: Any, table: dict[str, Any], count: int, status: int, body: Any = b"", headers: dict[str, str] | None = None
) -> list[Outcome | None] | None:
    sent = messages(table, *(f"a{number}@example.org" for number in range(count)))
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    response = HttpResponse(status, headers or {}, text)
    return vendor.read_batch(response, sent, battery.account(table), now_ms=battery.NOW_MS)
