"""Helpers of the suites of the state store: a small set of deliveries, and their events as frames."""

import struct
from zlib import crc32

from clarion.domain import ids
from clarion.domain.delivery_state import Event, State
from clarion.domain.outcome import Accepted, Refused, Transient
from clarion.journal import events
from clarion.journal.codec import VERSION, encode
from clarion.journal.topics import OUTCOMES
from clarion.ports.streams import StoredFrame
from clarion.record.gather import OpenRows
from tests.folding import fold_on

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


def health_frame(before: str, state: str, at_ms: int = AT_MS, provider: str = "fcm-1") -> events.HealthFrame:
    return events.HealthFrame([TENANT], ["push"], [provider], ["fcm"], [before], [state], ["why"], [at_ms])


def of_newer_build(payload: bytes) -> bytes:
    """Return a whole frame as a later version of the codec would write it."""
    head = struct.pack(">2sBB", b"CF", VERSION + 1, payload[3]) + payload[4:8]
    return head + struct.pack(">I", crc32(payload[12:], crc32(head))) + payload[12:]


def stored(frames, first_offset: int = 1, partition: int = 0) -> list[StoredFrame]:
    return [
        StoredFrame(OUTCOMES, partition, offset, 1, AT_MS, encode(frame, 1))
        for offset, frame in enumerate(frames, first_offset)
    ]


async def fold_all(state, batches) -> None:
    """Fold batches of stored frames one after the other, with a cache of open rows as the worker has."""
    rows = OpenRows()
    for batch in batches:
        await fold_on(batch, state.ledger, rows)
