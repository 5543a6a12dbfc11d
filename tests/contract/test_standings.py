"""How accounts stand, as one fact for all workers, over every backend; and the embedded one between connections and
processes."""

import subprocess
import sys

import pytest

from clarion.backends.memory.standings import MemoryStandings
from clarion.backends.sqlite.standings import SqliteStandings
from clarion.domain.errors import DurabilityError, Overloaded
from clarion.domain.standing import Measure, Standing
from clarion.ports.standings import AccountName

PORT = "standings"
MINE = AccountName("acme", "mail")
OTHER = AccountName("acme", "texts")
THEIRS = AccountName("other", "mail")
BACKENDS = {"memory": lambda _folder: MemoryStandings(), "sqlite": SqliteStandings}
FULL = Standing(
    "recovering", 7, ((10, 3, 1), (20, 0, 0)), 5, 6, 2, 1_500, 9, 10, 11, 12, "said nö", Measure(1, 2, 3, 4)
)
COUNTING = """
import sys
from pathlib import Path
from msgspec.structs import replace
from clarion.backends.sqlite.standings import SqliteStandings
from clarion.domain.errors import Overloaded
from clarion.ports.standings import AccountName

store = SqliteStandings(Path(sys.argv[1]))
left = int(sys.argv[2])
while left:
    try:
        store.change([AccountName("acme", "mail")], lambda found: ([replace(found[0], opens=found[0].opens + 1)], None))
        left -= 1
    except Overloaded:  # the others took too long; nothing was stored
        pass
"""


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    opened = BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


def put(store, name, standing):
    store.change([name], lambda _found: ([standing], None))


def test_nothing_is_known_at_first(store):
    assert store.read([MINE, OTHER, THEIRS]) == [Standing()] * 3
    assert store.read([]) == []


def test_what_is_decided_is_stored_account_by_account(store):
    answer = store.change([MINE, OTHER], lambda found: ([FULL, Standing(version=1)], ("answer", list(found))))
    assert answer == ("answer", [Standing(), Standing()])
    assert store.read([OTHER, MINE, THEIRS]) == [Standing(version=1), FULL, Standing()]
    put(store, MINE, Standing(version=8))
    assert store.read([MINE]) == [Standing(version=8)]


def test_a_tenant_has_no_part_in_another_ones_account(store):
    put(store, MINE, FULL)
    assert store.read([THEIRS]) == [Standing()]


def test_what_is_not_changed_stays(store):
    put(store, MINE, FULL)
    assert store.change([MINE], lambda found: (found, found[0].state)) == "recovering"
    assert store.read([MINE]) == [FULL]


def test_a_decision_that_fails_changes_nothing_and_the_next_one_works(store):
    put(store, MINE, FULL)

    def fails(_found):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.change([MINE, OTHER], fails)
    with pytest.raises(ValueError, match="zip"):
        store.change([MINE, OTHER], lambda _found: ([Standing(version=9)], None))
    assert store.read([MINE, OTHER]) == [FULL, Standing()]


def test_two_connections_see_what_the_other_stored(tmp_path):
    one, other = SqliteStandings(tmp_path), SqliteStandings(tmp_path)
    put(one, MINE, FULL)
    assert other.read([MINE]) == [FULL]
    put(other, MINE, Standing(version=8))
    assert one.read([MINE]) == [Standing(version=8)]
    one.close()
    assert other.read([MINE]) == [Standing(version=8)]
    other.close()


def test_nobody_changes_a_standing_between_reading_and_storing(tmp_path):
    one, other = SqliteStandings(tmp_path), SqliteStandings(tmp_path)
    put(other, MINE, Standing(opens=1))

    def meanwhile(found):
        assert other.read([MINE]) == [Standing(opens=1)]
        with pytest.raises(Overloaded):
            put(other, MINE, Standing(opens=100))
        return [Standing(opens=found[0].opens + 1)], None

    one.change([MINE], meanwhile)
    assert other.read([MINE]) == [Standing(opens=2)]
    one.close()
    other.close()


@pytest.mark.slow
def test_processes_lose_no_change(tmp_path):
    number, processes = 300, 4
    running = [subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path), str(number)]) for _ in range(processes)]
    assert [process.wait(timeout=60) for process in running] == [0] * processes
    store = SqliteStandings(tmp_path)
    assert store.read([MINE]) == [Standing(opens=number * processes)]
    store.close()


def test_nothing_is_known_of_what_an_earlier_boot_found(tmp_path):
    before = SqliteStandings(tmp_path, boot="first")
    put(before, MINE, FULL)
    before.close()
    again, after = SqliteStandings(tmp_path, boot="first"), SqliteStandings(tmp_path, boot="second")
    assert again.read([MINE]) == [FULL]
    assert after.read([MINE]) == [Standing()]
    again.close()
    after.close()


@pytest.mark.parametrize("broken", [b"this is no database, and never was one" * 100, b""])
def test_a_broken_file_is_made_anew(tmp_path, broken):
    store = SqliteStandings(tmp_path)
    put(store, MINE, FULL)
    store.close()
    (tmp_path / "standing.db").write_bytes(broken)
    store = SqliteStandings(tmp_path)
    assert store.read([MINE]) == [Standing()]
    put(store, MINE, FULL)
    assert store.read([MINE]) == [FULL]
    store.close()


def test_a_file_that_breaks_while_it_is_open_is_mended_for_whoever_comes_next(tmp_path):
    store = SqliteStandings(tmp_path)
    put(store, MINE, FULL)
    store.close()
    assert store.read([MINE]) == [FULL]
    path = tmp_path / "standing.db"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    store._file._db.execute("PRAGMA shrink_memory")  # so that it is read again
    with pytest.raises(DurabilityError, match="the store of standings failed"):
        put(store, MINE, FULL)
    put(store, MINE, FULL)
    assert store.read([MINE]) == [FULL]
    store.close()


def test_what_another_release_wrote_is_not_known(tmp_path):
    store = SqliteStandings(tmp_path)
    put(store, MINE, FULL)
    store._file.change(lambda db: db.execute("UPDATE standing SET standing = x'c1'"))
    assert store.read([MINE]) == [Standing()]
    store.close()


def test_before_the_first_account_is_used_there_is_no_file(tmp_path):
    SqliteStandings(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path):
    store = SqliteStandings(tmp_path / "later")
    with pytest.raises(Overloaded, match="standings cannot be opened now"):
        store.read([MINE])
    (tmp_path / "later").mkdir()
    assert store.read([MINE]) == [Standing()]
    store.close()
