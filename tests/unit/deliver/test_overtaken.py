"""What was read or rendered while others changed it: nothing older is put back, and nothing made room for is taken for lost."""

import asyncio
from types import SimpleNamespace

from clarion.backends.memory.standings import MemoryStandings
from clarion.content.gather import Contents
from clarion.content.render import NotCompiled, NotGathered
from clarion.deliver.accounts.gather import AccountLists
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.partition.gather import gather
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.domain.limits_breakers import STANDING_EARLY_MS
from clarion.domain.outcome import Accepted, Misconfigured
from tests.providers import battery
from tests.unit.deliver.test_breakers import MAIL, Clock, Lines
from tests.unit.deliver.test_slow_builds import PARTS, ROW, Watched, account


class Slow(MemoryStandings):
    """Standings whose answers are under way until they are let through."""

    def __init__(self):
        super().__init__()
        self.through = asyncio.Event()
        self.through.set()

    async def read(self, names):
        found = await super().read(names)
        await self.through.wait()
        return found


async def test_a_look_that_was_overtaken_does_not_put_back_an_older_standing():
    clock, store = Clock(), Slow()
    breakers = Breakers(store, clock, Lines())
    assert (await breakers.admit(MAIL, 1)).granted == 1
    breakers.report(MAIL, Accepted())
    await breakers.flush()
    clock.time_ms += STANDING_EARLY_MS
    await breakers.refresh((MAIL,))
    store.through.clear()
    clock.time_ms += STANDING_EARLY_MS
    look = asyncio.create_task(breakers.refresh_early())
    await asyncio.sleep(0.01)
    assert not look.done(), "the look is under way"
    breakers.report(MAIL, Misconfigured("key revoked"))
    await breakers.flush()
    assert breakers.state(MAIL) == "open"
    store.through.set()
    await look
    assert breakers.state(MAIL) == "open"


class Crowded:
    """Contents that make room for others while a render waits for its thread."""

    def __init__(self, losses):
        self.losses, self.gathered = losses, 0

    def holds(self, tenant, key):
        return True

    async def gather(self, templates, tenants):
        assert (list(templates), list(tenants)) == ([("acme", "hi")], ["acme"])
        self.gathered += 1

    def render(self, *args, at_once=False):
        if at_once:
            raise NotCompiled
        if self.gathered < self.losses:
            raise NotGathered("template hi of tenant acme")
        return PARTS


async def test_a_template_that_made_room_while_a_thread_was_busy_is_read_again():
    vendor, contents = Watched(), Crowded(losses=1)
    silent = SimpleNamespace(log=lambda *args, **fields: None)
    now = SimpleNamespace(now_ms=lambda: battery.NOW_MS)
    sender = Sender(SimpleNamespace(), {(Channel.EMAIL, "watched"): vendor}, contents, None, None, now, silent)
    answer = await sender.attempt(Channel.EMAIL, ROW, account())
    assert isinstance(answer.outcome, Accepted)
    assert contents.gathered == 1


class Behind:
    """A directory that has not learnt for too long what changed."""

    def __init__(self):
        self.number, self.changed = 0, True

    def is_current(self):
        return not self.changed

    async def learn(self):
        self.number, self.changed = self.number + 1, False

    def revision(self, tenant):
        return self.number

    async def templates(self, places):
        return dict.fromkeys(places)

    async def definitions(self, keys):
        return {}

    async def accounts(self, places):
        return {place: [] for place in places}


async def test_a_batch_goes_by_what_changed_also_where_learning_fell_behind():
    directory = Behind()
    contents = Contents(directory, {})
    await contents.gather((("acme", "hi"),), ("acme",))
    assert contents.holds("acme", "hi")
    tools = SimpleNamespace(
        channel=Channel.EMAIL,
        sender=Sender(directory, {}, contents, None, None, None, None),
        cancelled=SimpleNamespace(is_stale=lambda: False, among=lambda delivery_ids: frozenset()),
        accounts=AccountLists(directory, {}),
    )
    read = []
    directory.templates = lambda places: read.append(places) or empty()
    await gather(tools, [SimpleNamespace(row=ROW)], None)
    assert read == [[("acme", "hi")]]
    await gather(tools, [SimpleNamespace(row=ROW)], None)
    assert len(read) == 1


async def empty():
    return {}
