"""Fixtures of the security tests."""

import asyncio
import shutil

import pytest

from tests.security.api import Api


@pytest.fixture(scope="session")
def furnished(tmp_path_factory):
    """Return a data directory to copy, and the keys of its tenants."""

    async def seed_data():
        opened = Api(tmp_path_factory.mktemp("api"), confined=False)
        await opened.seed_data()
        await opened.close()
        return opened

    made = asyncio.run(seed_data())
    return made.parts.config.data_dir, made.keys


@pytest.fixture
async def api(tmp_path, furnished):
    """Yield an API with data of its own for each test."""
    data_dir, keys = furnished
    shutil.copytree(data_dir, tmp_path / "api")
    opened = Api(tmp_path / "api")
    opened.keys = keys
    yield opened
    await opened.close()
