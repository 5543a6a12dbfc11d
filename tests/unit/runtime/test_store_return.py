"""The log names a store that is away, tells it from one without room, and says when it is back."""

import pytest

from clarion.domain.errors import Overloaded, StoreAway, StoreUnavailable
from clarion.ports.stage_store import StageResult
from clarion.runtime import append_retry
from clarion.runtime.append_retry import commit_with_retry
from clarion.runtime.store_wait import StoreWait, until_answered
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import VirtualClock


class Lines:
    def __init__(self):
        self.events = []

    def log(self, level, event, **_fields):
        self.events.append((level, event))


@pytest.mark.parametrize(
    ("error", "event"), [(StoreAway("away"), "store_unavailable"), (Overloaded("full"), "journal_has_no_room")]
)
async def test_a_commit_is_tried_again_until_it_is_taken(monkeypatch, error, event):
    monkeypatch.setattr(append_retry, "RETRY_PAUSE_S", 0)
    store, lines, errors = MemoryJournal(VirtualClock(), 1), Lines(), [error, error]
    commit = store.commit

    async def refusing(result):
        if errors:
            raise errors.pop()
        return await commit(result)

    monkeypatch.setattr(store, "commit", refusing)
    await commit_with_retry(store, StageResult(), lines)
    assert lines.events == [("warning", event)] * 2 + [("info", "store_takes_commits")]
    await commit_with_retry(store, StageResult(), lines)
    assert len(lines.events) == 3


async def test_a_loop_says_once_that_the_store_answers_again():
    lines = Lines()
    waits = StoreWait(lines, "plan", first_ms=1)
    waits.answered()
    await waits.pause(StoreUnavailable("away"))
    await waits.pause(StoreUnavailable("away"))
    waits.answered()
    waits.answered()
    assert lines.events == [("warning", "store_unavailable")] * 2 + [("info", "store_answers")]


async def test_a_call_that_is_repeated_says_so_too():
    lines, errors = Lines(), [StoreUnavailable("away")]

    async def call():
        if errors:
            raise errors.pop()

    await until_answered(call, lines, "fold")
    assert lines.events == [("warning", "store_unavailable"), ("info", "store_answers")]
