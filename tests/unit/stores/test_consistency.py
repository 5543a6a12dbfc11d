"""Files of one installation that do not belong together are reported at the start, and no new files are created."""

import shutil

import pytest

from clarion.domain.errors import OperatorError
from clarion.journal import topics
from clarion.stores.sqlite import consistency, migrate
from clarion.stores.sqlite.connection import connect

TIMES = 3


@pytest.fixture
def folder(tmp_path):
    """An installation in which partition 3 recorded five frames."""
    consistency.upgrade_all(tmp_path)
    journal = connect(migrate.path_of(tmp_path, "journal"))
    journal.execute("INSERT INTO streams (stream_id, topic, partition) VALUES (7, ?, 3)", (topics.OUTCOMES,))
    rows = [((7 << 40) + offset, 0, 1, offset, b"") for offset in range(1, 6)]
    journal.executemany(
        "INSERT INTO frames (frame_id, appended_ms, count, total, payload) VALUES (?, ?, ?, ?, ?)", rows
    )
    journal.close()
    recorded(tmp_path, 5)
    return tmp_path


def recorded(folder, offset):
    state = connect(migrate.path_of(folder, "state"))
    state.execute("""INSERT OR REPLACE INTO positions (partition, "offset", fence) VALUES (3, ?, 1)""", (offset,))
    state.close()


def trimmed(folder, offset):
    journal = connect(migrate.path_of(folder, "journal"))
    journal.execute("UPDATE streams SET trimmed_offset = ?, trimmed_total = ?", (offset, offset))
    journal.execute("DELETE FROM frames WHERE frame_id <= ?", ((7 << 40) + offset,))
    journal.close()


def lose(folder, name):
    for path in folder.glob(f"{name}.db*"):
        path.unlink()


def refused(folder, words):
    """Assert that the start is refused with these words at each attempt, and creates nothing."""
    for _ in range(TIMES):
        with pytest.raises(OperatorError, match=words) as error:
            consistency.upgrade_all(folder)
        assert "restore all of one backup" in str(error.value)


@pytest.mark.parametrize("offset", [0, 2, 5])
def test_files_that_belong_together_are_opened(folder, offset):
    recorded(folder, offset)
    consistency.upgrade_all(folder)
    trimmed(folder, offset)
    consistency.upgrade_all(folder)


def test_the_first_start_may_have_been_cut_off_anywhere(tmp_path):
    for name in migrate.NAMES:
        consistency.upgrade_all(tmp_path)
        for later in migrate.NAMES[migrate.NAMES.index(name) + 1 :]:
            lose(tmp_path, later)
        consistency.upgrade_all(tmp_path)


@pytest.mark.parametrize("kept", ["journal", "state"])
def test_without_its_definitions_nothing_starts(folder, kept):
    for name in {*migrate.NAMES} - {kept}:
        lose(folder, name)
    refused(folder, rf"control\.db is missing, but {kept}\.db exists")
    assert not migrate.path_of(folder, "control").exists()


def test_a_lost_journal_is_not_created_anew_next_to_its_history(folder):
    lose(folder, "journal")
    refused(folder, r"journal\.db is older than state\.db: partition 3 is recorded up to frame 5.* ends at 0")


def test_a_journal_of_an_older_backup_is_reported(folder):
    journal = connect(migrate.path_of(folder, "journal"))
    journal.execute("DELETE FROM frames WHERE frame_id > ?", ((7 << 40) + 3,))
    journal.close()
    refused(folder, r"recorded up to frame 5, and its journal ends at 3")


def test_a_lost_history_is_rebuilt_only_while_the_journal_holds_it_all(folder):
    lose(folder, "state")
    consistency.upgrade_all(folder)
    trimmed(folder, 2)
    refused(folder, r"state\.db is older than journal\.db: .* up to frame 0, and its journal begins after 2")


def test_a_copy_made_in_the_documented_order_is_consistent(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    shutil.copy(migrate.path_of(folder, "state"), copy)
    recorded(folder, 5)
    for name in ("journal", "control"):
        shutil.copy(migrate.path_of(folder, name), copy)
    consistency.upgrade_all(copy)
