"""Fixtures that suites over a control store share; a conftest imports what its folder uses."""

import sys
from typing import Any

import pytest

from tests.contract.controls import House, migrated
from tests.contract.journals import VirtualClock


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """A data folder with the schema and nothing else, to be copied."""
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def house(engine, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, engine)
    yield house
    await house.close()


@pytest.fixture
def bound(monkeypatch):
    """Set a bound by its name in every engine."""

    def to(name: str, value: Any) -> None:
        modules = [module for path, module in sys.modules.items() if path.startswith("clarion.backends.")]
        holders = [module for module in modules if hasattr(module, name)]
        assert holders, name
        for module in holders:
            monkeypatch.setattr(module, name, value)

    return to
