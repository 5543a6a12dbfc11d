"""Runs the case: creates four tenants, sends a steady load on the virtual clock, and gathers the evidence."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from clarion.app.routes.all_routes import routes
from clarion.app.wiring.parts import Shared
from clarion.domain.channel import Channel
from clarion.domain.decision import REASON_NAMES, Reason
from clarion.domain.delivery_state import NAMES
from clarion.domain.history import Attempt, Delivery
from clarion.domain.outcome import Ambiguous, name_of
from clarion.testing.api import Api
from clarion.testing.installation import Installation
from clarion.testing.loop import LoneLoop
from clarion_lab.outage.clock import LoopClock
from clarion_lab.outage.running import Running
from clarion_lab.outage.vendors import DEAD, Vendors
from clarion_lab.outage.verdict import AcceptedNotification, Evidence, Plan, StoredOutcome, VendorRequest

START_MS: Final = 1_800_000_000_000
HIT, MISCONFIGURED, HEALTHY, STALE = "hit", "misconfigured", "healthy", "stale"
TENANTS: Final = (HIT, MISCONFIGURED, HEALTHY, STALE)
TICK_S: Final = 0.5
DEAD_SHARES: Final = {HIT: 0.05, STALE: 0.6}
"""Share of dead tokens, by tenant. Even the many dead tokens of the stale tenant say nothing about its account."""
TOKENS_SHARED: Final = 4
"""The mean number of notifications to one token."""
TOKENS_AHEAD: Final = 2_000
"""Tokens in use at a time; new ones replace them during the run."""
SETTLE_S: Final = 30.0
SUPPRESSED_A_PAGE: Final = 200
_LINGERING: Final = "[api]\nlinger_ms = 0\n"


class Shape(NamedTuple):
    """The length of the phases (seconds) and the number of notifications a second that each tenant sends of each
    kind."""

    before_s: float = 300.0
    down_s: float = 600.0
    after_s: float = 1200.0
    orders: int = 10
    promotions: int = 10
    refused: int = 2
    texts: int = 2
    healthy: int = 2
    stale: int = 2


class OutageInstallation(Installation):
    """An installation whose providers are `vendors`."""

    vendors_outside: Vendors

    def http(self) -> Any:
        """Return the vendors."""
        return self.vendors_outside


def run(seed: int, folder: Path, shape: Shape = Shape(), say: Callable[[str], None] = lambda line: None) -> Evidence:  # noqa: B008 - it cannot change
    """Run the case in an empty folder and return the evidence. The same seed gives the same evidence."""
    loop = LoneLoop()
    try:
        return loop.run_until_complete(_run(loop, seed, folder, shape, say))
    finally:
        loop.close()


async def _run(loop: LoneLoop, seed: int, folder: Path, shape: Shape, say: Callable[[str], None]) -> Evidence:
    clock = LoopClock(loop, START_MS, seed)
    vendors = Vendors(folder, loop.time, seed, TENANTS)
    vendors.refused = MISCONFIGURED
    parts = OutageInstallation(folder, clock, _LINGERING)
    parts.vendors_outside = vendors
    load = _Load(parts, loop, seed, shape)
    try:
        await load.seed_data(vendors)
        begin_s = loop.time()
        vendors.outages[HIT].report([f"fcm down {shape.down_s:.0f}s from {shape.before_s:.0f}s"])
        async with Running(parts, [Channel.PUSH, Channel.SMS]) as running:
            await load.go(begin_s, running, say)
            await asyncio.sleep(SETTLE_S)
            running.check()
        return await load.evidence(vendors, begin_s)
    finally:
        await parts.close()
        await vendors.close()


class _Load:
    """The client of all tenants."""

    def __init__(self, parts: Shared, loop: asyncio.AbstractEventLoop, seed: int, shape: Shape) -> None:
        self._parts = parts
        self._loop = loop
        self._chance = Random(seed)
        self._shape = shape
        self._asked: list[AcceptedNotification] = []
        listed = routes(parts)
        self._api = {tenant: Api(listed, tenant) for tenant in TENANTS}
        self._sent = dict.fromkeys(self._api, 0)

    async def seed_data(self, vendors: Vendors) -> None:
        """Create tenants, templates, categories and accounts."""
        push = {"title": "Order", "body": "It is {{ what }}."}
        for tenant in self._api:
            await self._call(tenant, "PUT", f"/v1/tenants/{tenant}", {"name": tenant})
            await self._call(tenant, "PUT", "/v1/providers/push", vendors.push_account(tenant))
            await self._call(tenant, "PUT", "/v1/providers/sms", vendors.sms_account())
            route = {"first": ["push", "sms"], "until": "sent"}
            await self._call(tenant, "PUT", "/v1/categories/order_confirmed", {"route": route})
            await self._call(tenant, "PUT", "/v1/categories/promotion", {})
            text = {"body": "It is {{ what }}."}
            for name, category, channels in (
                ("order", "order_confirmed", {"push": push, "sms": text}),
                ("promotion", "promotion", {"push": push}),
                ("text", "promotion", {"sms": text}),
            ):
                body = {"category": category, "channels": channels}
                await self._call(tenant, "PUT", f"/v1/templates/{name}", body)

    async def go(self, begin_s: float, running: Running, say: Callable[[str], None]) -> None:
        """Send at a constant rate from beginning to end."""
        shape = self._shape
        rates = [
            (HIT, "order", shape.orders), (HIT, "promotion", shape.promotions), (MISCONFIGURED, "promotion", shape.refused),
            (MISCONFIGURED, "text", shape.texts), (HEALTHY, "promotion", shape.healthy),
            (STALE, "promotion", shape.stale),
        ]  # fmt: skip
        ticks = int((shape.before_s + shape.down_s + shape.after_s) / TICK_S)
        for tick in range(ticks):
            await asyncio.sleep(max(0.0, begin_s + tick * TICK_S - self._loop.time()))
            for tenant in self._api:
                kinds = [
                    kind for owner, kind, rate in rates if owner == tenant
                    for _ in range(int((tick + 1) * rate * TICK_S) - int(tick * rate * TICK_S))
                ]  # fmt: skip
                if kinds:
                    await self._send(tenant, kinds, begin_s)
            running.check()
            if tick % 120 == 0:
                say(f"minute {tick * TICK_S / 60:.0f} of {ticks * TICK_S / 60:.0f}: {len(self._asked):,} sent")

    async def _send(self, tenant: str, kinds: list[str], begin_s: float) -> None:
        asked, bodies = [], []
        for kind in kinds:
            number = self._sent[tenant] = self._sent[tenant] + 1
            token, dead = self._token(tenant, number)
            to = {"phone": f"+1415{number % 10**7:07}"} if kind != "promotion" else {}
            to |= {"push": token} if kind != "text" else {}
            bodies.append({"to": to, "template": kind, "data": {"what": f"no. {number}"}})
            asked.append((kind, token, dead and kind != "text"))
        at_s = self._loop.time() - begin_s
        answer = await self._call(tenant, "POST", "/v1/notifications/batch", {"notifications": bodies})
        for (kind, token, dead), result in zip(asked, answer["results"], strict=True):
            if result["status"] != "accepted":
                raise RuntimeError(f"a notification was not accepted: {result}")
            bare = result["id"].rpartition("_")[2]
            self._asked.append(AcceptedNotification(bare, tenant, kind, at_s, token, dead))

    def _token(self, tenant: str, number: int) -> tuple[str, bool]:
        # Tokens of the stale tenant are all different: it never removes dead ones.
        which = number if tenant == STALE else number // TOKENS_SHARED + self._chance.randrange(TOKENS_AHEAD)
        dead = Random(f"{tenant}{which}").random() < DEAD_SHARES.get(tenant, 0.0)
        return f"token-of-{tenant}-{which:07}-{DEAD if dead else 'live'}", dead

    async def _call(self, tenant: str, method: str, path: str, body: Any, **query: str) -> Any:
        return await self._api[tenant].call(method, path, body, None, query)

    async def evidence(self, vendors: Vendors, begin_s: float) -> Evidence:
        """Return the accepted notifications, the messages that arrived and the product's account."""
        shape = self._shape
        plan = Plan(HIT, MISCONFIGURED, shape.before_s, shape.before_s + shape.down_s)
        called = [_since(call, begin_s) for call in vendors.called]
        stored = [one for asked in self._asked for one in await self._stored(asked)]
        return Evidence(plan, self._asked, called, stored, await self._suppressed())

    async def _stored(self, asked: AcceptedNotification) -> list[StoredOutcome]:
        history, tenant = self._parts.state.history, asked.tenant
        id_ = bytes.fromhex(asked.notification)
        deliveries = (await history.deliveries_of(tenant, [id_])).get(id_, [])
        tries: dict[bytes, list[Attempt]] = {delivery.id: [] for delivery in deliveries}
        for attempt in await history.attempts_of(tenant, list(tries)):
            tries[attempt.delivery_id].append(attempt)
        return [_account(asked, delivery, tries[delivery.id]) for delivery in deliveries]

    async def _suppressed(self) -> list[str]:
        found: list[str] = []
        for tenant in TENANTS:
            query = {"limit": str(SUPPRESSED_A_PAGE)}
            while True:
                page = await self._call(tenant, "GET", "/v1/suppressions", None, **query)
                found += [entry["address"] for entry in page["data"] if entry["channel"] == Channel.PUSH]
                if not page.get("next"):
                    break
                query["after"] = page["next"]
        return found


def _account(asked: AcceptedNotification, delivery: Delivery, attempts: list[Attempt]) -> StoredOutcome:
    """Return the stored outcome of a delivery; without its own reason it has that of its last attempt."""
    reason = Reason(delivery.reason)
    words = attempts[-1].outcome if reason is Reason.NONE and attempts else REASON_NAMES[reason]
    unsure = delivery.repeats + sum(attempt.outcome == name_of(Ambiguous()) for attempt in attempts)
    return StoredOutcome(asked.notification, delivery.channel, NAMES[delivery.state], words, unsure)


def _since(call: VendorRequest, begin_s: float) -> VendorRequest:
    return msgspec.structs.replace(call, at_s=round(call.at_s - begin_s, 6))
