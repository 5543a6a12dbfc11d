"""What the suites of the state store share: a small world of deliveries, its events as frames, and a referee ledger."""

import copy

import apsw
from msgspec.structs import astuple

from clarion.domain import ids
from clarion.domain.delivery_state import Event, State
from clarion.domain.errors import StaleLease
from clarion.domain.history import Changes
from clarion.domain.outcome import Accepted, Refused, Transient
from clarion.journal import events
from clarion.journal.codec import encode
from clarion.journal.topics import OUTCOMES
from clarion.ports.journal import StoredFrame
from clarion.record.columns import fold_batch
from clarion.record.recent import RecentRows

TENANT = "acme"
AT_MS = 1_700_000_000_000
SINGLES = 4
CHUNK_SIZE = 5
NOTIFICATIONS = [ids.notification_id(AT_MS + n, 0, bytes([n]) * 9) for n in range(SINGLES)]
SINGLE_IDS = [ids.delivery_id(n, f"user-{i}", "push", f"token-{i}") for i, n in enumerate(NOTIFICATIONS)]
BROADCAST = ids.notification_id(AT_MS + 100, 0, b"b" * 9)
CHUNK = BROADCAST + b"chunk-01"
CHUNK_IDS = [ids.delivery_id(BROADCAST, f"user-{i}", "push", f"token-{i}") for i in range(CHUNK_SIZE)]
PEOPLE = SINGLES + CHUNK_SIZE
"""Deliveries of the world: singles first, then those of the chunk."""


def id_of(person: int) -> bytes:
    return SINGLE_IDS[person] if person < SINGLES else CHUNK_IDS[person - SINGLES]


def planned(person: int, reason: int = 0, at_ms: int = AT_MS, scheduled_ms: int | None = None) -> events.PlannedFrame:
    request = events.Request([events.Recipient(f"user-{person}")], "hello", "news", None, "high", {"n": person})
    many = 0 if scheduled_ms else 1
    return events.PlannedFrame(
        at_ms, [NOTIFICATIONS[person]], [TENANT], [AT_MS], [request], [scheduled_ms], [0] * many,
        [SINGLE_IDS[person]] * many, [f"user-{person}"] * many, ["push"] * many, [f"token-{person}"] * many,
        [reason] * many, ["by preference" if reason else ""] * many,
    )  # fmt: skip


def chunk(states: bytes = bytes([State.PLANNED]) * CHUNK_SIZE, channel: str = "push") -> events.ChunkFrame:
    reasons = bytes(2 if state == State.SKIPPED else 0 for state in states)
    people = range(CHUNK_SIZE)
    return events.ChunkFrame(
        CHUNK, TENANT, channel, "en", "hello", "news", {"x": 1}, AT_MS + 100, None, None, [10 * i for i in people],
        [f"user-{i}" for i in people], states, reasons, [f"token-{i}" for i in people], [],
    )  # fmt: skip


def intent(person: int, attempt: int = 1, at_ms: int = AT_MS + 5) -> events.IntentFrame:
    return events.IntentFrame("worker-0", 1, at_ms, "push", None, 0, [id_of(person)], [attempt])


def chunk_intent(first: int, count: int) -> events.IntentFrame:
    return events.IntentFrame("worker-0", 1, AT_MS, "push", CHUNK, first, CHUNK_IDS[first : first + count], [1] * count)


def chunk_attempted(first: int, states: bytes) -> events.ChunkAttemptedFrame:
    return events.ChunkAttemptedFrame(CHUNK, TENANT, "push", "fcm-1", "fcm", first, states, AT_MS + 300)


def attempted(
    person: int,
    event: Event,
    attempt: int = 1,
    *,
    at_ms: int = AT_MS + 9,
    channel: str = "push",
    vendor: str = "fcm",
    content: dict[str, str] | None = None,
) -> events.AttemptedFrame:
    outcome = {
        Event.ACCEPTED: Accepted(f"message-{attempt}", content),
        Event.REFUSED: Refused("too_long", "body over 4096 bytes"),
    }.get(event, Transient("503 come back later"))
    place = (CHUNK, person - SINGLES) if person >= SINGLES else None
    dead = b"payload" if event is Event.EXHAUSTED else None
    number = person if place is None else place[1]
    return events.AttemptedFrame(
        channel, [id_of(person)], [TENANT], [f"user-{number}"], [f"token-{number}"], [attempt], ["fcm-1"], [vendor],
        [event], [22 if event is Event.EXHAUSTED else 0], [outcome], [at_ms - 4], [at_ms],
        [at_ms + 1000 if event is Event.RETRY else None], [dead], [place],
    )  # fmt: skip


def replayed(person: int, at_ms: int = AT_MS + 50) -> events.ReplayedFrame:
    return events.ReplayedFrame([TENANT], [id_of(person)], [at_ms])


def cancelled(person: int) -> events.CancelledFrame:
    return events.CancelledFrame([TENANT], [NOTIFICATIONS[person]], [AT_MS + 40])


def seen(person: int, at_ms: int = AT_MS + 60) -> events.SeenFrame:
    return events.SeenFrame([TENANT], [NOTIFICATIONS[person]], [f"user-{person}"], [at_ms])


def receipt(
    person: int, kind: str, at_ms: int = AT_MS + 70, tenant: str = TENANT, detail: str = ""
) -> events.ReceiptFrame:
    place = (CHUNK, person - SINGLES) if person >= SINGLES else None
    number = person if place is None else place[1]
    return events.ReceiptFrame(
        "push", "fcm-1", "fcm", [id_of(person)], [tenant], [place], [kind], [at_ms], [detail], [f"user-{number}"],
        [f"token-{number}"],
    )  # fmt: skip


def standing(before: str, state: str, at_ms: int = AT_MS, provider: str = "fcm-1") -> events.StandingFrame:
    return events.StandingFrame([TENANT], ["push"], [provider], ["fcm"], [before], [state], ["why"], [at_ms])


def stored(frames, first_offset: int = 1, partition: int = 0) -> list[StoredFrame]:
    return [
        StoredFrame(OUTCOMES, partition, offset, 1, AT_MS, encode(frame, 1))
        for offset, frame in enumerate(frames, first_offset)
    ]


PLAIN = ("totals", "counters", "cancellations", "sightings")
"""Tables whose rows are a key and numbers."""


class MemoryLedger:
    """The referee: `ports.state.Ledger` in dictionaries, simple and obviously right."""

    def __init__(self) -> None:
        self.tables: dict[str, dict] = {name: {} for name in Changes.__struct_fields__ if name != "replays"}
        self.offsets: dict[int, tuple[int, int]] = {}

    def positions(self):
        return {partition: offset for partition, (offset, _) in self.offsets.items()}

    def load(self, delivery_ids, chunk_ids):
        known, chunks = self.tables["deliveries"], self.tables["chunk_states"]
        rows = {id_: copy.copy(known[id_]) for id_ in delivery_ids if id_ in known}
        wanted = {row.chunk_id for row in rows.values() if row.chunk_id}.union(chunk_ids)
        return rows, {id_: copy.copy(chunks[id_]) for id_ in wanted if id_ in chunks}

    def apply(self, changes, advances):
        for advance in advances:
            offset, fence = self.offsets.get(advance.partition, (0, 0))
            if offset != advance.from_offset or fence > advance.fence:
                raise StaleLease("moved on")
            self.offsets[advance.partition] = (advance.offset, advance.fence)
        tables = self.tables
        for name in ("deliveries", "chunk_states"):
            tables[name].update(copy.deepcopy(getattr(changes, name)))
        for name in ("totals", "counters"):
            for key, count in getattr(changes, name).items():
                tables[name][key] = tables[name].get(key, 0) + count
        for row in changes.notifications:
            before = tables["notifications"].setdefault((row.tenant, row.id), row)
            planned_ms = before.planned_ms if before.planned_ms is not None else row.planned_ms
            scheduled_ms = before.scheduled_ms if before.scheduled_ms is not None else row.scheduled_ms
            tables["notifications"][row.tenant, row.id] = type(row)(
                *astuple(before)[:3], planned_ms, scheduled_ms, *astuple(before)[5:]
            )
        for row in changes.attempts:
            tables["attempts"][row.delivery_id, row.attempt, row.finished_ms, row.event] = copy.copy(row)
        for name, key in (("chunks", "chunk_id"), ("inbox_items", "item_id"), ("captures", "delivery_id")):
            for row in getattr(changes, name):
                tables[name].setdefault(getattr(row, key), row)
        for at_ms, _, id_ in changes.replays:
            if id_ in tables["dead_letters"]:
                tables["dead_letters"][id_].replayed_ms = at_ms
        tables["dead_letters"].update(copy.deepcopy(changes.dead_letters))
        for tenant, id_, at_ms in changes.cancellations:
            tables["cancellations"].setdefault((tenant, id_), at_ms)
        for row in changes.standings:
            tables["standings"][len(tables["standings"])] = row
        for *who, at_ms in changes.sightings:
            first_ms, last_ms = tables["sightings"].get(tuple(who), (at_ms, at_ms))
            tables["sightings"][tuple(who)] = (first_ms, max(last_ms, at_ms))

    def dump(self) -> dict[str, list]:
        """Return every table as sorted rows; sums of zero are left out."""
        found = {}
        for name, table in self.tables.items():
            if name in ("totals", "counters"):
                found[name] = sorted((*key, count) for key, count in table.items() if count)
            elif name == "cancellations":
                found[name] = sorted((*key, at_ms) for key, at_ms in table.items())
            elif name == "sightings":
                found[name] = sorted((*key, *times) for key, times in table.items())
            else:
                found[name] = sorted(map(astuple, table.values()), key=repr)
        return found


def dump(db: apsw.Connection) -> dict[str, list]:
    """Return every table of a state file in the form of `MemoryLedger.dump`."""
    found = {}
    for name in MemoryLedger().tables:
        table, columns = {
            "standings": ("standings", "tenant, at_ms, provider, channel, vendor, before, state, detail"),
            "totals": ("broadcast_totals", "tenant, broadcast_id, channel, state, reason, count"),
            "counters": ("counters", "minute_ms, tenant, channel, what, reason, count"),
            "dead_letters": (
                "dead_letters",
                "tenant, delivery_id, channel, user_id, reason, detail, attempt, dead_ms, payload, replayed_ms",
            ),
        }.get(name, (name, "*"))
        rows = db.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608
        if name in ("totals", "counters"):
            rows = [row for row in rows if row[-1]]
        found[name] = sorted(rows) if name in PLAIN else sorted(rows, key=repr)
    return found


def plain(tables: dict[str, list]) -> dict[str, list]:
    """Return a dump with enumeration members and truth as the numbers that SQLite gives back."""

    def value(v):
        return int(v) if isinstance(v, int) else str(v) if isinstance(v, str) else v

    return {name: sorted((tuple(value(v) for v in row) for row in rows), key=repr) for name, rows in tables.items()}


def fold_all(ledger, batches) -> None:
    """Fold batches of stored frames one after the other, with a memory of open rows as the worker has."""
    rows = RecentRows(ledger)
    for batch in batches:
        changes = fold_batch(batch, rows)
        ledger.apply(changes, [])
        rows.keep(changes)
