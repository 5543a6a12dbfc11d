"""Fixtures of the contract suites."""

import pytest

from tests.contract.engines import CONTROLS
from tests.contract.fixtures import bound, clock, empty, house
from tests.contract.journals import BACKENDS
from tests.contract.states import STATES

__all__ = ["bound", "clock", "empty", "engine", "house", "journal", "state"]


@pytest.fixture(params=BACKENDS)
async def journal(request, tmp_path, clock):
    opened = BACKENDS[request.param](tmp_path, clock)
    yield opened
    await opened.close()


@pytest.fixture(params=STATES)
def state(request, tmp_path, clock):
    opened = STATES[request.param](tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture(params=CONTROLS)
def engine(request):
    """The name of an engine of control store and directory."""
    return request.param
