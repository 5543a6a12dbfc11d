"""Instances go on as if nothing had happened when the number of partitions changes under them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clarion.domain.ids import SLOTS
from clarion.journal.codec import decode
from clarion.journal.topics import OUTCOMES
from clarion.plan.placement import Regrouping
from tests.contract.journals import EMBEDDED, VirtualClock
from tests.look import Glance
from tests.stages.flows import ENDINGS, Flow, Shelf
from tests.unit.workflow.test_digests import digesting
from tests.unit.workflow.test_steps import MINUTE_MS, SEND

WORKFLOWS: dict[str, dict[str, Any]] = {
    "later": {"steps": [{"kind": "delay", "name": "d", "for": "30m"}, SEND]},
    "digest": digesting({"fixed": "40m"}),
    "often": {"steps": [{"kind": "throttle", "name": "t", "limit": 1, "per": "2h", "otherwise": "end"}, SEND]},
    "until": {
        "steps": [{"kind": "wait_until", "name": "w", "event": "paid", "timeout": "1h", "on_timeout": "end"}, SEND]
    },
}
USERS = [f"u{number}" for number in range(24)]


async def told(backend: str, folder: Path, counts: list[int]) -> tuple[dict[str, list[Any]], Any]:
    """Return the messages to each user, in order, and the ends of all instances, when the number of partitions changes
    between the parts of a story."""
    clock = VirtualClock()
    journal = EMBEDDED[backend](folder, clock, 4)
    flow = Flow(journal, clock, Shelf(**WORKFLOWS))

    async def change() -> None:
        if counts:
            clock.pass_ms(60_001)  # leases run out
            await journal.regroup(Regrouping(journal.partitions, counts.pop(0)), dict.fromkeys(range(SLOTS), 2**40))
            flow.reborn()
        else:
            clock.pass_ms(60_001)

    for number, user in enumerate(USERS):
        for workflow in WORKFLOWS:
            await flow.trigger(workflow, user, *USERS[number % 3 : 2], data={"n": number})
    await change()  # nothing is planned yet
    await flow.pass_ms(10 * MINUTE_MS)
    await flow.trigger("digest", *USERS, data={"n": 99})
    await flow.trigger("often", *USERS, data={"n": 99})
    await change()
    await flow.pass_ms(10 * MINUTE_MS)
    for user in USERS[::2]:
        await flow.event("paid", user)
    await change()
    await flow.pass_ms(4 * 60 * MINUTE_MS)
    events = [decode(one.payload) for p in range(SLOTS) for one in Glance(journal).read(OUTCOMES, p, 0, 1_000_000)]
    ends = Counter(name for event in events for name in event.events if name in ENDINGS)
    left = [key for key in flow.cell_keys() if key != b"c"]
    await journal.close()
    assert left == []
    return {user: sorted(flow.sent_to(user)) for user in USERS}, ends


@pytest.mark.parametrize("backend", EMBEDDED)
@pytest.mark.parametrize("counts", [[8], [2], [8, 2], [64, 1, 16]])
async def test_every_user_is_told_the_same_as_without_a_change(backend: str, counts: list[int], tmp_path: Path):
    without = await told("memory", tmp_path / "without", [])
    assert await told(backend, tmp_path, [*counts]) == without
    assert sum(len(messages) for messages in without[0].values()) > 3 * len(USERS)
