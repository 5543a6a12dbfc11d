"""Users and categories for the tests of holds, caps and routes, and a world to plan them in."""

import asyncio

import pytest

from clarion.domain.cap import Cap
from clarion.domain.channel import LANES, Channel
from clarion.domain.content import Category, CategoryRules
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.domain.route import Route
from clarion.domain.user import Device, UserWrite
from clarion.journal import topics
from clarion.journal.rows import deliver_rows
from clarion.ports.directory import Directory
from tests.contract.controls import ControlPlane
from tests.look import Glance
from tests.registries import categories_of, definitions_of
from tests.stages.world import TENANT, World, seed_data

PUSH, SMS = Channel.PUSH, Channel.SMS
HOUR_MS = 3600 * 1000
NIGHT = '{"windows":[{"start":"22:00","end":"07:00"}],"channels":["sms","push"]}'
"""Virtual time begins at 22:13 UTC."""
DIGEST = b"""{"steps":[{"kind":"digest","name":"collect","window":{"fixed":"10m"}},
{"kind":"send","name":"tell","template":"texting","channels":["sms"]}]}"""


def category(key: str, **rules: object) -> Category:
    return Category(key, rules=CategoryRules(**rules))  # type: ignore[arg-type]


CATEGORIES = (
    category("awake", quiet_hours=False),
    category("hasty", hold_max="1h"),
    category("capped", caps=(Cap(2, "1d"),)),
    category("deferred", caps=(Cap(1, "1h", SMS),), over_cap="defer"),
    category("digested", caps=(Cap(1, "1h"),), over_cap="digest", digest_workflow="summary"),
    category("either", route=Route(first=(PUSH, SMS))),
    category("sure", route=Route(first=(PUSH, SMS), until="sent")),
    category("seen", route=Route(first=(PUSH, SMS), until="seen", within="2m")),
    category("slow", route=Route(first=(PUSH, SMS), until="sent", within="2m")),
    category("arrived", route=Route(first=(PUSH, SMS), until="delivered", within="2m")),
    Category("alarm", critical=True),
)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    installation = ControlPlane(tmp_path_factory.mktemp("people"), backend="memory")

    asyncio.run(fill(installation))
    return installation.directory


async def fill(installation: ControlPlane) -> None:
    """Fill a control store with users and categories."""
    await seed_data(installation)
    control = installation.control
    await definitions_of(control).put(TENANT, "workflow", "summary", DIGEST)
    for one in CATEGORIES:
        await categories_of(control).put(TENANT, one)
    phones = tuple(Device(f"d{n}", "push", token) for n, token in enumerate(["dead-token-1", "refused-2"]))
    users = [
        UserWrite("night", phone="accepted-night", quiet_hours=NIGHT),
        UserWrite("day", phone="accepted-day", devices=(Device("d", "push", "accepted-push"),)),
        UserWrite("lost", phone="accepted-lost", devices=phones),
        UserWrite("half", phone="accepted-half", devices=(phones[0], Device("d", "push", "accepted-half-push"))),
    ]
    await control.users.put_many(TENANT, users)


class TimedWorld(World):
    """A world in which time passes: timers fire, and their frames are planned."""

    async def pass_time(self, ms: int) -> None:
        """Let time pass, from timer to timer."""
        end_ms = self.clock.now_ms() + ms
        await self.plan()
        while (due_ms := Glance(self.journal).next_due_ms()) is not None and due_ms <= end_ms:
            self.clock.wall_ahead_ms += max(due_ms - self.clock.now_ms(), 0)
            await self.journal.fire(self.clock.now_ms(), 1_000)
            await self.plan()
        self.clock.wall_ahead_ms += max(end_ms - self.clock.now_ms(), 0)

    def to_send(self, channel: Channel = SMS) -> list[str]:
        """Return the addresses that were handed to the senders, in order."""
        frames = [frame for lane in LANES for frame in self.events(topics.deliver(channel, lane))]
        return [row.address for frame in frames for row in deliver_rows(frame)]  # type: ignore[arg-type]

    def fates(self) -> list[tuple[str, State, Reason]]:
        """Return the state of every delivery, in the order of planning."""
        self.ledger.fold()
        return [(row.channel, row.state, Reason(row.reason)) for row in self.ledger.rows.values()]
