"""Gathers the facts of a page: the users, the codes of their profiles, suppressions, caps, and the facts for
rendering."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.domain.segment import Filter
from clarion.journal.events import BroadcastJob
from clarion.plan.broadcast.addresses import Addresses, addresses_of
from clarion.plan.broadcast.codes import codes_of
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.gather_codes import ProfileCodes
from clarion.plan.claims import Blocks
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_request_facts import RequestFactsCache
from clarion.plan.request_facts import RequestFactsKey, request_facts_key
from clarion.plan.rules.chunks import CONTACT_COLUMNS, Code, Row
from clarion.plan.rules.localtime import at_local_time
from clarion.plan.rules.profile_rules import Gate
from clarion.plan.rules.request_facts import RequestFacts
from clarion.ports.directory import Directory, UserPage
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import Cursor, StageStore
from clarion.runtime.metering import together

_FILTER = msgspec.json.Decoder(Filter)


class PageGatherer:
    """Reads the facts of pages for one process. `contents` renders from gathered facts."""

    def __init__(self, store: StageStore, directory: Directory, contents: Contents, page_users: int) -> None:
        self._directory = directory
        self._known = RequestFactsCache(directory)
        self._codes = ProfileCodes(self._known)
        self._caps = CapTimes(store)
        self._page_users = page_users
        self.contents = contents

    def forget_caps(self) -> None:
        """Drop the cached cap times: other processes have changed some."""
        self._caps.forget()

    def keep_caps(self, writes: Iterable[CapWrite]) -> None:
        """Update the cached cap times with committed writes, so that the next page need not read them."""
        self._caps.keep(writes)

    async def channels(self, jobs: Mapping[str, BroadcastJob]) -> dict[str, tuple[Channel, ...]]:
        """Return the channels on which each tenant's broadcast is sent."""
        asked = {
            tenant: request_facts_key(tenant, job.request) for tenant, job in jobs.items() if not job.request.workflow
        }
        await self._known.refresh()
        request_facts = await self._known.request_facts_of(list(asked.values()))
        return {tenant: request_facts[asked[tenant]].channels if tenant in asked else () for tenant in jobs}

    async def gather(self, cursor: Cursor, job: BroadcastJob, now_ms: int) -> PageFacts:
        """Return the facts of the page after the cursor's position, at a time (Unix ms): the users, and in a second
        round the facts that depend on them."""
        tenant = cursor.tenant
        await self._known.refresh()
        key = request_facts_key(tenant, job.request)
        request_facts = (await self._known.request_facts_of([key]))[key]
        decides = not job.request.workflow
        columns = _columns(request_facts) if decides else ()
        also: list[Coroutine[Any, Any, Any]] = [self._directory.suppressing((tenant,))] if decides else []
        if decides and Channel.INAPP in request_facts.channels:
            also.append(self.contents.gather((), (tenant,)))
        page, *found = await together(self._page(cursor, job, columns), *also)
        profiles = {row[2] for row in page.rows}
        facts = PageFacts(request_facts, columns, page.rows, page.position, page.done, page.scanned)
        zoned = self._zones(profiles if _by_zone(request_facts, job) else set())
        if not decides or not page.rows:
            return msgspec.structs.replace(facts, zones=await zoned)
        addresses = _addresses(facts, found[0][tenant])
        zones, verdicts, suppressed, caps = await together(
            zoned,
            self._verdicts(key, request_facts, profiles, job, now_ms),
            self._suppressed(tenant, addresses),
            self._cap_times(tenant, request_facts, page.rows),
        )
        return msgspec.structs.replace(
            facts,
            codes=verdicts
            if job.audience.local_ms is None
            else _at_local_time(request_facts, verdicts, job, zones, now_ms),
            zones=zones,
            addresses=addresses,
            suppressed=suppressed,
            caps=caps,
        )

    async def _page(self, cursor: Cursor, job: BroadcastJob, columns: Sequence[str]) -> UserPage:
        audience = job.audience
        matching = None if audience.filter is None else _FILTER.decode(audience.filter)
        return await self._directory.page(
            cursor.tenant, audience.topic, cursor.position, self._page_users, columns, matching
        )

    async def _zones(self, profiles: set[int]) -> dict[int, str]:
        found = await self._directory.profiles(profiles) if profiles else {}
        return {profile_id: profile.zone for profile_id, profile in found.items()}

    async def _verdicts(
        self, key: RequestFactsKey, request_facts: RequestFacts, profiles: set[int], job: BroadcastJob, now_ms: int
    ) -> Mapping[Any, Any]:
        """Return the codes of profiles by channel, or, for a recipient-local time, the gates that the codes follow
        from."""
        if job.audience.local_ms is None:
            return await self._codes.gather(key, request_facts, profiles, now_ms)
        return await self._known.gates_of(key, request_facts, profiles, now_ms)

    async def _suppressed(
        self, tenant: str, addresses: Mapping[Channel, Addresses]
    ) -> dict[Channel, Mapping[str, str]]:
        if not addresses:
            return {}
        asked: dict[tuple[str, str], list[str]] = {
            (tenant, channel): [address for reached in found for address in reached]
            for channel, found in addresses.items()
        }
        suppressed = await self._directory.suppressed(asked)
        return {channel: suppressed[tenant, channel] for channel in addresses}

    async def _cap_times(
        self, tenant: str, request_facts: RequestFacts, rows: Sequence[Row]
    ) -> dict[tuple[str, bytes], Blocks]:
        if not request_facts.caps:
            return {}
        self._caps.trim()
        numbers = {row[0] // CAP_BLOCK_USERS for row in rows}
        return await self._caps.load({(tenant, cap.rule): numbers for cap in request_facts.caps})


def _addresses(facts: PageFacts, suppressing: set[str]) -> dict[Channel, Addresses]:
    """Return the addresses of all users on the channels on which the tenant has suppressions."""
    return {
        channel: addresses_of(facts.rows, channel, facts.columns)
        for channel in facts.request_facts.channels
        if channel is not Channel.INAPP and channel in suppressing
    }


def _at_local_time(
    request_facts: RequestFacts, verdicts: Mapping[int, Gate], job: BroadcastJob, zones: Mapping[int, str], now_ms: int
) -> Mapping[Channel, Mapping[int, Code]]:
    local_ms = job.audience.local_ms or 0
    gates = {
        profile_id: at_local_time(gate, local_ms, zones[profile_id] or request_facts.zone, now_ms)
        for profile_id, gate in verdicts.items()
    }
    return {channel: codes_of(request_facts, gates, channel, now_ms) for channel in request_facts.channels}


def _by_zone(request_facts: RequestFacts, job: BroadcastJob) -> bool:
    return request_facts.template.uses_user or job.audience.local_ms is not None


def _columns(request_facts: RequestFacts) -> tuple[str, ...]:
    names = {name: None for channel in request_facts.channels for name in CONTACT_COLUMNS[channel]}
    if request_facts.template.uses_user:
        names |= {"email": None, "phone": None, "attributes": None}
    return tuple(names)
