"""A folder that an installation is moved into: one that was cut while it was made is made whole, one of another build is refused."""

import sqlite3

import pytest

from clarion.domain.errors import OperatorError
from clarion.stores.sqlite.migrate import NAMES, find_difference, path_of
from clarion.stores.sqlite.store_rows import SqliteRows


@pytest.mark.parametrize("name", NAMES)
async def test_a_folder_that_was_cut_before_a_schema_is_continued(tmp_path, name):
    await SqliteRows.target(tmp_path).close()
    for cut in NAMES[NAMES.index(name) :]:
        for left in tmp_path.glob(f"{path_of(tmp_path, cut).name}*"):
            left.unlink()
    path_of(tmp_path, name).touch()
    await SqliteRows.target(tmp_path).close()
    assert find_difference(tmp_path) is None


async def test_a_schema_of_another_build_is_refused(tmp_path):
    await SqliteRows.target(tmp_path).close()
    with sqlite3.connect(path_of(tmp_path, "state")) as db:
        db.execute("UPDATE alembic_version SET version_num = 'state_9999'")
    db.close()
    with pytest.raises(OperatorError, match="newer build"):
        SqliteRows.target(tmp_path)
