"""How an account at a provider stands, and closing its breaker by hand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.errors import NotFound
from clarion.domain.history import StandingChange
from clarion.domain.limits_resilience import STANDING_CHANGES_SHOWN_MAX
from clarion.domain.standing import Standing, StandingState
from clarion.journal.codec import encode
from clarion.journal.events import StandingFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import ProviderRecord, Providers
from clarion.ports.stage_store import StageResult, StageStore
from clarion.ports.standings import AccountName, Standings
from clarion.ports.streams import Frame
from clarion.ports.times import shown
from clarion.ports.told import ToldHistory
from clarion.ports.versioned import settle
from clarion.ports.web import Call, Reply, Route

_LONG_MS: Final = 1 << 47


class ChangeView(msgspec.Struct, frozen=True):
    """That an account stood differently from a time on, and why."""

    at: datetime
    before: str
    state: str
    detail: str


class StandingView(msgspec.Struct, frozen=True):
    """How an account stands: `closed` (in use), `degraded` (others come first), `open` (not called), `half_open` (one probe
    is under way) or `recovering` (no faster than before). `until` is when the next probe may be made. `calls` and `failures`
    are those of the last `window_ms`. `paused_until` is how long the provider asked for quiet. `changes` are the newest."""

    name: str
    channel: Channel
    vendor: str
    state: StandingState
    since: datetime | None
    until: datetime | None
    detail: str
    window_ms: int
    calls: int
    failures: int
    paused_until: datetime | None
    changes: list[ChangeView]


class _Handlers:
    def __init__(
        self, providers: Providers, standings: Standings, told: ToldHistory, store: StageStore, clock: Clock
    ) -> None:
        self._providers = providers
        self._standings = standings
        self._told = told
        self._store = store
        self._clock = clock

    async def get(self, call: Call) -> Reply:
        provider = await self._provider(call)
        ((standing, _),) = await self._standings.read([AccountName(call.caller.tenant, provider.name)])
        changes = await self._told.standings(call.caller.tenant, provider.name, 0, _LONG_MS, STANDING_CHANGES_SHOWN_MAX)
        return Reply(self._view(provider, standing, changes))

    async def reset(self, call: Call) -> Reply:
        provider, tenant = await self._provider(call), call.caller.tenant
        now_ms, at_ms = self._clock.now_ms(), self._clock.monotonic_ms()

        def close(found: list[Standing]) -> tuple[list[Standing], StandingState]:
            (before,) = found
            after = Standing(version=provider.version, changed_ms=at_ms, rate_m=before.rate_m)
            return [after], before.state if before.version == provider.version else "closed"

        _, before = await settle(self._standings, [AccountName(tenant, provider.name)], close, self._clock)
        if before != "closed":
            told = _frame(tenant, provider, before, call.caller.key_id, now_ms)
            await self._store.commit(StageResult(frames=[told]))
        return Reply(status=204)

    async def _provider(self, call: Call) -> ProviderRecord:
        provider = await self._providers.get(call.caller.tenant, call.path["name"])
        if provider is None:
            raise NotFound("no such provider")
        return provider

    def _view(self, provider: ProviderRecord, standing: Standing, changes: Sequence[StandingChange]) -> StandingView:
        if standing.version != provider.version:
            standing = Standing()  # what is known is of the account as it was before it was changed
        now_ms, at_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        window_ms = provider.rules.breaker.window_ms
        slots = [slot for slot in standing.slots if slot[0] > at_ms - window_ms]

        def wall(time_ms: int) -> datetime | None:
            return shown(now_ms + time_ms - at_ms) if time_ms else None

        return StandingView(
            name=provider.name,
            channel=provider.channel,
            vendor=provider.vendor,
            state=standing.state,
            since=wall(standing.changed_ms),
            until=wall(standing.until_ms) if standing.state in ("open", "half_open") else None,
            detail=standing.detail,
            window_ms=window_ms,
            calls=sum(calls for _, calls, _ in slots),
            failures=sum(failures for _, _, failures in slots),
            paused_until=wall(standing.paused_until_ms) if standing.paused_until_ms > at_ms else None,
            changes=[ChangeView(shown(c.at_ms), c.before, c.state, c.detail) for c in changes],
        )


def _frame(tenant: str, provider: ProviderRecord, before: str, key_id: str, now_ms: int) -> Frame:
    event = StandingFrame(
        [tenant], [provider.channel.value], [provider.name], [provider.vendor], [before], ["closed"],
        [f"closed by hand; key {key_id}"], [now_ms],
    )  # fmt: skip
    return Frame(OUTCOMES, 0, 1, encode(event, 1))


def routes(
    providers: Providers, standings: Standings, told: ToldHistory, store: StageStore, clock: Clock
) -> list[Route]:
    """Return the endpoints of standings."""
    do, tag = _Handlers(providers, standings, told, store, clock), "providers"
    return [
        Route("GET", "/v1/providers/{name}/health", do.get, "providers:read", "How a provider account stands",
              reply=StandingView, tag=tag),
        Route("POST", "/v1/providers/{name}/reset", do.reset, "providers:write",
              "Call a provider account again, whatever it did", status=204, tag=tag),
    ]  # fmt: skip
