"""The number of partitions: the setting, its default, and a journal that has another number."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from zlib import crc32

import pytest
from prometheus_client import values

from clarion.app.config.loading import load
from clarion.app.config.settings import Config
from clarion.app.wiring import partitions
from clarion.app.wiring.partitions import change_in_files
from clarion.app.wiring.store_set import check_partitions
from clarion.domain.errors import OperatorError
from clarion.journal.codec import encode
from clarion.journal.events import CancelledFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.stores.sqlite.journal import SqliteJournal, partitions_in
from clarion.stores.sqlite.migrate import upgrade
from tests.contract.journals import VirtualClock, sqlite
from tests.contract.states import STATES
from tests.contract.waiting import check, fill, id_of


@pytest.fixture(autouse=True)
def _metrics_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo that a process which changes the number writes its metrics to files."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)


@pytest.mark.parametrize(("workers", "partitions"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64), (500, 64)])
def test_a_new_journal_in_files_has_a_partition_for_each_worker(workers: int, partitions: int):
    assert load(None, {"CLARION_WORKERS_COUNT": str(workers)}).partition_count == partitions


def test_the_setting_is_the_number_of_partitions_of_a_new_journal():
    assert load(None, {"CLARION_WORKERS_COUNT": "2", "CLARION_JOURNAL_PARTITIONS": "16"}).partition_count == 16


def test_a_journal_with_another_number_of_partitions_is_refused_in_one_sentence():
    config = load(None, {"CLARION_JOURNAL_PARTITIONS": "8"})
    check_partitions(config, 8)
    words = r"The journal has 4 partitions, and journal\.partitions is 8: .* stop every process and run 'clarion init'"
    with pytest.raises(OperatorError, match=words):
        check_partitions(config, 4)


@pytest.mark.parametrize("stored", [1, 3, 256])
def test_zero_keeps_the_partitions_of_a_journal_as_they_are(stored: int):
    check_partitions(load(None, {"CLARION_JOURNAL_PARTITIONS": "0"}), stored)


def set_to(folder: Path, count: int) -> Config:
    return load(None, {"CLARION_DATA_DIR": str(folder), "CLARION_JOURNAL_PARTITIONS": str(count)})


def journal_of(folder: Path, *steps: Callable[[SqliteJournal], Awaitable[object]]) -> None:
    """Take steps in the journal of a folder, which has four partitions at first."""

    async def take() -> None:
        journal = sqlite(folder, VirtualClock())
        for step in steps:
            await step(journal)
        await journal.close()

    asyncio.run(take())


async def put_outcomes(journal: SqliteJournal) -> None:
    """Append outcomes that nobody has recorded."""
    for partition in range(journal.partitions):
        event = CancelledFrame(["acme"] * 2, [id_of("u1", 1), id_of("u2", 1)], [5, 6])
        await journal.commit(StageResult(frames=[Frame(OUTCOMES, partition, 2, encode(event, 2))]))


def test_a_start_with_another_setting_records_and_moves_everything_first(tmp_path: Path):
    journal_of(tmp_path, fill, put_outcomes)
    change_in_files(set_to(tmp_path, 4))
    assert not (tmp_path / "state.db").exists(), "the number that the journal has changes nothing"
    change_in_files(set_to(tmp_path, 8))
    assert partitions_in(tmp_path) == 8
    journal_of(tmp_path, lambda journal: check(journal, 8))
    state = STATES["sqlite"](tmp_path)
    recorded = asyncio.run(state.ledger.positions())
    state.close()
    assert {partition: position.offset for partition, position in recorded.items()} == dict.fromkeys(range(4), 1)
    change_in_files(set_to(tmp_path, 2))
    journal_of(tmp_path, lambda journal: check(journal, 2))


def test_a_new_folder_has_nothing_to_change(tmp_path: Path):
    upgrade(tmp_path, "journal")
    change_in_files(set_to(tmp_path, 8))
    assert partitions_in(tmp_path) is None


def test_an_open_journal_is_not_changed(tmp_path: Path):
    async def change_it(_journal: SqliteJournal) -> None:
        with pytest.raises(OperatorError, match="another process has the journal open: stop every process"):
            await asyncio.to_thread(change_in_files, set_to(tmp_path, 8))

    journal_of(tmp_path, fill, change_it, lambda journal: check(journal, 4))
    change_in_files(set_to(tmp_path, 8))
    assert partitions_in(tmp_path) == 8


def test_outcomes_of_another_build_are_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def put_unknown(journal: SqliteJournal) -> None:
        frame = bytearray(encode(CancelledFrame([], [], []), 0))
        frame[3] = 99
        frame[8:12] = crc32(frame[12:], crc32(frame[:8])).to_bytes(4, "big")
        await journal.commit(StageResult(frames=[Frame(OUTCOMES, 2, 1, bytes(frame))]))

    monkeypatch.setattr(partitions, "REGROUP_RECORD_S_MAX", 0.2)
    journal_of(tmp_path, fill, put_unknown)
    with pytest.raises(OperatorError, match=r"partition 2 is not recorded to its end\. Start with 4 partitions"):
        change_in_files(set_to(tmp_path, 8))
    journal_of(tmp_path, lambda journal: check(journal, 4))
