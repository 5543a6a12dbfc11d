"""From frames of the deliver topics to rows, and from the outcomes topic to what a predecessor left behind."""

from collections.abc import Iterable

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import Event as Happened
from clarion.domain.delivery_state import State
from clarion.domain.planned import PlannedDelivery
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame, ChunkFrame, DeliverFrame, Event, IntentFrame
from clarion.journal.rows import deliver_rows


def rows_of(event: Event) -> list[PlannedDelivery]:
    """Return the deliveries a frame asks for; a chunk's skipped members are left out."""
    if isinstance(event, DeliverFrame):
        return list(deliver_rows(event))
    if isinstance(event, ChunkFrame):
        return list(_chunk_rows(event))
    return []


def _chunk_rows(chunk: ChunkFrame) -> Iterable[PlannedDelivery]:
    broadcast = ids.notification_of(chunk.chunk_id)
    template = chunk.content if isinstance(chunk.content, str) else ""
    for index, state in enumerate(chunk.states):
        if state != State.PLANNED:
            continue
        user_id, address = chunk.user_ids[index], chunk.addresses[index]
        yield PlannedDelivery(
            delivery_id=ids.delivery_id(broadcast, user_id, chunk.channel, address),
            tenant=chunk.tenant,
            user_id=user_id,
            address=address,
            locale=chunk.locale,
            template=template,
            category=chunk.category,
            data=chunk.data,
            user=chunk.users[index] if chunk.users else None,
            attempt=1,
            expires_ms=chunk.expires_ms,
            metadata=chunk.metadata,
            ordering_key=None,
            chunk=(chunk.chunk_id, index),
        )


class Legacy:
    """Attempts found in the outcomes topic: those with a result, those with an intent, and those that were lost."""

    def __init__(self) -> None:
        self._recorded: set[tuple[bytes, int]] = set()
        self._intended: set[tuple[bytes, int]] = set()
        self._providers: dict[tuple[bytes, int], str] = {}
        self._lost: set[tuple[bytes, int]] = set()
        self._chunk_states: dict[bytes, dict[int, int]] = {}

    def learn(self, frames: Iterable[Event], channel: Channel) -> None:
        """Take in frames of the outcomes topic, in order."""
        for event in frames:
            if isinstance(event, IntentFrame) and event.channel == channel:
                attempts = list(zip(event.delivery_ids, event.attempts, strict=True))
                self._intended.update(attempts)
                self._providers.update(zip(attempts, event.providers, strict=False))
            elif isinstance(event, AttemptedFrame) and event.channel == channel:
                attempts = list(zip(event.delivery_ids, event.attempts, strict=True))
                self._recorded.update(attempts)
                follows = zip(attempts, event.events, event.retry_ms, strict=True)
                self._lost.update(key for key, name, due_ms in follows if name == Happened.AMBIGUOUS and due_ms is None)
            elif isinstance(event, ChunkAttemptedFrame) and event.channel == channel:
                states = self._chunk_states.setdefault(event.chunk_id, {})
                states.update({event.first_index + i: 1 for i, state in enumerate(event.states) if state})

    def has_result(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt's result is on the journal."""
        if (row.delivery_id, row.attempt) in self._recorded:
            return not self.goes_on(row)
        return row.chunk is not None and row.attempt == 1 and row.chunk[1] in self._chunk_states.get(row.chunk[0], {})

    def was_intended(self, row: PlannedDelivery) -> bool:
        """Return whether a worker said it was about to make this attempt, or a later one said so for it."""
        return (row.delivery_id, row.attempt) in self._intended or self.goes_on(row)

    def provider_of(self, row: PlannedDelivery) -> str:
        """Return the account that this attempt was to go through; empty where it was the only one."""
        return self._providers.get((row.delivery_id, row.attempt), "")

    def is_recorded(self, row: PlannedDelivery) -> bool:
        """Return whether anything is on the journal about this attempt's end, be it only that it was lost."""
        return (row.delivery_id, row.attempt) in self._recorded or self.has_result(row)

    def goes_on(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt was recorded as lost, so that the same frame owes another attempt."""
        return (row.delivery_id, row.attempt) in self._lost
