"""Inboxes as version 0.1.0 stored them: in the order of ids, with the item up to which a user has read everything."""

from array import array
from typing import Any

import msgspec

from clarion.domain import ids
from clarion.domain.delivery_state import State
from tests.contract import ledgers as world
from tests.contract.inboxes import broadcast_id

PACK = msgspec.msgpack.encode
OWN = (10, 30, 50)
BROADCASTS = (20, 40)
READ_TO = 30
UNREAD = 20


def item_id(number: int, user: str = "user-1") -> bytes:
    return ids.delivery_id(broadcast_id(number), user, "inapp", "")


def rows() -> list[tuple[str, tuple[Any, ...]]]:
    """Return rows as tables with their values: the inbox of `user-1`, who has ordinal 1, and items of others."""
    made: list[tuple[str, tuple[Any, ...]]] = []
    for number in OWN:
        content = msgspec.json.encode({"title": f"own {number}"})
        made += [
            ("inbox_items", (tenant, user, item_id(number), number, content))
            for tenant, user in ((world.TENANT, "user-1"), (world.TENANT, "user-2"), ("other", "user-1"))
        ]
    for number in BROADCASTS:
        id_, chunk = broadcast_id(number), broadcast_id(number) + b"chunk-01"
        made += [
            (
                "chunks",
                (
                    chunk, world.TENANT, "inapp", "en", "news", number, None, 2, 1, 2, PACK({"title": str(number)}),
                    PACK({}), PACK(None), array("Q", [1, 2]).tobytes(), PACK(["user-1", "user-2"]), b"", b"",
                ),
            ),
            ("chunk_states", (chunk, world.TENANT, "inapp", bytes([State.SENT, State.HELD]), bytes(2), b"", "", "", None)),
            ("chunk_spans", (world.TENANT, id_, "inapp", 1, chunk, 2)),
            ("broadcast_spans", (world.TENANT, "inapp", id_, 1, 2, 1)),
        ]  # fmt: skip
    made += [
        ("inbox_horizons", (world.TENANT, "user-1", item_id(READ_TO), 77)),
        ("inbox_marks", (world.TENANT, "user-1", item_id(UNREAD), 70, 0, None)),
    ]
    return made
