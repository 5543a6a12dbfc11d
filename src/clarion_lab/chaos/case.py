"""The parts that differ between chaos cases: the installation, the requests of its client, and the check of the
evidence."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from clarion.app.cli.remote import Remote
from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.ledger import Account
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.oracle import Evidence
from clarion_lab.chaos.rows import Stores
from clarion_lab.load.programs import SimulatorReady

DRAIN_TIMEOUT_S = 180.0


class RunResult(NamedTuple):
    """The result of a run: the account of the client's ledger, files, and the stores of the product, which has stopped."""

    account: Account
    ledger_file: Path
    receipts_file: Path
    stores: Stores


class Verdict(Protocol):
    """The verdict on a run."""

    @property
    def passed(self) -> bool:
        """Return whether there is no fault."""
        ...

    @property
    def examples(self) -> Mapping[str, list[str]]:
        """Return a few examples of each fault, by its name."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Return the figures of the last line, in order."""
        ...


class Case(Protocol):
    """One kind of chaos run."""

    @property
    def victims(self) -> Mapping[str, int]:
        """Return the roles that are killed, and their weights."""
        ...

    @property
    def working(self) -> float:
        """Return the share of kills that wait for a victim at work."""
        ...

    @property
    def writing(self) -> float:
        """Return the share of kills that follow a write of the victim at once."""
        ...

    @property
    def simulator(self) -> tuple[str, ...]:
        """Return additional options of the simulator."""
        ...

    @property
    def inboxes(self) -> tuple[str, ...]:
        """Return the users whose inboxes are read."""
        ...

    def seed_data(self, client: Remote, ready: SimulatorReady) -> None:
        """Create the definitions that the client's requests name."""
        ...

    def plans(self, receipts_file: Path) -> Iterator[Plan | None]:
        """Yield the client's requests, which may depend on the messages that have arrived; None when there is none at
        the moment."""
        ...

    def killed(self, share: float) -> None:
        """Record that this share (0 to 1) of the kills is done."""
        ...

    def calm(self, client: Remote, account: Callable[[], Account]) -> bool:
        """Return when the client may stop; there are no more kills by then. `account` adds up its ledger. Return False
        when the client's requests did not finish in time, which the verdict will show."""
        ...

    def judge(self, evidence: Evidence, observed: Observed, outcome: RunResult) -> Verdict:
        """Return the verdict; `evidence` covers deliveries."""
        ...
