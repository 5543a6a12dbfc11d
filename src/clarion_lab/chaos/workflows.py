"""The case `workflows`: instances that delay, collect into digests and wait for people, while processes die. Each instance
ends exactly once, each event is in exactly one digest, and each due message arrives."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clarion.app.cli.remote import Remote
from clarion_lab.chaos import instances, ledger, workflow_store
from clarion_lab.chaos.case import DRAIN_TIMEOUT_S, RunResult
from clarion_lab.chaos.drive import Plan
from clarion_lab.chaos.instances import ExpectedInstance, InstanceReport, Reaction, Verdict
from clarion_lab.chaos.journeys import INSTANCES, TIMEOUT_S, USERS, definitions, templates, trigger_requests
from clarion_lab.chaos.observe import Observed, Observer, without_prefix
from clarion_lab.chaos.oracle import Evidence, judge
from clarion_lab.chaos.phone import Arrivals, UserReactions
from clarion_lab.load import seed_data
from clarion_lab.load.programs import RunError, SimulatorReady, wait_for

SETTLE_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.5


class Workflows:
    """Triggers of workflows at the pace of the kills, and people who react to the messages they get."""

    victims: Final = {"worker": 6, "api": 3, "scheduler": 3}
    working: Final = 1.0
    writing: Final = 0.7
    simulator: Final = ("--bodies",)
    inboxes: Final[tuple[str, ...]] = ()

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._askings = list(trigger_requests(seed))
        self._share = 0.0

    def seed_data(self, client: Remote, ready: SimulatorReady) -> None:
        """Define the workflows and their template, the push provider and users."""
        for key, body in templates().items():
            client.put(f"/v1/templates/{key}", body)
        for key, body in definitions().items():
            client.put(f"/v1/workflows/{key}", body)
        seed_data.provider(client, "push", ready)
        seed_data.users(client, USERS, profiles=False, progress=lambda done: None)

    def plans(self, receipts_file: Path) -> Iterator[Plan | None]:
        """Yield reactions as they become due, and triggers at the pace of the kills."""
        owners = UserReactions(Arrivals(receipts_file), self._seed)
        askings, started = iter(self._askings), 0
        while True:
            plan = owners.due()
            if plan is None and started < self._share * INSTANCES and (asking := next(askings, None)) is not None:
                plan = asking.plan
                started += sum(len(trigger.users) for trigger in asking.triggers)
            yield plan

    def killed(self, share: float) -> None:
        """Release the same share of the triggers."""
        self._share = share

    def calm(self, client: Remote, account: Callable[[], ledger.Account]) -> bool:
        """Wait until every trigger is acknowledged and its instances have ended; people react until then."""
        keys = [asking.plan.key for asking in self._askings]
        wait_for("every trigger is settled", lambda: account().ids.keys() >= set(keys), SETTLE_TIMEOUT_S, _POLL_S)
        return Observer(client, account().owed).drain(DRAIN_TIMEOUT_S)

    def judge(self, evidence: Evidence, observed: Observed, outcome: RunResult) -> Verdict:
        """Return the verdict on instances, digests and messages."""
        return instances.judge(
            instances.Evidence(
                wanted=list(self._wanted(outcome.account)),
                tales=instance_reports(observed, workflow_store.count_all_events(outcome.stores.state)),
                messages=Arrivals(outcome.receipts_file).new(),
                reactions=reactions(outcome.ledger_file),
                open_cells=workflow_store.open_cells(outcome.stores.journal),
                deliveries=judge(evidence),
            )
        )

    def _wanted(self, account: ledger.Account) -> Iterator[ExpectedInstance]:
        for asking in self._askings:
            for trigger, id_ in zip(asking.triggers, account.ids[asking.plan.key], strict=True):
                if id_ is None:
                    raise RunError(f"a trigger of {asking.plan.key} was refused")
                for user in trigger.users:
                    yield ExpectedInstance(
                        without_prefix(id_), user, trigger.kind, trigger.workflow, trigger.number, trigger.thread
                    )


def instance_reports(observed: Observed, stored: dict[str, workflow_store.EventCounts]) -> list[InstanceReport]:
    """Return a report on each instance from API and store, the worse of both, with those that only the store has."""
    rest = dict(stored)
    found: list[InstanceReport] = []
    for notification, reported in observed.instances.items():
        for one in reported:
            api = workflow_store.count_events([line["event"] for line in one["progress"]])
            there = rest.pop(without_prefix(one["id"]), workflow_store.EventCounts(0, 0))
            endings, afterwards = api if api != (1, 0) else there
            found.append(InstanceReport(notification, str(one["user_id"]), endings, afterwards, _waited_until_ms(one)))
    return found + [InstanceReport(id_[:32], "", *one) for id_, one in rest.items()]


def _waited_until_ms(instance: dict[str, Any]) -> int | None:
    """Return the end of the wait for a reaction (Unix ms), or None."""
    begun = [line["at"] for line in instance["progress"] if (line["event"], line["step"]) == ("waiting", "wait")]
    if not begun:
        return None
    until = datetime.fromisoformat(begun[0]) + timedelta(seconds=TIMEOUT_S)
    return int(until.timestamp() * 1000)


def reactions(ledger_file: Path) -> list[Reaction]:
    """Return the reactions in a ledger: their keys are the deliveries that they answer."""
    kinds: dict[str, str] = {}
    first: dict[str, int] = {}
    for line in ledger.read(ledger_file):
        if isinstance(line, ledger.RequestLine):
            kinds[line.key] = line.kind
        elif line.result == "ok" and kinds[line.key] == "reaction":
            first.setdefault(line.key, line.at_ms)
    return [Reaction(key, at_ms) for key, at_ms in first.items()]
