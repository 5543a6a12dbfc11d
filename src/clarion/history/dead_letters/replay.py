"""One page of a replay: judged by the current facts, and put back on the journal in one commit."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.history import Delivery
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail
from clarion.history.dead_letters.shapes import ReplayPreview
from clarion.history.dead_letters.verdicts import Edit, Letter, ReplayRate, Status, edited, refusal
from clarion.history.shapes import reason_name
from clarion.journal.codec import encode
from clarion.journal.events import ReplayedFrame
from clarion.journal.rows import cut_frames, encode_delivery
from clarion.journal.topics import OUTCOMES, deliver
from clarion.ports.stage_store import StageResult, Timer
from clarion.ports.streams import Frame


class ReplayFacts(NamedTuple):
    """The current facts about letters: their deliveries by id, suppressed (channel, address) pairs, cancelled
    notifications."""

    deliveries: Mapping[bytes, Delivery]
    suppressed: Collection[tuple[str, str]]
    cancelled: Collection[bytes]


class ReplayVerdicts(NamedTuple):
    """Letters of a page, their current deliveries, and why some are not replayed; all other letters may be."""

    letters: Sequence[Letter]
    deliveries: Mapping[bytes, Delivery]
    refusals: Mapping[bytes, Status]

    def open(self) -> list[Letter]:
        """Return the letters that may be replayed."""
        return [letter for letter in self.letters if letter.stored.delivery_id not in self.refusals]


class Replays:
    """The replays of one API call for a tenant. `by` names the caller's key in the timeline of edited deliveries."""

    def __init__(self, partitions: int, tenant: str, edit: Edit, pace: ReplayRate, by: str) -> None:
        self._partitions = partitions
        self._tenant = tenant
        self._edit = edit
        self._pace = pace
        names = edit.names()
        self._detail = f"edited {', '.join(names)}; key {by}" if names else ""
        self.begun = 0
        """Number of replays that were scheduled so far."""

    def judge(self, letters: Sequence[Letter], facts: ReplayFacts) -> ReplayVerdicts:
        """Return which letters of a page may be replayed, in the order in which they would be sent."""
        refusals: dict[bytes, Status] = {}
        count = 0
        for letter in letters:
            id_ = letter.stored.delivery_id
            address = "" if letter.row is None else edited(letter.row, self._edit).address
            cause = refusal(
                letter,
                facts.deliveries.get(id_),
                self._edit,
                (letter.stored.channel, address) in facts.suppressed,
                ids.notification_of(id_) in facts.cancelled,
                self._pace.due_ms(self.begun + count),
            )
            if cause is None:
                count += 1
            else:
                refusals[id_] = cause
        return ReplayVerdicts(letters, facts.deliveries, refusals)

    def replay(
        self, verdicts: ReplayVerdicts, lanes: Mapping[bytes, Lane], claimed: Collection[bytes], now_ms: int
    ) -> StageResult:
        """Return the stage result that replays the claimed letters: due ones become frames, the rest timers. `lanes`
        are those of their notifications."""
        rows: dict[tuple[str, int], list[PlannedDelivery]] = defaultdict(list)
        outcome_frame: dict[int, list[tuple[bytes, str | None, int | None]]] = defaultdict(list)
        timers: list[Timer] = []
        for letter in verdicts.open():
            id_ = letter.stored.delivery_id
            if id_ not in claimed or letter.row is None:
                continue
            due_ms = self._pace.due_ms(self.begun)
            self.begun += 1
            row = self._next_round(letter, letter.row, verdicts.deliveries.get(id_), max(due_ms, now_ms))
            topic, partition = self._place(letter, row, lanes)
            if due_ms <= now_ms:
                rows[topic, partition].append(row)
            else:
                timer_id = id_ + b"r" + row.attempt.to_bytes(4, "big")
                timers.append(Timer(timer_id, due_ms, topic, partition, encode_delivery(row)))
            outcome_frame[partition].append((id_, self._edit.address, due_ms if due_ms > now_ms else None))
        frames = [
            frame
            for (topic, partition), found in rows.items()
            for frame in cut_frames(topic, partition, found, FRAME_RECORDS_MAX)
        ]
        frames += [self._replayed_frame(partition, entries, now_ms) for partition, entries in outcome_frame.items()]
        return StageResult(frames=frames, timers=timers)

    def _next_round(
        self, letter: Letter, row: PlannedDelivery, delivery: Delivery | None, due_ms: int
    ) -> PlannedDelivery:
        """Return the delivery of a new round: attempts are numbered on, and its age starts at `due_ms`."""
        attempt = max(letter.stored.attempt, 0 if delivery is None else delivery.attempt) + 1
        return edited(row, self._edit)._replace(attempt=attempt, trail=Trail(since_ms=due_ms))

    def _place(self, letter: Letter, row: PlannedDelivery, lanes: Mapping[bytes, Lane]) -> tuple[str, int]:
        if row.chunk is not None:  # a chunk's outcomes belong to the partition of the chunk
            lane, partition = Lane.BULK, row.chunk[0][-1] % self._partitions
        else:
            lane = lanes.get(ids.notification_of(row.delivery_id), Lane.NORMAL)
            partition = ids.partition_of(row.delivery_id, self._partitions)
        return deliver(Channel(letter.stored.channel), lane), partition

    def _replayed_frame(
        self, partition: int, entries: Sequence[tuple[bytes, str | None, int | None]], now_ms: int
    ) -> Frame:
        count = len(entries)
        delivery_ids, addresses, due_ms = map(list, zip(*entries, strict=True))
        event = ReplayedFrame(
            [self._tenant] * count, delivery_ids, [now_ms] * count, [self._detail] * count, addresses, due_ms
        )
        return Frame(OUTCOMES, partition, count, encode(event, count))


def addresses_of(letters: Sequence[Letter], edit: Edit) -> dict[str, set[str]]:
    """Return the addresses that letters would be sent to, by channel."""
    addresses: dict[str, set[str]] = defaultdict(set)
    for stored, row in letters:
        if row is not None and row.address:
            addresses[stored.channel].add(edited(row, edit).address)
    return addresses


class ReplayTally:
    """Counts of a dry run."""

    def __init__(self) -> None:
        self._letters = 0
        self._channels: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._providers: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def add(self, verdicts: ReplayVerdicts) -> None:
        """Count a page."""
        self._letters += len(verdicts.letters)
        self._skipped.update(status.value for status in verdicts.refusals.values())
        for letter in verdicts.open():
            delivery = verdicts.deliveries.get(letter.stored.delivery_id)
            self._channels[letter.stored.channel] += 1
            self._reasons[reason_name(letter.stored.reason) or "none"] += 1
            self._providers["" if delivery is None else delivery.provider] += 1

    def unknown(self, count: int) -> None:
        """Count ids that name no letter."""
        if count:
            self._letters += count
            self._skipped[Status.NOT_FOUND.value] += count

    def preview(self) -> ReplayPreview:
        """Return the counts."""
        replayable = self._channels.total()
        return ReplayPreview(
            self._letters, replayable, dict(self._channels), dict(self._reasons), dict(self._providers),
            dict(self._skipped),
        )  # fmt: skip
