"""The number of partitions: the setting, its default, and a journal that has another number."""

import pytest

from clarion.app.config import load
from clarion.app.partitions import check_partitions
from clarion.domain.errors import OperatorError


@pytest.mark.parametrize(("workers", "partitions"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64), (500, 64)])
def test_a_new_journal_in_files_has_a_partition_for_each_worker(workers: int, partitions: int):
    assert load(None, {"CLARION_WORKERS_COUNT": str(workers)}).partition_count == partitions


def test_the_setting_is_the_number_of_partitions_of_a_new_journal():
    assert load(None, {"CLARION_WORKERS_COUNT": "2", "CLARION_JOURNAL_PARTITIONS": "16"}).partition_count == 16


def test_a_journal_with_another_number_of_partitions_is_refused_in_one_sentence():
    config = load(None, {"CLARION_JOURNAL_PARTITIONS": "8"})
    check_partitions(config, 8)
    with pytest.raises(OperatorError, match=r"The journal has 4 partitions, and journal\.partitions is 8: set it to 4"):
        check_partitions(config, 4)


@pytest.mark.parametrize("stored", [1, 3, 256])
def test_zero_keeps_the_partitions_of_a_journal_as_they_are(stored: int):
    check_partitions(load(None, {"CLARION_JOURNAL_PARTITIONS": "0"}), stored)
