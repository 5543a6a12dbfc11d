"""The control store with data, made once for all stage tests; each conftest imports the fixtures its folder uses."""

import asyncio

import pytest

from clarion.ports.directory import Directory
from tests.contract.controls import ControlPlane
from tests.stages.world import seed_data


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    """Return a control store with the definitions and users of `seed_data`. Tests must not write to it."""
    return asyncio.run(seed_data(ControlPlane(tmp_path_factory.mktemp("furnished"), backend="memory")))


@pytest.fixture(scope="session")
def directory(furnished: ControlPlane) -> Directory:
    return furnished.directory
