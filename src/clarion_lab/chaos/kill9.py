"""The case `kill9`: notifications of all shapes while any process may die. No delivery is lost, ends twice or is
falsely reported as sent, and the product has recorded each possible duplicate."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from clarion.app.cli.remote import Remote
from clarion_lab.chaos import workload
from clarion_lab.chaos.case import RunResult, Verdict
from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.ledger import Account
from clarion_lab.chaos.observe import Observed
from clarion_lab.chaos.oracle import Evidence, judge
from clarion_lab.chaos.schedule import VICTIMS, WORKING
from clarion_lab.load import people, seed_data
from clarion_lab.load.programs import SimulatorReady


class Kill9:
    """Singles, lists, batches and a broadcast on push and in-app."""

    victims: Mapping[str, int] = VICTIMS
    working: Final = WORKING
    writing: Final = 0.0
    simulator: Final[tuple[str, ...]] = ()
    inboxes: Final = tuple(map(people.user_id, range(workload.USERS)))

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def seed_data(self, client: Remote, ready: SimulatorReady) -> None:
        """Define one template, the push provider and users."""
        seed_data.definitions(client, list(workload.CHANNELS))
        seed_data.provider(client, "push", ready)
        seed_data.users(client, workload.USERS, profiles=False, progress=lambda done: None)

    def plans(self, receipts_file: Path) -> Iterator[Plan]:
        """Return an endless iterator of requests."""
        return workload.plans(self._seed)

    def killed(self, share: float) -> None:
        """Do nothing: the load is the same throughout."""

    def calm(self, client: Remote, account: Callable[[], Account]) -> bool:
        """Return at once: the requests never end."""
        return True

    def judge(self, evidence: Evidence, observed: Observed, outcome: RunResult) -> Verdict:
        """Return the verdict on the deliveries."""
        return judge(evidence)
