"""The count that processes share, over every backend; and the embedded one between connections and processes."""

import subprocess
import sys

import pytest

from clarion.backends.memory.quotas import MemoryQuotas
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.domain.errors import Overloaded
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

PORT = "quotas"
MINE = BucketName("acme", "key", "rate")
OURS = BucketName("acme", "", "rate")
DAILY = BucketName("acme", "", "daily")
BACKENDS = {"memory": lambda _folder: MemoryQuotas(), "sqlite": SqliteQuotas}
COUNTING = """
import sys
from pathlib import Path
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.domain.errors import Overloaded
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

store = SqliteQuotas(Path(sys.argv[1]))
left = int(sys.argv[2])
while left:
    try:
        store.change([BucketName("acme", "", "daily")], lambda usages: ([Usage(usages[0].used_m + 1)], None))
        left -= 1
    except Overloaded:  # what a caller is told when the others took too long; nothing was stored
        pass
"""


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


def read(store, *names):
    return store.change(names, lambda usages: (usages, list(usages)))


def put(store, name, usage):
    store.change([name], lambda _usages: ([usage], None))


def test_nobody_has_used_anything_at_first(store):
    assert read(store, MINE, OURS, DAILY) == [Usage(), Usage(), Usage()]


def test_what_is_decided_is_stored_bucket_by_bucket(store):
    usages = [Usage(1_500, 10), Usage(10**15, 20), Usage(3, 30, 19_000)]
    answer = store.change([MINE, OURS, DAILY], lambda before: (usages, ("answer", before)))
    assert answer == ("answer", [Usage(), Usage(), Usage()])
    assert read(store, DAILY, MINE, OURS) == [usages[2], usages[0], usages[1]]
    assert read(store, BucketName("other", "key", "rate"), BucketName("acme", "key", "daily")) == [Usage(), Usage()]


def test_buckets_of_one_owner_that_are_of_no_time_to_keep_are_forgotten(store):
    names = [BucketName("acme", "account:a", kind) for kind in ("per_day", "to:0f", "to:1a", "to:1b", "to:1c", "to:20")]
    others = [BucketName("acme", "account:b", "to:1a"), BucketName("other", "account:a", "to:1a")]
    times_ms = [5, 5, 10, 11, 21, 5, 5, 5]
    for name, at_ms in zip([*names, *others], times_ms, strict=True):
        put(store, name, Usage(1, at_ms))
    store.forget("acme", "account:a", ("to:1", "to:2"), (10, 20))
    left = [usage.used_m for usage in read(store, *names, *others)]
    assert left == [1, 1, 0, 1, 0, 1, 1, 1]


def test_a_decision_that_fails_changes_nothing_and_the_next_one_works(store):
    put(store, MINE, Usage(1, 2))

    def fails(_usages):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.change([MINE, OURS], fails)
    with pytest.raises(ValueError, match="zip"):
        store.change([MINE, OURS], lambda _usages: ([Usage(9, 9)], None))
    assert read(store, MINE, OURS) == [Usage(1, 2), Usage()]


def test_two_connections_see_what_the_other_stored(tmp_path):
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    put(one, OURS, Usage(5, 6))
    assert read(other, OURS) == [Usage(5, 6)]
    put(other, OURS, Usage(7, 8))
    assert read(one, OURS) == [Usage(7, 8)]
    one.close()
    assert read(other, OURS) == [Usage(7, 8)]
    other.close()


def test_nobody_changes_a_bucket_between_reading_and_storing(tmp_path):
    one, other = SqliteQuotas(tmp_path), SqliteQuotas(tmp_path)
    put(other, OURS, Usage(1))

    def meanwhile(usages):
        with pytest.raises(Overloaded):
            put(other, OURS, Usage(100))
        return [Usage(usages[0].used_m + 1)], None

    one.change([OURS], meanwhile)
    assert read(other, OURS) == [Usage(2)]
    one.close()
    other.close()


@pytest.mark.slow
def test_processes_lose_no_count(tmp_path):
    number, processes = 300, 4
    running = [subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path), str(number)]) for _ in range(processes)]
    assert [process.wait(timeout=60) for process in running] == [0] * processes
    store = SqliteQuotas(tmp_path)
    assert read(store, DAILY) == [Usage(number * processes)]
    store.close()


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
def test_a_broken_file_is_made_anew(tmp_path, broken):
    store = SqliteQuotas(tmp_path)
    put(store, OURS, Usage(5))
    store.close()
    (tmp_path / "quota.db").write_bytes(broken)
    store = SqliteQuotas(tmp_path)
    assert read(store, OURS) == [Usage()]
    put(store, OURS, Usage(6))
    store.close()
    store = SqliteQuotas(tmp_path)
    assert read(store, OURS) == [Usage(6)]
    store.close()


def test_without_a_caller_with_a_quota_there_is_no_file(tmp_path):
    SqliteQuotas(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
