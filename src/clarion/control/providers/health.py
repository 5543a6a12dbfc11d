"""The health of an account at a provider, and the manual reset of its breaker."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from clarion.domain.account_health import AccountHealth, HealthState
from clarion.domain.channel import Channel
from clarion.domain.errors import existing
from clarion.domain.history import HealthChange
from clarion.domain.limits_delivery import HEALTH_CHANGES_SHOWN_MAX
from clarion.domain.times import shown
from clarion.journal.codec import encode
from clarion.journal.events import HealthFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.account_health import AccountHealthStore, AccountName
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import ProviderRecord, Providers
from clarion.ports.receipt_lookup import ReceiptLookup
from clarion.ports.stage_store import StageResult, StageStore
from clarion.ports.streams import Frame
from clarion.ports.web import Call, Reply, Route
from clarion.runtime.shared_counts import settle

_LONG_MS: Final = 1 << 47


class HealthChangeView(msgspec.Struct, frozen=True):
    """A change of an account's health, with its time and reason."""

    at: datetime
    before: str
    state: str
    detail: str


class HealthView(msgspec.Struct, frozen=True):
    """The health of an account: `closed` (in use), `degraded` (other accounts are preferred), `open` (not called),
    `half_open` (one probe is running) or `recovering` (at most at its previous pace). `until` is when the next probe
    may be made. `calls` and `failures` are those of the last `window_ms`. `paused_until` is the end of the pause that
    the provider asked for. `changes` are the newest."""

    name: str
    channel: Channel
    vendor: str
    state: HealthState
    since: datetime | None
    until: datetime | None
    detail: str
    window_ms: int
    calls: int
    failures: int
    paused_until: datetime | None
    changes: list[HealthChangeView]


class _Handlers:
    def __init__(
        self,
        providers: Providers,
        account_health: AccountHealthStore,
        changes: ReceiptLookup,
        store: StageStore,
        clock: Clock,
    ) -> None:
        self._providers = providers
        self._account_health = account_health
        self._lookup = changes
        self._store = store
        self._clock = clock

    async def get(self, call: Call) -> Reply:
        provider = await self._provider(call)
        ((health, _),) = await self._account_health.read([AccountName(call.caller.tenant, provider.name)])
        changes = await self._lookup.health_changes(
            call.caller.tenant, provider.name, 0, _LONG_MS, HEALTH_CHANGES_SHOWN_MAX
        )
        return Reply(self._view(provider, health, changes))

    async def reset(self, call: Call) -> Reply:
        provider, tenant = await self._provider(call), call.caller.tenant
        now_ms, at_ms = self._clock.now_ms(), self._clock.monotonic_ms()

        def close(found: list[AccountHealth]) -> tuple[list[AccountHealth], HealthState]:
            (before,) = found
            after = AccountHealth(version=provider.version, changed_ms=at_ms, rate_m=before.rate_m)
            return [after], before.state if before.version == provider.version else "closed"

        _, before = await settle(self._account_health, [AccountName(tenant, provider.name)], close, self._clock)
        if before != "closed":
            changes = _frame(tenant, provider, before, call.caller.actor.id, now_ms)
            await self._store.commit(StageResult(frames=[changes]))
        return Reply(status=204)

    async def _provider(self, call: Call) -> ProviderRecord:
        return existing(await self._providers.get(call.caller.tenant, call.path["name"]), "provider")

    def _view(self, provider: ProviderRecord, health: AccountHealth, changes: Sequence[HealthChange]) -> HealthView:
        if health.version != provider.version:
            health = AccountHealth()  # the stored health is of the account before its change
        now_ms, at_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        window_ms = provider.rules.breaker.window_ms
        slots = [slot for slot in health.slots if slot[0] > at_ms - window_ms]

        def wall(time_ms: int) -> datetime | None:
            return shown(now_ms + time_ms - at_ms) if time_ms else None

        return HealthView(
            name=provider.name,
            channel=provider.channel,
            vendor=provider.vendor,
            state=health.state,
            since=wall(health.changed_ms),
            until=wall(health.until_ms) if health.state in ("open", "half_open") else None,
            detail=health.detail,
            window_ms=window_ms,
            calls=sum(calls for _, calls, _ in slots),
            failures=sum(failures for _, _, failures in slots),
            paused_until=wall(health.paused_until_ms) if health.paused_until_ms > at_ms else None,
            changes=[HealthChangeView(shown(c.at_ms), c.before, c.state, c.detail) for c in changes],
        )


def _frame(tenant: str, provider: ProviderRecord, before: str, key_id: str, now_ms: int) -> Frame:
    event = HealthFrame(
        [tenant], [provider.channel.value], [provider.name], [provider.vendor], [before], ["closed"],
        [f"closed by hand; key {key_id}"], [now_ms],
    )  # fmt: skip
    return Frame(OUTCOMES, 0, 1, encode(event, 1))


def routes(
    providers: Providers, account_health: AccountHealthStore, changes: ReceiptLookup, store: StageStore, clock: Clock
) -> list[Route]:
    """Return the endpoints of account health."""
    do, tag = _Handlers(providers, account_health, changes, store, clock), "providers"
    return [
        Route("GET", "/v1/providers/{name}/health", do.get, "providers:read", "Get the health of a provider account",
              reply=HealthView, tag=tag),
        Route("POST", "/v1/providers/{name}/reset", do.reset, "providers:write",
              "Close the breaker of a provider account and call it again", status=204, tag=tag),
    ]  # fmt: skip
