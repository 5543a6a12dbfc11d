"""What differs between chaos cases: the installation, what its client asks for, and what the evidence has to show."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from clarion.app.commands.remote import Remote
from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.ledger import Account
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.oracle import Evidence
from clarion_lab.load.programs import SimulatorReady

DRAIN_TIMEOUT_S = 180.0


class Remains(NamedTuple):
    """What a run leaves behind: what the client's ledger adds up to, and files."""

    account: Account
    ledger_file: Path
    receipts_file: Path
    data: Path


class Verdict(Protocol):
    """What a run came to."""

    @property
    def passed(self) -> bool:
        """Return whether nothing is wrong."""
        ...

    @property
    def examples(self) -> Mapping[str, list[str]]:
        """Return a few examples of each fault there is."""
        ...

    def figures(self) -> dict[str, int]:
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
        """Return the share of kills that come just after the victim has written something."""
        ...

    @property
    def simulator(self) -> tuple[str, ...]:
        """Return further options of the simulator."""
        ...

    @property
    def inboxes(self) -> tuple[str, ...]:
        """Return the users whose inboxes are looked at."""
        ...

    def furnish(self, client: Remote, ready: SimulatorReady) -> None:
        """Define what the client's requests name."""
        ...

    def plans(self, receipts_file: Path) -> Iterator[Plan | None]:
        """Return what the client asks for, knowing what has arrived; None stands for nothing just now."""
        ...

    def killed(self, share: float) -> None:
        """Note that this share (0 to 1) of the kills is done."""
        ...

    def calm(self, client: Remote, account: Callable[[], Account]) -> bool:
        """Return when the client may stop asking: nobody is killed any more. `account` adds up its ledger. False says that
        what had to happen before did not in time, which the verdict will show."""
        ...

    def judge(self, evidence: Evidence, observed: Observed, remains: Remains) -> Verdict:
        """Return the verdict; `evidence` is about deliveries."""
        ...
