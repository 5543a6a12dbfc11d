"""The requests of a chaos client: singles, lists and batches on push and in-app, and one broadcast, drawn by seed."""

import random
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from clarion_lab.chaos.drive import Plan
from clarion_lab.load import people

CHANNELS: Final = ("push", "inapp")
USERS: Final = 400
BROADCAST_AT: Final = 20
"""The number of the request that is the broadcast, so that kills happen during it."""
KINDS: Final = {"single": 6, "list": 2, "batch": 2}
LIST_USERS: Final = 5
BATCH_ITEMS: Final = 10


def plans(seed: int) -> Iterator[Plan]:
    """Yield plans endlessly; every user has one device, so each recipient must get one delivery a channel."""
    chance = random.Random(seed)
    encode = msgspec.json.Encoder().encode
    kinds, weights = list(KINDS), list(KINDS.values())
    number = 0
    while True:
        number += 1
        key = f"chaos-{seed}-{number}"
        if number == BROADCAST_AT:
            body = {"audience": {"all": True}, **_content(number), "category": people.BROADCAST_CATEGORY}
            yield Plan(key, "broadcast", "/v1/broadcasts", encode(body), [USERS * len(CHANNELS)])
            continue
        kind = chance.choices(kinds, weights)[0]
        if kind == "batch":
            items = [_notification(number, [chance.randrange(USERS)]) for _ in range(BATCH_ITEMS)]
            body = {"notifications": items}
            yield Plan(key, kind, "/v1/notifications/batch", encode(body), [len(CHANNELS)] * BATCH_ITEMS)
        else:
            to = chance.sample(range(USERS), LIST_USERS if kind == "list" else 1)
            yield Plan(key, kind, "/v1/notifications", encode(_notification(number, to)), [len(to) * len(CHANNELS)])


def _content(number: int) -> dict[str, Any]:
    return {"template": people.TEMPLATE, "channels": list(CHANNELS), "data": people.data(number)}


def _notification(number: int, to: list[int]) -> dict[str, Any]:
    return {"to": [people.user_id(user) for user in to], **_content(number)}
