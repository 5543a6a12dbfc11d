"""Workflow instances in the state store and in their notification: their state, and their history in order."""

import pytest

from clarion.domain import ids
from clarion.domain.history import Instance
from clarion.history.routes import routes
from clarion.journal.codec import encode
from clarion.journal.events import PlannedFrame, ProgressFrame, Recipient, Request
from clarion.ports.state import Advance
from clarion.ports.streams import StoredFrame
from clarion.ports.web import Call
from clarion.stores.memory.journal import MemoryJournal
from tests.callers import by_key
from tests.contract.states import State
from tests.folding import fold_stored

PORT = "history"
TENANT = "acme"
AT_MS = 1_700_000_000_000
NOTIFICATION = ids.notification_id(AT_MS, 0, b"n" * 9)
RUNS = [NOTIFICATION + bytes([n]) * 8 for n in range(3)]


class Fold:
    """Folds frames into a state store, one batch each."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._offset = 0

    async def frame(self, frame: ProgressFrame | PlannedFrame) -> None:
        self._offset += 1
        stored = StoredFrame("outcomes", 0, self._offset, 1, AT_MS, encode(frame, 1))
        changes = await fold_stored([stored], self.state.ledger)
        await self.state.ledger.apply(changes, [Advance(0, self._offset - 1, self._offset, 1)])

    async def planned(self, recipients: int) -> None:
        request = Request([Recipient(f"u{n}") for n in range(recipients)], "", None, None, "high", {}, workflow="w")
        await self.frame(
            PlannedFrame(AT_MS, [NOTIFICATION], [TENANT], [AT_MS], [request], [None], *[[] for _ in range(7)])
        )

    async def did(self, run: int, *events: str, step: str = "s", tenant: str = TENANT) -> None:
        many = len(events)
        await self.frame(
            ProgressFrame(
                [RUNS[run]] * many, [NOTIFICATION] * many, [tenant] * many, [f"u{run}"] * many, ["w"] * many, [3] * many,
                [step] * many, list(events), [AT_MS + n for n in range(many)], [f"about {event}" for event in events],
            )
        )  # fmt: skip


@pytest.fixture
def fold(state):
    return Fold(state)


async def shown(fold: Fold, journal, tenant: str = TENANT):
    (route,) = [
        one for one in routes(fold.state.history, journal, journal, None, None)  # type: ignore[arg-type]
        if (one.method, one.path) == ("GET", "/v1/notifications/{id}")
    ]  # fmt: skip
    caller = by_key(tenant)
    return (await route.handler(Call(caller, {"id": ids.write("ntf_", NOTIFICATION)}, {}, {}, b""))).body


async def test_an_instance_has_the_state_of_its_newest_progress(fold):
    await fold.did(0, "started", "step", step="first")
    await fold.did(0, "waiting", step="second")
    (run,) = (await fold.state.history.instances_of(TENANT, [NOTIFICATION]))[NOTIFICATION]
    assert run == Instance(
        RUNS[0], TENANT, NOTIFICATION, "u0", "w", 3, "second", "waiting", AT_MS, None, "about waiting"
    )


async def test_progress_after_the_end_changes_nothing_but_is_recorded(fold):
    await fold.did(0, "started", "merged", "step", "completed")
    (run,) = (await fold.state.history.instances_of(TENANT, [NOTIFICATION]))[NOTIFICATION]
    assert (run.state, run.ended_ms, run.detail) == ("merged", AT_MS + 1, "about merged")
    assert [row.event for row in await fold.state.history.progress_of(TENANT, [RUNS[0]])] == [
        "started", "merged", "step", "completed",
    ]  # fmt: skip


async def test_another_tenant_sees_no_instances(fold):
    await fold.did(0, "started")
    assert await fold.state.history.instances_of("other", [NOTIFICATION]) == {}
    assert await fold.state.history.progress_of("other", [RUNS[0]]) == []


async def test_a_notification_shows_its_instances_and_is_in_progress_until_all_have_ended(fold, clock):
    journal = MemoryJournal(clock, 1)
    await fold.planned(2)
    assert (await shown(fold, journal)).status == "in_progress", "its instances have not begun"
    await fold.did(0, "started", "completed")
    assert (await shown(fold, journal)).status == "in_progress", "one of two has ended"
    await fold.did(1, "started", "waiting")
    assert (await shown(fold, journal)).status == "in_progress"
    await fold.did(1, "failed")
    body = await shown(fold, journal)
    assert body.status == "completed"
    assert [(run.user_id, run.state) for run in body.instances] == [("u0", "completed"), ("u1", "failed")]
    failed = body.instances[1]
    assert failed.id == "run_" + RUNS[1].hex()
    assert [line.event for line in failed.progress] == ["started", "waiting", "failed"]
    assert (failed.detail, failed.step, failed.version) == ("about failed", "s", 3)
