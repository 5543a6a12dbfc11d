"""`state.db`: history and current state. Written by the fold of record workers, read by the API and the deliver stage.

Only the fold writes the file, with two small exceptions that callers write: a user's marks in the inbox and the claim
on a dead letter about to be replayed.
"""

from pathlib import Path

from clarion.ports.telemetry import Telemetry
from clarion.stores.sqlite.inbox_signals import SharedInboxSignals
from clarion.stores.sqlite.migrate import upgrade
from clarion.stores.sqlite.state_fold import StateFold
from clarion.stores.sqlite.state_history import StateHistory
from clarion.stores.sqlite.state_inbox import StateInbox
from clarion.stores.sqlite.state_threads import Threads


class SqliteState:
    """Ledger, history, inbox and seen receipts over one file. Used from one event loop."""

    def __init__(self, data_dir: Path, telemetry: Telemetry | None = None) -> None:
        self._threads = Threads(upgrade(data_dir, "state"), telemetry)
        self.inbox_signal = SharedInboxSignals(data_dir / "run" / "inbox-wakes")
        self.ledger = StateFold(self._threads, self.inbox_signal)
        self.history = StateHistory(self._threads)
        self.inbox = StateInbox(self._threads, self.inbox_signal)

    def close(self) -> None:
        """Close the connections of every thread, and the pipes. No call may be running."""
        self.inbox_signal.close_senders()
        self._threads.close()
