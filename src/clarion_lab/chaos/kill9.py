"""The case `kill9`: notifications of all shapes while any process may die. No delivery is lost, ended twice or claimed
falsely, and each duplicate is one the product knows of."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from clarion.app.commands.remote import Remote
from clarion_lab.chaos import workload
from clarion_lab.chaos.case import Remains
from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.ledger import Account
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.oracle import Evidence, Verdict, judge
from clarion_lab.chaos.schedule import VICTIMS, WORKING
from clarion_lab.load import furnish, people
from clarion_lab.load.programs import SimulatorReady


class Kill9:
    """Singles, lists, batches and a broadcast on push and in-app."""

    victims: Final = VICTIMS
    working: Final = WORKING
    writing: Final = 0.0
    simulator: Final[tuple[str, ...]] = ()
    inboxes: Final = tuple(map(people.user_id, range(workload.USERS)))

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def furnish(self, client: Remote, ready: SimulatorReady) -> None:
        """Define one template, the push provider and users."""
        furnish.definitions(client, list(workload.CHANNELS))
        furnish.provider(client, "push", ready)
        furnish.users(client, workload.USERS, profiles=False, progress=lambda done: None)

    def plans(self, receipts_file: Path) -> Iterator[Plan]:
        """Return requests without end."""
        return workload.plans(self._seed)

    def killed(self, share: float) -> None:
        """Do nothing: the load is the same throughout."""

    def calm(self, client: Remote, account: Callable[[], Account]) -> bool:
        """Return at once: there is always more to ask for."""
        return True

    def judge(self, evidence: Evidence, observed: Observed, remains: Remains) -> Verdict:
        """Return the verdict on the deliveries."""
        return judge(evidence)
