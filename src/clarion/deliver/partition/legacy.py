"""What a predecessor left behind, read off its open intents."""

from clarion.domain.planned import PlannedDelivery
from clarion.journal.intents import OpenIntents


class Legacy:
    """Attempts a predecessor left open in the store: those with a result, those with an intent, and those that were lost.
    First attempts of a chunk's deliveries are known by their place in it."""

    def __init__(self) -> None:
        self._recorded: set[tuple[bytes, int]] = set()
        self._intended: set[tuple[bytes, int]] = set()
        self._providers: dict[tuple[bytes, int], str] = {}
        self._lost: set[tuple[bytes, int]] = set()
        self._chunk_intended: dict[bytes, set[int]] = {}
        self._chunk_sent: dict[bytes, set[int]] = {}
        self._chunk_providers: dict[tuple[bytes, int], str] = {}

    def learn(self, kept: OpenIntents) -> None:
        """Take in what one commit intended and settled; commits come in their order."""
        attempts = list(zip(kept.intended, kept.attempts, strict=True))
        self._intended.update(attempts)
        self._providers.update(zip(attempts, kept.providers, strict=False))
        for chunk_id, first, count, providers in kept.runs:
            self._chunk_intended.setdefault(chunk_id, set()).update(range(first, first + count))
            self._chunk_providers.update({(chunk_id, first + i): name for i, name in enumerate(providers)})
        settled = list(zip(kept.settled, kept.settled_attempts, strict=True))
        self._recorded.update(settled)
        self._lost.update(settled[place] for place in kept.lost)
        for chunk_id, first, states in kept.sent:
            sent = self._chunk_sent.setdefault(chunk_id, set())
            sent.update(first + i for i, state in enumerate(states) if state)

    def has_result(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt's result is on the journal."""
        if (row.delivery_id, row.attempt) in self._recorded:
            return not self.goes_on(row)
        return row.chunk is not None and row.attempt == 1 and row.chunk[1] in self._chunk_sent.get(row.chunk[0], ())

    def was_intended(self, row: PlannedDelivery) -> bool:
        """Return whether a worker said it was about to make this attempt, or a later one said so for it."""
        if (row.delivery_id, row.attempt) in self._intended or self.goes_on(row):
            return True
        return row.chunk is not None and row.attempt == 1 and row.chunk[1] in self._chunk_intended.get(row.chunk[0], ())

    def provider_of(self, row: PlannedDelivery) -> str:
        """Return the account that this attempt was to go through; empty where it was the only one."""
        if row.chunk is not None and row.attempt == 1:
            return self._chunk_providers.get(row.chunk, "")
        return self._providers.get((row.delivery_id, row.attempt), "")

    def is_recorded(self, row: PlannedDelivery) -> bool:
        """Return whether anything is on the journal about this attempt's end, be it only that it was lost."""
        return (row.delivery_id, row.attempt) in self._recorded or self.has_result(row)

    def goes_on(self, row: PlannedDelivery) -> bool:
        """Return whether this attempt was recorded as lost, so that the same frame owes another attempt."""
        return (row.delivery_id, row.attempt) in self._lost
