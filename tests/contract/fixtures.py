"""Fixtures that suites over a control store share; each conftest imports the ones its folder uses."""

import sys
from typing import Any

import pytest

from tests.contract.controls import ControlPlane, migrated
from tests.contract.journals import VirtualClock


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """Return a data folder with the schema and no rows, to be copied."""
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    yield control_plane
    await control_plane.close()


@pytest.fixture
def bound(monkeypatch):
    """Set a bound by its name wherever it is used."""

    def to(name: str, value: Any) -> None:
        modules = [
            module
            for path, module in sys.modules.items()
            if path.startswith(("clarion.", "tests.")) and not path.startswith("clarion.domain.limits")
        ]
        holders = [module for module in modules if hasattr(module, name)]
        assert holders, name
        for module in holders:
            monkeypatch.setattr(module, name, value)

    return to
