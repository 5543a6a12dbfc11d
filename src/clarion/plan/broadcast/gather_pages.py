"""Gathers the facts of a page: the users, what their profiles share, suppressions, caps, and what rendering needs."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.domain.segment import Filter
from clarion.journal.events import BroadcastJob
from clarion.plan.broadcast.addresses import Addresses, addresses_of
from clarion.plan.broadcast.codes import codes_of
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.gather_codes import ProfileCodes
from clarion.plan.claims import Blocks
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_settings import KnownSettings
from clarion.plan.rules.chunks import CONTACT_COLUMNS, Code, Row
from clarion.plan.rules.localtime import at_local_time
from clarion.plan.rules.setting import Setting
from clarion.plan.settings import setting_key
from clarion.ports.directory import Directory
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import Cursor, StageStore

_FILTER = msgspec.json.Decoder(Filter)


class PageGatherer:
    """Reads the facts of pages for one process. `contents` renders from what was gathered."""

    def __init__(self, store: StageStore, directory: Directory, contents: Contents, page_users: int) -> None:
        self._directory = directory
        self._known = KnownSettings(directory)
        self._codes = ProfileCodes(self._known)
        self._caps = CapTimes(store)
        self._page_users = page_users
        self.contents = contents

    def forget_caps(self) -> None:
        """Read cap times again: others have changed some."""
        self._caps.forget()

    def keep_caps(self, writes: Iterable[CapWrite]) -> None:
        """Take over what was written of caps, so that the next page need not read it."""
        self._caps.keep(writes)

    async def channels(self, jobs: Mapping[str, BroadcastJob]) -> dict[str, tuple[Channel, ...]]:
        """Return the channels that a broadcast of each tenant goes out on."""
        asked = {tenant: setting_key(tenant, job.request) for tenant, job in jobs.items() if not job.request.workflow}
        await self._known.refresh(asked)
        settings = await self._known.settings_of(list(asked.values()))
        return {tenant: settings[asked[tenant]].channels if tenant in asked else () for tenant in jobs}

    async def gather(self, cursor: Cursor, job: BroadcastJob, now_ms: int) -> PageFacts:
        """Return the facts of the page after the cursor's position, at a time (Unix ms)."""
        await self._known.refresh((cursor.tenant,))
        key = setting_key(cursor.tenant, job.request)
        setting = (await self._known.settings_of([key]))[key]
        audience, columns = job.audience, () if job.request.workflow else _columns(setting)
        matching = None if audience.filter is None else _FILTER.decode(audience.filter)
        page = await self._directory.page(
            cursor.tenant, audience.topic, cursor.position, self._page_users, columns, matching
        )
        rows, profiles = page.rows, {row[2] for row in page.rows}
        facts = PageFacts(setting, columns, rows, page.position, page.done, page.looked_at)
        zones = await self._zones(profiles) if _by_zone(setting, job) else {}
        if job.request.workflow or not rows:
            return msgspec.structs.replace(facts, zones=zones)
        if Channel.INAPP in setting.channels:
            await self.contents.gather((), (cursor.tenant,))
        addresses = await self._addresses(cursor.tenant, facts)
        return msgspec.structs.replace(
            facts,
            codes=await self._codes_of(setting, profiles, job, zones, now_ms),
            zones=zones,
            addresses=addresses,
            suppressed=await self._suppressed(cursor.tenant, addresses),
            caps=await self._cap_times(cursor.tenant, setting, rows),
        )

    async def _zones(self, profiles: set[int]) -> dict[int, str]:
        return {profile_id: profile.zone for profile_id, profile in (await self._directory.profiles(profiles)).items()}

    async def _codes_of(
        self, setting: Setting, profiles: set[int], job: BroadcastJob, zones: Mapping[int, str], now_ms: int
    ) -> Mapping[Channel, Mapping[int, Code]]:
        local_ms = job.audience.local_ms
        if local_ms is None:
            return await self._codes.gather(setting, profiles, now_ms)
        gates = {
            profile_id: at_local_time(gate, local_ms, zones[profile_id] or setting.zone, now_ms)
            for profile_id, gate in (await self._known.gates_of(setting, profiles, now_ms)).items()
        }
        return {channel: codes_of(setting, gates, channel, now_ms) for channel in setting.channels}

    async def _addresses(self, tenant: str, facts: PageFacts) -> dict[Channel, Addresses]:
        """Return where everyone can be reached on the channels on which something is suppressed."""
        suppressing = (await self._directory.suppressing((tenant,)))[tenant]
        return {
            channel: addresses_of(facts.rows, channel, facts.columns)
            for channel in facts.setting.channels
            if channel is not Channel.INAPP and channel in suppressing
        }

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

    async def _cap_times(self, tenant: str, setting: Setting, rows: Sequence[Row]) -> dict[tuple[str, bytes], Blocks]:
        if not setting.caps:
            return {}
        self._caps.trim()
        numbers = {row[0] // CAP_BLOCK_USERS for row in rows}
        return await self._caps.load({(tenant, cap.rule): numbers for cap in setting.caps})


def _by_zone(setting: Setting, job: BroadcastJob) -> bool:
    return setting.template.uses_user or job.audience.local_ms is not None


def _columns(setting: Setting) -> tuple[str, ...]:
    names = {name: None for channel in setting.channels for name in CONTACT_COLUMNS[channel]}
    if setting.template.uses_user:
        names |= {"email": None, "phone": None, "attributes": None}
    return tuple(names)
