"""Reads the state store straight from its tables with another driver than the product's, after the product has stopped.

It uses the tables and no code of the product: a delivery's history is rebuilt from its row, its attempts and, for
broadcasts, the bytes of its chunk.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from clarion_lab.chaos.rows import Rows

STATES: Final = {
    1: "planned", 2: "sending", 3: "retrying", 4: "ambiguous", 5: "held", 10: "sent", 11: "delivered", 12: "failed", 13: "dead",
    14: "expired", 15: "skipped", 16: "cancelled", 17: "merged",
}  # fmt: skip
"""Names of the state numbers on disk (docs/states.md)."""
ENDING: Final = frozenset({"accepted", "refused", "exhausted", "expired", "cancelled"})
"""Events that end a delivery."""


class StoredDelivery(msgspec.Struct):
    """A delivery as stored: `endings` counts the events that ended it, `unsure` attempts that may have reached the
    provider without being recorded as accepted (repeated, or without a response)."""

    channel: str
    state: str
    endings: int = 0
    unsure: int = 0


def read(rows: Rows) -> dict[str, StoredDelivery]:
    """Return every delivery in a state store by its 48 hex digits. Raises `ValueError` when the store is damaged."""
    deliveries = dict(_of_chunks(rows))
    deliveries.update(_of_rows(rows, deliveries))
    _add_attempts(rows, deliveries)
    return deliveries


def _of_chunks(rows: Rows) -> Iterator[tuple[str, StoredDelivery]]:
    found = rows(
        "SELECT c.chunk_id, c.channel, c.user_ids, c.addresses, s.states, s.intents"
        " FROM chunks c JOIN chunk_states s USING (chunk_id, tenant)"
    )
    for chunk_id, channel, user_ids, addresses, states, intents in found:
        users = msgspec.msgpack.decode(user_ids, type=list[str])
        places = (msgspec.msgpack.decode(addresses, type=list[str]) if addresses else []) or [""] * len(users)
        begun = intents or bytes(len(users))
        for user, place, state, times in zip(users, places, states, begun, strict=True):
            sent = STATES[state] == "sent"
            yield (
                delivery_id(chunk_id[:16], user, channel, place),
                StoredDelivery(channel, STATES[state], sent, max(0, times - 1)),
            )


def delivery_id(notification: bytes, user: str, channel: str, address: str) -> str:
    """Return the 48 hex digits of a delivery: its notification's id, then a keyed hash of user, channel and address."""
    text = "".join(f"{len(part)}:{part}" for part in (user, channel, address, ""))
    return (notification + blake2b(text.encode(), key=notification, digest_size=8).digest()).hex()


def _of_rows(rows: Rows, chunks: dict[str, StoredDelivery]) -> Iterator[tuple[str, StoredDelivery]]:
    found = rows("SELECT id, channel, state, attempt, repeats, accepted_attempt, chunk_id FROM deliveries")
    for id_, channel, state, attempt, repeats, accepted, chunk_id in found:
        story = StoredDelivery(
            channel, STATES[state], int(accepted > 0), repeats if accepted and accepted == attempt else 0
        )
        if chunk_id is not None and id_.hex() in chunks:
            first = chunks[id_.hex()]
            story.state, story.unsure = first.state, story.unsure + first.unsure
        yield id_.hex(), story


def _add_attempts(rows: Rows, deliveries: dict[str, StoredDelivery]) -> None:
    """Add the endings and unsure attempts that only the attempts record."""
    repeated: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for id_, attempt, event, outcome, repeats, applied in rows(
        "SELECT delivery_id, attempt, event, outcome, repeats, applied FROM attempts"
    ):
        story = deliveries[id_.hex()]
        story.endings += bool(applied) and event in ENDING
        story.unsure += outcome == "ambiguous"
        repeated[id_.hex()][attempt] = max(repeats, repeated[id_.hex()][attempt])
    for key, times in repeated.items():
        deliveries[key].unsure += sum(times.values())
