"""Crash recovery: the attempts that were in flight when a predecessor was killed, from its open intents."""

from clarion.domain.planned import PlannedDelivery
from clarion.journal.intents import OpenIntents


class RecoveredAttempts:
    """Attempts a predecessor left open in the store: those with a result, those with an intent, and those that were
    lost. First attempts of a chunk's deliveries are identified by their place in it."""

    def __init__(self) -> None:
        self._recorded: set[tuple[bytes, int]] = set()
        self._intended: set[tuple[bytes, int]] = set()
        self._providers: dict[tuple[bytes, int], str] = {}
        self._lost: set[tuple[bytes, int]] = set()
        self._chunk_intended: dict[bytes, set[int]] = {}
        self._chunk_sent: dict[bytes, set[int]] = {}
        self._chunk_providers: dict[tuple[bytes, int], str] = {}

    def add(self, intents: OpenIntents) -> None:
        """Add the intents and results of one commit; commits come in order."""
        attempts = list(zip(intents.intended, intents.attempts, strict=True))
        self._intended.update(attempts)
        self._providers.update(zip(attempts, intents.providers, strict=False))
        for chunk_id, first, count, providers in intents.runs:
            self._chunk_intended.setdefault(chunk_id, set()).update(range(first, first + count))
            self._chunk_providers.update({(chunk_id, first + i): name for i, name in enumerate(providers)})
        settled = list(zip(intents.settled, intents.settled_attempts, strict=True))
        self._recorded.update(settled)
        self._lost.update(settled[place] for place in intents.lost)
        for chunk_id, first, states in intents.sent:
            sent = self._chunk_sent.setdefault(chunk_id, set())
            sent.update(first + i for i, state in enumerate(states) if state)

    def has_result(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt's result is on the journal."""
        if (row.delivery_id, row.attempt) in self._recorded:
            return not self.owes_next_attempt(row)
        return row.chunk is not None and row.attempt == 1 and row.chunk[1] in self._chunk_sent.get(row.chunk[0], ())

    def was_intended(self, row: PlannedDelivery) -> bool:
        """Return whether an intent for this attempt was stored, or the record of its loss implies one."""
        if (row.delivery_id, row.attempt) in self._intended or self.owes_next_attempt(row):
            return True
        return row.chunk is not None and row.attempt == 1 and row.chunk[1] in self._chunk_intended.get(row.chunk[0], ())

    def provider_of(self, row: PlannedDelivery) -> str:
        """Return the account that this attempt was assigned; empty where it was the only one."""
        if row.chunk is not None and row.attempt == 1:
            return self._chunk_providers.get(row.chunk, "")
        return self._providers.get((row.delivery_id, row.attempt), "")

    def is_recorded(self, row: PlannedDelivery) -> bool:
        """Return whether the journal has any record of this attempt's end, even if only that it was lost."""
        return (row.delivery_id, row.attempt) in self._recorded or self.has_result(row)

    def owes_next_attempt(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt was recorded as lost, so that the same frame owes another attempt."""
        return (row.delivery_id, row.attempt) in self._lost
