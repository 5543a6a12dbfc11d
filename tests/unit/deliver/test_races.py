"""Reads and renders that race with changes: no older value is restored, and an evicted entry is read again."""

import asyncio
from types import SimpleNamespace

from clarion.content.gather import Contents
from clarion.content.render import NotCompiled, NotGathered
from clarion.deliver.accounts.gather import AccountLists
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.partition.gather import gather
from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.domain.limits_delivery import HEALTH_EARLY_MS
from clarion.domain.outcome import Accepted, Misconfigured
from clarion.stores.memory.account_health import MemoryAccountHealth
from tests.providers import battery
from tests.unit.deliver.test_breakers import MAIL, Clock, Lines
from tests.unit.deliver.test_slow_builds import PARTS, ROW, Watched, account


class Slow(MemoryAccountHealth):
    """A store of account health whose answers wait until they are released."""

    def __init__(self):
        super().__init__()
        self.through = asyncio.Event()
        self.through.set()

    async def read(self, names):
        found = await super().read(names)
        await self.through.wait()
        return found


async def test_an_overtaken_read_does_not_restore_older_health():
    clock, store = Clock(), Slow()
    breakers = Breakers(store, clock, Lines())
    assert (await breakers.admit(MAIL, 1)).granted == 1
    breakers.report(MAIL, Accepted())
    await breakers.flush()
    clock.time_ms += HEALTH_EARLY_MS
    await breakers.refresh((MAIL,))
    store.through.clear()
    clock.time_ms += HEALTH_EARLY_MS
    look = asyncio.create_task(breakers.refresh_early())
    await asyncio.sleep(0.01)
    assert not look.done(), "the read is under way"
    breakers.report(MAIL, Misconfigured("key revoked"))
    await breakers.flush()
    assert breakers.state(MAIL) == "open"
    store.through.set()
    await look
    assert breakers.state(MAIL) == "open"


class EvictingContents:
    """Contents that evict templates while a render waits for its thread."""

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


async def test_a_template_evicted_while_a_thread_was_busy_is_read_again():
    vendor, contents = Watched(), EvictingContents(losses=1)
    silent = SimpleNamespace(log=lambda *args, **fields: None)
    now = SimpleNamespace(now_ms=lambda: battery.NOW_MS)
    sender = Sender(SimpleNamespace(), {(Channel.EMAIL, "watched"): vendor}, contents, None, None, now, silent)
    answer = await sender.attempt(Channel.EMAIL, ROW, account())
    assert isinstance(answer.outcome, Accepted)
    assert contents.gathered == 1


class StaleDirectory:
    """A directory whose refresh is overdue."""

    def __init__(self):
        self.number, self.changed = 0, True

    def is_current(self):
        return not self.changed

    async def refresh(self):
        self.number, self.changed = self.number + 1, False

    def revision(self, tenant):
        return self.number

    async def templates(self, places):
        return dict.fromkeys(places)

    async def definitions(self, keys):
        return {}

    async def accounts(self, places):
        return {place: [] for place in places}


async def test_a_batch_uses_changes_even_when_refreshing_fell_behind():
    directory = StaleDirectory()
    contents = Contents(directory, {})
    await contents.gather((("acme", "hi"),), ("acme",))
    assert contents.holds("acme", "hi")
    context = SimpleNamespace(
        channel=Channel.EMAIL,
        sender=Sender(directory, {}, contents, None, None, None, None),
        cancelled=SimpleNamespace(is_stale=lambda: False, cancelled_of=lambda delivery_ids: frozenset()),
        accounts=AccountLists(directory, {}),
    )
    read = []
    directory.templates = lambda places: read.append(places) or empty()
    await gather(context, [SimpleNamespace(row=ROW)], None)
    assert read == [[("acme", "hi")]]
    await gather(context, [SimpleNamespace(row=ROW)], None)
    assert len(read) == 1


async def empty():
    return {}
