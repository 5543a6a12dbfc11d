"""A data directory of an earlier schema: its contents are migrated, and due timers are still found by their index."""

from pathlib import Path
from sqlite3 import connect

import pytest
from alembic import command

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.stores.sqlite import journal_append, migrate
from clarion.stores.sqlite.journal import open_journal
from tests.contract.journals import PARTITIONS, START_MS, TTL_MS, VirtualClock, payloads
from tests.look import Glance

TOPICS = ("outcomes", "accepted.bulk", "deliver.push.normal", "accepted.high", "deliver.sms.critical")


@pytest.fixture
def first_schema(tmp_path, monkeypatch) -> Path:
    """A data directory whose journal has the first schema, with a timer per lane."""
    newest = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: newest(config, "journal_0001"))
    path = migrate.upgrade(tmp_path, "journal")
    monkeypatch.undo()
    with connect(path) as db:
        rows = [(topic.encode(), START_MS, topic, 0, topic.encode()) for topic in TOPICS]
        db.executemany("INSERT INTO timers (timer_id, due_ms, topic, partition, payload) VALUES (?, ?, ?, ?, ?)", rows)
    db.close()
    return tmp_path


async def test_timers_set_before_fire_by_urgency(first_schema):
    journal = open_journal(first_schema, VirtualClock(), PARTITIONS)
    assert Glance(journal).next_due_ms() == START_MS
    fired = []
    while await journal.fire(START_MS, 1):
        fired += [topic for topic in TOPICS if await payloads(journal, topic) and topic not in fired]
    await journal.close()
    assert fired == list(reversed(TOPICS))


def test_due_timers_are_found_by_their_index(tmp_path):
    path = migrate.upgrade(tmp_path, "journal")
    with connect(path) as db:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {journal_append.DUE}", (0, START_MS, 10))]
    db.close()
    assert plan == ["SEARCH timers USING INDEX timers_due (urgency=? AND due_ms<?)"]


async def test_a_journal_of_an_earlier_build_has_its_level_until_that_holds_no_lease(tmp_path, monkeypatch):
    newest = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _head: newest(config, "journal_0003"))
    path = migrate.upgrade(tmp_path, "journal")
    monkeypatch.undo()
    clock = VirtualClock()
    with connect(path) as db:
        db.execute("INSERT INTO meta VALUES ('partitions', 4)")
        db.execute("INSERT INTO leases VALUES ('plan', 0, 'worker-0-old', 1, ?)", (clock.machine_ms + TTL_MS,))
    db.close()
    journal = open_journal(tmp_path, clock, PARTITIONS)
    assert journal.feature_level() == await journal.enroll("new", FEATURE_LEVEL, TTL_MS) == 0
    clock.pass_ms(TTL_MS)
    assert await journal.enroll("new", FEATURE_LEVEL, TTL_MS) == journal.feature_level() == FEATURE_LEVEL
    await journal.close()
