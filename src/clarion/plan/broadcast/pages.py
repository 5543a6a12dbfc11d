"""Plans one page of a broadcast: user rows in, chunk frames out, all decisions shared per profile class."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import State
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.domain.route import Route
from clarion.domain.segment import Filter
from clarion.journal.events import BroadcastJob
from clarion.plan.broadcast.addresses import addresses_of
from clarion.plan.broadcast.chunks import ChunkWriter, PageChunks
from clarion.plan.broadcast.codes import ProfileCodes, codes_of
from clarion.plan.broadcast.starts import starts
from clarion.plan.claims import Claims
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_facts import StoredFacts
from clarion.plan.rules.chunks import (
    CONTACT_COLUMNS,
    Code,
    Columns,
    Place,
    Row,
    addressed_columns,
    code_of,
    left_over,
    shared_columns,
)
from clarion.plan.rules.decide import over_cap
from clarion.plan.rules.localtime import at_local_time, local_due_ms, too_late
from clarion.plan.rules.setting import Setting
from clarion.ports.directory import Directory
from clarion.ports.journal import CapWrite, Cursor, Frame, Timer

_FILTER = msgspec.json.Decoder(Filter)
_MERGED = int(State.MERGED)


class Page(NamedTuple):
    """A planned page: what to append, the ordinal it ends at, counts, and whether it was the last."""

    frames: list[Frame]
    timers: list[Timer]
    caps: list[CapWrite]
    position: int
    users: int
    counts: dict[tuple[str, str], int]
    """How many deliveries per (channel, `send`, `skip`, `hold` or `merge`)."""
    done: bool
    looked_at: int

    @property
    def skipped(self) -> int:
        """How many deliveries are not made."""
        return sum(number for (_, verdict), number in self.counts.items() if verdict == "skip")

    @property
    def planned(self) -> int:
        """How many deliveries are made, now or later."""
        return sum(self.counts.values()) - self.skipped

    @property
    def cost(self) -> int:
        """What a tenant pays for the page, in deliveries planned: looking at two users costs about as much as one."""
        return max(sum(self.counts.values()), self.users, self.looked_at // 2)


class _Audience(NamedTuple):
    """A page of users with what was decided about their profiles."""

    cursor: Cursor
    job: BroadcastJob
    setting: Setting
    codes: Mapping[Channel, Mapping[int, Code]]
    columns: tuple[str, ...]
    claims: Claims
    now_ms: int


class PagePlanner:
    """Plans pages for one process."""

    def __init__(
        self,
        directory: Directory,
        facts: StoredFacts,
        contents: Contents,
        cap_times: CapTimes,
        partitions: int,
        page_users: int,
    ) -> None:
        self.contents = contents
        self._directory = directory
        self._facts = facts
        self._writer = ChunkWriter(directory, contents, partitions)
        self._cap_times = cap_times
        self._codes = ProfileCodes(facts)
        self._partitions = partitions
        self._page_users = page_users

    def channels(self, tenant: str, job: BroadcastJob) -> tuple[Channel, ...]:
        """Return the channels a broadcast goes out on."""
        return () if job.request.workflow else self._facts.setting(tenant, job.request).channels

    def forget_caps(self) -> None:
        """Read cap times again: others have changed some."""
        self._cap_times.forget()

    def keep_caps(self, page: Page) -> None:
        """Take over what a page wrote of caps."""
        self._cap_times.keep(page.caps)

    def plan(self, cursor: Cursor, job: BroadcastJob, now_ms: int) -> Page:
        """Return the plan of the page after the cursor's position, at a time (Unix ms). The house of its tenant has to be gathered."""
        self._facts.refresh()
        setting = self._facts.setting(cursor.tenant, job.request)
        columns = () if job.request.workflow else _columns(setting)
        audience = job.audience
        matching = None if audience.filter is None else _FILTER.decode(audience.filter)
        rows, position, done, looked_at = self._directory.page(
            cursor.tenant, audience.topic, cursor.position, self._page_users, columns, matching
        )
        if not rows:
            return Page([], [], [], position, 0, {}, done, looked_at)
        if job.request.workflow:
            frames = starts(cursor, job.request, self._starting(setting, job, rows, now_ms), now_ms, self._partitions)
            return Page(frames, [], [], position, len(rows), {}, done, looked_at)
        self._cap_times.trim()
        blocks = {row[0] // CAP_BLOCK_USERS for row in rows}
        claims = Claims(self._cap_times.load({(cursor.tenant, cap.rule): blocks for cap in setting.caps}), now_ms)
        codes = self._codes_of(setting, {row[2] for row in rows}, job, now_ms)
        page = _Audience(cursor, job, setting, codes, columns, claims, now_ms)
        written = self._writer.page(cursor, job, setting, columns, now_ms)
        if setting.route is None:
            for channel in setting.channels:
                self._channel(page, channel, rows, written)
        else:
            self._route(page, setting.route, rows, written)
        return Page(
            written.frames,
            written.timers,
            claims.writes(),
            position,
            len(rows),
            written.counts,
            done,
            looked_at,
        )

    def _starting(
        self, setting: Setting, job: BroadcastJob, rows: Sequence[Row], now_ms: int
    ) -> list[tuple[str, int | None]]:
        """Return the users of a page whose workflow starts, each with the time at which it does if that is to come."""
        local_ms = job.audience.local_ms
        if local_ms is None:
            return [(row[1], None) for row in rows]
        profiles = self._directory.profiles({row[2] for row in rows})
        due_ms = {id_: local_due_ms(local_ms, profile.zone or setting.zone) for id_, profile in profiles.items()}
        timely = [(row[1], due_ms[row[2]]) for row in rows if not too_late(due_ms[row[2]], now_ms)]
        return [(name, at_ms if at_ms > now_ms else None) for name, at_ms in timely]

    def _codes_of(
        self, setting: Setting, profiles: set[int], job: BroadcastJob, now_ms: int
    ) -> Mapping[Channel, Mapping[int, Code]]:
        local_ms = job.audience.local_ms
        if local_ms is None:
            return self._codes.of(setting, profiles, now_ms)
        found = self._facts.gates(setting, profiles, now_ms)
        zones = {profile_id: profile.zone for profile_id, profile in self._directory.profiles(profiles).items()}
        gates = {
            profile_id: at_local_time(gate, local_ms, zones[profile_id] or setting.zone, now_ms)
            for profile_id, gate in found.items()
        }
        return {channel: codes_of(setting, gates, channel, now_ms) for channel in setting.channels}

    def _route(self, page: _Audience, route: Route | Channel, rows: Sequence[Row], written: PageChunks) -> list[Row]:
        """Plan a route and return whom nothing in it reaches. Whom the first member reaches, the others are not asked
        about."""
        if not isinstance(route, Route):
            return self._channel(page, route, rows, written)
        if route.all:
            left = [self._route(page, member, rows, written) for member in route.all]
            missed = set.intersection(*({row[0] for row in part} for part in left))
            return [row for row in rows if row[0] in missed]
        for member in route.first:
            if rows:
                rows = self._route(page, member, rows, written)
        return list(rows)

    def _channel(self, page: _Audience, channel: Channel, rows: Sequence[Row], written: PageChunks) -> list[Row]:
        """Plan one channel for some users of a page and return those whom it does not reach."""
        codes = page.codes[channel]
        if channel is Channel.INAPP:
            columns = shared_columns(rows, codes, self._own(page, channel, rows, codes))
        else:
            columns = self._addressed(page, channel, rows, codes)
        for place, wide in columns.items():
            written.add(channel, place, wide)
        self._merge(page, columns, written)
        return left_over(rows, columns) if page.setting.route is not None else []

    def _addressed(
        self, page: _Audience, channel: Channel, rows: Sequence[Row], codes: Mapping[int, Code]
    ) -> dict[Place, Columns]:
        addresses = addresses_of(rows, channel, page.columns)
        tenant = page.cursor.tenant
        suppressed: dict[str, str] = {}
        if self._directory.has_suppressions(tenant, channel):
            wanted = [address for reached in addresses for address in reached]
            suppressed = self._directory.suppressed(tenant, channel, wanted)
        own: Mapping[int, Code] = {}
        if page.setting.caps:
            # Nobody is charged for what cannot reach them.
            pairs = zip(rows, addresses, strict=True)
            reachable = [row for row, to in pairs if to and (not suppressed or not suppressed.keys() >= set(to))]
            own = self._own(page, channel, reachable, codes)
        return addressed_columns(rows, codes, own, addresses, suppressed)

    def _own(
        self, page: _Audience, channel: Channel, rows: Sequence[Row], codes: Mapping[int, Code]
    ) -> dict[int, Code]:
        """Count a delivery for everyone under a cap and return what becomes of those who have no room."""
        caps = page.setting.caps_on(channel)
        if not caps:
            return {}
        passing = code_of(None, channel).state
        ordinals = [row[0] for row in rows if codes[row[2]][0] == passing]
        full = page.claims.of(page.cursor.tenant).claim_all(ordinals, caps)
        return {
            ordinal: code_of(over_cap(page.setting, f"over {cap.name}", free_s * 1000, page.now_ms), channel)
            for ordinal, (cap, free_s) in full.items()
        }

    def _merge(self, page: _Audience, columns: Mapping[Place, Columns], written: PageChunks) -> None:
        """Start the digest of everyone whose delivery goes into one."""
        digest = page.setting.digest
        if digest is None:
            return
        merged = {
            user_id
            for part in columns.values()
            if _MERGED in part.states
            for user_id, state in zip(part.user_ids, part.states, strict=True)
            if state == _MERGED
        }
        if merged:
            request = msgspec.structs.replace(page.job.request, workflow=digest[0], workflow_version=digest[1])
            written.frames += starts(
                page.cursor, request, [(name, None) for name in sorted(merged)], page.now_ms, self._partitions
            )


def _columns(setting: Setting) -> tuple[str, ...]:
    names = {name: None for channel in setting.channels for name in CONTACT_COLUMNS[channel]}
    if setting.template.uses_user:
        names |= {"email": None, "phone": None, "attributes": None}
    return tuple(names)
