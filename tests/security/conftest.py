"""Fixtures of the security tests."""

import asyncio
import shutil

import pytest

from tests.security.house import House


@pytest.fixture(scope="session")
def furnished(tmp_path_factory):
    """A data directory to copy, and the keys of its tenants."""

    async def furnish():
        opened = House(tmp_path_factory.mktemp("house"), confined=False)
        await opened.furnish()
        await opened.close()
        return opened

    made = asyncio.run(furnish())
    return made.parts.config.data_dir, made.keys


@pytest.fixture
async def house(tmp_path, furnished):
    """A furnished API of its own for each test."""
    data_dir, keys = furnished
    shutil.copytree(data_dir, tmp_path / "house")
    opened = House(tmp_path / "house")
    opened.keys = keys
    yield opened
    await opened.close()
