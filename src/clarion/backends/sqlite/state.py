"""`state.db`: what happened. Folded into by record workers, read by the API and the deliver stage.

The file is written by the fold alone, but for two small things callers write themselves: a user's marks in the inbox and
the claim on a dead letter about to be replayed.
"""

from pathlib import Path

from clarion.backends.sqlite.migrate import upgrade
from clarion.backends.sqlite.state_fold import StateFold
from clarion.backends.sqlite.state_history import StateHistory
from clarion.backends.sqlite.state_inbox import StateInbox
from clarion.backends.sqlite.state_instances import StateInstances
from clarion.backends.sqlite.state_sightings import StateSightings
from clarion.backends.sqlite.state_threads import Threads
from clarion.backends.sqlite.state_told import StateTold
from clarion.ports.clock import Clock
from clarion.ports.telemetry import Telemetry


class SqliteState(StateFold, StateHistory, StateInbox, StateInstances, StateSightings, StateTold):
    """Ledger, history, inbox and sightings over one file. Used from one event loop."""

    def __init__(self, data_dir: Path, clock: Clock, telemetry: Telemetry | None = None) -> None:
        self.clock = clock
        self._threads = Threads(upgrade(data_dir, "state"), telemetry)

    def close(self) -> None:
        """Close the connections of every thread. Nothing may be under way."""
        self._threads.close()
