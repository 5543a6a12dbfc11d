"""History and current state on PostgreSQL. Written by the fold of record workers, read by the API and the deliver stage.

Only the fold writes, with two small exceptions that callers write: a user's marks in the inbox and the claim on a dead
letter about to be replayed.
"""

from clarion.ports.telemetry import Telemetry
from clarion.stores.postgres.inbox_signals import NotifiedInboxSignals
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.state_fold import StateFold
from clarion.stores.postgres.state_history import StateHistory
from clarion.stores.postgres.state_inbox import StateInbox


class PostgresState:
    """Ledger, history, inbox and seen receipts in one database, which several stores may share and whoever opened it
    closes."""

    def __init__(self, database: Database, telemetry: Telemetry | None = None) -> None:
        self.inbox_signal = NotifiedInboxSignals(database)
        self.ledger = StateFold(database, self.inbox_signal, telemetry)
        self.history = StateHistory(database)
        self.inbox = StateInbox(database, self.inbox_signal)

    def close(self) -> None:
        """Do nothing: the connections are the database's."""
