"""Results of attempts on their way to the journal: rows in, frames, timers and dead letters out."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from clarion.deliver.accounts.grants import HealthTransition
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Next
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.limits_processes import FRAME_BYTES_MAX, FRAME_RECORDS_MAX
from clarion.domain.outcome import Accepted, InvalidRecipient, name_of
from clarion.domain.planned import PlannedDelivery
from clarion.journal import events, topics
from clarion.journal.codec import encode
from clarion.journal.events import ChunkAttemptedFrame, HealthFrame, IntentFrame
from clarion.journal.rows import AttemptRow, attempted_frame, encode_delivery
from clarion.ports.control_accounts import Suppression
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

_TURNS_RECORDED_SINGLY: Final = 1 << 16
"""A delivery has one timer at a time, so turn numbers may repeat after this many."""


class Result(NamedTuple):
    """One finished attempt: the delivery, the answer and the decision."""

    row: PlannedDelivery
    answer: Answer
    next: Next
    started_ms: int
    finished_ms: int


class OutcomeRecord(NamedTuple):
    """An event on `outcomes`: its columns, and the frame they were encoded into."""

    event: events.Event
    frame: Frame


class StepResult(NamedTuple):
    """The writes of results: their outcome events, frames for the next channel of routes, retry timers, and dead
    addresses by tenant; `counts` has the number of results per outcome."""

    outcomes: list[OutcomeRecord]
    fallbacks: list[Frame]
    timers: list[Timer]
    suppressions: dict[str, list[Suppression]]
    counts: dict[str, int]


def attempt_row(result: Result) -> AttemptRow:
    """Return the journal's row of a result."""
    row, answer, following = result.row, result.answer, result.next
    return AttemptRow(
        row.delivery_id,
        row.tenant,
        row.user_id,
        row.address,
        row.attempt,
        answer.provider,
        answer.vendor,
        following.event,
        following.reason,
        answer.outcome,
        result.started_ms,
        result.finished_ms,
        following.retry_ms,
        _dead_letter(result),
        row.chunk,
        (row.category, row.expires_ms),
    )


def step_result(channel: Channel, partition: int, lane_of: dict[bytes, Lane], results: Sequence[Result]) -> StepResult:
    """Return the writes of results; `lane_of` is the lane each delivery came on."""
    return StepResult(
        outcomes=outcome_records(channel, partition, results),
        fallbacks=fallbacks_of(lane_of, partition, results),
        timers=timers_of(channel, lane_of, partition, results),
        suppressions=_dead_addresses(channel, results),
        counts=_counts(results),
    )


def timers_of(channel: Channel, lane_of: dict[bytes, Lane], partition: int, results: Sequence[Result]) -> list[Timer]:
    """Return the retry timers of results whose delivery is to be tried again."""
    timers = []
    for result in results:
        if result.next.retry_ms is None:
            continue
        row = result.row._replace(attempt=result.row.attempt + 1, trail=result.next.trail)
        topic = topics.deliver(channel, lane_of.get(row.delivery_id, Lane.NORMAL))
        timer_id = row.delivery_id + (row.attempt % _TURNS_RECORDED_SINGLY).to_bytes(2, "big")
        timers.append(Timer(timer_id, result.next.retry_ms, topic, partition, encode_delivery(row)))
    return timers


def fallbacks_of(lane_of: dict[bytes, Lane], partition: int, results: Sequence[Result]) -> list[Frame]:
    """Return the frames that continue routes: a delivery with another channel behind it that was not sent."""
    return [
        Frame(topics.accepted(lane_of[result.row.delivery_id]), partition, 1, result.row.fallback)
        for result in results
        if result.row.fallback is not None and result.next.event in (Event.EXHAUSTED, Event.REFUSED)
    ]


def outcome_records(channel: Channel, partition: int, results: Sequence[Result]) -> list[OutcomeRecord]:
    """Return the outcome events of results. First attempts of broadcast deliveries that were accepted become state
    bytes of their chunk; everything else is a row of its own. How the messages of a chunk were changed to fit is
    recorded with one of them: a row for each would be a row for the whole audience."""
    rows = []
    record: set[bytes] = set()
    chunks: dict[tuple[bytes, str], list[Result]] = {}
    for result in results:
        place = result.row.chunk
        if place is not None and _is_plain(result) and not _has_detail(result, place[0], record):
            chunks.setdefault((place[0], result.answer.provider), []).append(result)
        else:
            rows.append(attempt_row(result))
    records: list[OutcomeRecord] = []
    for start in range(0, len(rows), FRAME_RECORDS_MAX):
        records += _cut(channel, partition, rows[start : start + FRAME_RECORDS_MAX])
    for (chunk_id, _), members in chunks.items():
        records.append(_record(partition, _chunk_attempted(chunk_id, channel, members), len(members)))
    return records


def _record(partition: int, event: events.Event, count: int) -> OutcomeRecord:
    return OutcomeRecord(event, Frame(topics.OUTCOMES, partition, count, encode(event, count)))


def _cut(channel: Channel, partition: int, rows: Sequence[AttemptRow]) -> list[OutcomeRecord]:
    """Return the records of rows, fewer in each frame where they are large: dead letters include the files of
    e-mails."""
    records = _record(partition, attempted_frame(channel, rows), len(rows))
    if len(records.frame.payload) <= FRAME_BYTES_MAX or len(rows) == 1:
        return [records]
    half = len(rows) // 2
    return [*_cut(channel, partition, rows[:half]), *_cut(channel, partition, rows[half:])]


def intents_of(
    channel: Channel,
    partition: int,
    worker: str,
    fence: int,
    now_ms: int,
    rows: Sequence[PlannedDelivery],
    providers: Mapping[bytes, str] = MappingProxyType({}),
) -> list[OutcomeRecord]:
    """Return the intents, as events on `outcomes`, of deliveries about to be sent: one frame for singles, one for each
    unbroken run of a chunk.

    Later attempts of a chunk's deliveries count as singles: each has a row of its own by then. `providers` names the
    accounts, by delivery, where recovery could not derive them.
    """
    singles: list[PlannedDelivery] = []
    runs: list[tuple[bytes | None, int, list[PlannedDelivery]]] = []
    for row in rows:
        if row.chunk is None or row.attempt > 1:
            singles.append(row)
        elif runs and runs[-1][0] == row.chunk[0] and runs[-1][1] + len(runs[-1][2]) == row.chunk[1]:
            runs[-1][2].append(row)
        else:
            runs.append((*row.chunk, [row]))
    if singles:
        runs.append((None, 0, singles))
    records = []
    for chunk_id, first, members in runs:
        delivery_ids = [row.delivery_id for row in members]
        attempts = [row.attempt for row in members]
        through = [providers.get(id_, "") for id_ in delivery_ids] if providers else []
        event = IntentFrame(worker, fence, now_ms, channel, chunk_id, first, delivery_ids, attempts, through)
        records.append(_record(partition, event, len(members)))
    return records


def health_frames(partition: int, changes: Sequence[HealthTransition]) -> list[Frame]:
    """Return the frames with the changes of account health. Probes and their failures are left out: nothing changed."""
    changes = [one for one in changes if one.state != "half_open" and (one.before, one.state) != ("half_open", "open")]
    if not changes:
        return []
    columns = zip(
        *(
            (one.account.tenant, one.account.channel.value, one.account.name, one.account.vendor, one.before, one.state,
             one.detail, one.at_ms)
            for one in changes
        ),
        strict=True,
    )  # fmt: skip
    count = len(changes)
    return [Frame(topics.OUTCOMES, partition, count, encode(HealthFrame(*map(list, columns)), count))]


def _dead_letter(result: Result) -> bytes | None:
    """Return the frame that replays a delivery that was given up, or None; also None where a route continued with
    another channel instead of waiting."""
    following, row = result.next, result.row
    if following.event not in (Event.EXHAUSTED, Event.REFUSED):
        return None
    if following.reason is Reason.PROVIDER_DOWN and row.fallback is not None:
        return None
    return encode_delivery(row._replace(trail=None))


def _dead_addresses(channel: Channel, results: Sequence[Result]) -> dict[str, list[Suppression]]:
    """Return by tenant the addresses that are not to be tried again."""
    dead: dict[str, list[Suppression]] = {}
    for result in results:
        if isinstance(result.answer.outcome, InvalidRecipient):
            entry = Suppression(channel, result.row.address, "invalid_recipient", result.finished_ms, None)
            dead.setdefault(result.row.tenant, []).append(entry)
    return dead


def _counts(results: Sequence[Result]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        name = "parked" if result.next.event is Event.PARKED else name_of(result.answer.outcome)
        counts[name] = counts.get(name, 0) + 1
    return counts


def _has_detail(result: Result, chunk_id: bytes, records: set[bytes]) -> bool:
    """Return whether an accepted delivery has a detail and is the first of its chunk, among those of `records`, that
    has."""
    detail = result.answer.outcome.detail if isinstance(result.answer.outcome, Accepted) else ""
    if not detail or chunk_id in records:
        return False
    records.add(chunk_id)
    return True


def _is_plain(result: Result) -> bool:
    """Return whether a state byte holds the whole result: accepted at once, with no content to store."""
    outcome = result.answer.outcome
    carries = isinstance(outcome, Accepted) and outcome.content is not None
    return result.next.event is Event.ACCEPTED and result.row.attempt == 1 and not carries


def _chunk_attempted(chunk_id: bytes, channel: Channel, members: Sequence[Result]) -> ChunkAttemptedFrame:
    indexes = [member.row.chunk[1] for member in members if member.row.chunk]
    first = min(indexes)
    states = bytearray(max(indexes) - first + 1)
    for index in indexes:
        states[index - first] = State.SENT
    one = members[0]
    return ChunkAttemptedFrame(
        chunk_id=chunk_id,
        tenant=one.row.tenant,
        channel=channel,
        provider=one.answer.provider,
        vendor=one.answer.vendor,
        first_index=first,
        states=bytes(states),
        finished_ms=max(member.finished_ms for member in members),
    )
