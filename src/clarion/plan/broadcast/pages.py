"""Plans one page of a broadcast: user rows and facts in, chunk frames out, all decisions shared per profile class."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from clarion.content.render import Rendering
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import State
from clarion.domain.route import Route
from clarion.journal.events import BroadcastJob
from clarion.plan.broadcast.addresses import addresses_of
from clarion.plan.broadcast.chunks import PageChunks
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.starts import starts
from clarion.plan.claims import Claims
from clarion.plan.rules.chunks import Code, Columns, Place, Row, addressed_columns, code_of, shared_columns, unreached
from clarion.plan.rules.decide import over_cap
from clarion.plan.rules.localtime import local_due_ms, too_late
from clarion.ports.journal_cells import CapWrite
from clarion.ports.stage_store import Cursor, Timer
from clarion.ports.streams import Frame

_MERGED = int(State.MERGED)


class PlannedPage(NamedTuple):
    """A planned page: the records to append, the ordinal at which it ends, counts, and whether it was the last."""

    frames: list[Frame]
    timers: list[Timer]
    caps: list[CapWrite]
    position: int
    users: int
    counts: dict[tuple[str, str], int]
    """Number of deliveries by (channel, `send`, `skip`, `hold` or `merge`)."""
    done: bool
    scanned: int

    @property
    def skipped(self) -> int:
        """Number of skipped deliveries."""
        return sum(number for (_, verdict), number in self.counts.items() if verdict == "skip")

    @property
    def planned(self) -> int:
        """Number of deliveries that are sent now, held or merged."""
        return sum(self.counts.values()) - self.skipped

    @property
    def cost(self) -> int:
        """The page's cost to its tenant, in planned deliveries: scanning two users costs about as much as planning
        one."""
        return max(sum(self.counts.values()), self.users, self.scanned // 2)


def plan_page(
    facts: PageFacts, cursor: Cursor, job: BroadcastJob, rendering: Rendering, partitions: int, now_ms: int
) -> PlannedPage:
    """Return the plan of the page after the cursor's position, at a time (Unix ms), for an installation with
    `partitions` partitions."""
    rows, request_facts = facts.rows, facts.request_facts
    claims = Claims(facts.caps, now_ms)
    written = PageChunks(facts, cursor, job, rendering, partitions, now_ms)
    if job.request.workflow:
        written.frames += starts(cursor, job.request, _starting(facts, job, now_ms), now_ms, partitions)
    elif rows:
        audience = _Audience(facts, cursor, job, claims, written, partitions, now_ms)
        if request_facts.route is None:
            for channel in request_facts.channels:
                audience.channel(channel, rows)
        else:
            audience.follow(request_facts.route, rows)
    return PlannedPage(
        written.frames,
        written.timers,
        claims.writes(),
        facts.position,
        len(rows),
        written.counts,
        facts.done,
        facts.scanned,
    )


def _starting(facts: PageFacts, job: BroadcastJob, now_ms: int) -> list[tuple[str, int | None]]:
    """Return the users of a page whose workflow starts, each with the start time if that is in the future, else
    None."""
    local_ms = job.audience.local_ms
    if local_ms is None:
        return [(row[1], None) for row in facts.rows]
    due_ms = {id_: local_due_ms(local_ms, zone or facts.request_facts.zone) for id_, zone in facts.zones.items()}
    timely = [(row[1], due_ms[row[2]]) for row in facts.rows if not too_late(due_ms[row[2]], now_ms)]
    return [(name, at_ms if at_ms > now_ms else None) for name, at_ms in timely]


class _Audience(NamedTuple):
    """A page of users, their facts, and the chunks and claims written for them so far."""

    facts: PageFacts
    cursor: Cursor
    job: BroadcastJob
    claims: Claims
    written: PageChunks
    partitions: int
    now_ms: int

    def follow(self, route: Route | Channel, rows: Sequence[Row]) -> list[Row]:
        """Plan a route and return the users that no member of it reaches. In a `first` route, later members are tried
        only for users that earlier ones do not reach."""
        if not isinstance(route, Route):
            return self.channel(route, rows)
        if route.all:
            left = [self.follow(member, rows) for member in route.all]
            missed = set.intersection(*({row[0] for row in part} for part in left))
            return [row for row in rows if row[0] in missed]
        for member in route.first:
            if rows:
                rows = self.follow(member, rows)
        return list(rows)

    def channel(self, channel: Channel, rows: Sequence[Row]) -> list[Row]:
        """Plan one channel for some users of a page and return those that it does not reach; none without a route."""
        codes = self.facts.codes[channel]
        if channel is Channel.INAPP:
            columns = shared_columns(rows, codes, self._own(channel, rows, codes))
        else:
            columns = self._addressed(channel, rows, codes)
        for place, wide in columns.items():
            self.written.add(channel, place, wide)
        self._merge(columns)
        return unreached(rows, columns) if self.facts.request_facts.route is not None else []

    def _addressed(self, channel: Channel, rows: Sequence[Row], codes: Mapping[int, Code]) -> dict[Place, Columns]:
        facts = self.facts
        known = facts.addresses.get(channel) if rows is facts.rows else None
        addresses = addresses_of(rows, channel, facts.columns) if known is None else known
        suppressed = facts.suppressed.get(channel, _NONE)
        own: Mapping[int, Code] = {}
        if self.facts.request_facts.caps:
            # Unreachable users are not charged.
            pairs = zip(rows, addresses, strict=True)
            reachable = [row for row, to in pairs if to and (not suppressed or not suppressed.keys() >= set(to))]
            own = self._own(channel, reachable, codes)
        return addressed_columns(rows, codes, own, addresses, suppressed)

    def _own(self, channel: Channel, rows: Sequence[Row], codes: Mapping[int, Code]) -> dict[int, Code]:
        """Count a delivery under the caps for each user and return the codes of users without room."""
        caps = self.facts.request_facts.caps_on(channel)
        if not caps:
            return {}
        passing = code_of(None, channel).state
        ordinals = [row[0] for row in rows if codes[row[2]][0] == passing]
        full = self.claims.of(self.cursor.tenant).claim_all(ordinals, caps)
        return {
            ordinal: code_of(
                over_cap(self.facts.request_facts, f"over {cap.name}", free_s * 1000, self.now_ms), channel
            )
            for ordinal, (cap, free_s) in full.items()
        }

    def _merge(self, columns: Mapping[Place, Columns]) -> None:
        """Start the digest of each user whose delivery was merged into one."""
        digest = self.facts.request_facts.digest
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
            request = msgspec.structs.replace(self.job.request, workflow=digest[0], workflow_version=digest[1])
            self.written.frames += starts(
                self.cursor, request, [(name, None) for name in sorted(merged)], self.now_ms, self.partitions
            )


_NONE: Mapping[str, str] = {}
