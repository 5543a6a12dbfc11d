"""The furnished control store, made once for all stage tests; a conftest imports what its folder uses."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion.backends.sqlite.directory import SqliteDirectory
from tests.contract.controls import Clock, migrated
from tests.stages.world import furnish


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the definitions and users of `furnish`; nobody writes to it afterwards."""
    folder = migrated(tmp_path_factory.mktemp("furnished"))

    async def fill() -> None:
        house = await furnish(folder)
        await house.close()

    asyncio.run(fill())
    return folder


@pytest.fixture(scope="session")
def directory(furnished: Path) -> Iterator[SqliteDirectory]:
    from clarion.ops.vault import FileVault
    from tests.contract.controls import MASTER

    opened = SqliteDirectory(furnished, FileVault(MASTER), Clock())
    yield opened
    opened.close()
