"""The furnished control store, made once for all stage tests; a conftest imports what its folder uses."""

import asyncio

import pytest

from clarion.ports.directory import Directory
from tests.contract.controls import House
from tests.stages.world import furnish


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A control store with the definitions and users of `furnish`; nobody writes to it afterwards."""
    return asyncio.run(furnish(House(tmp_path_factory.mktemp("furnished"), engine="memory")))


@pytest.fixture(scope="session")
def directory(furnished: House) -> Directory:
    return furnished.directory
