"""Fixtures of the contract suites."""

import pytest

from tests.contract.engines import CONTROLS
from tests.contract.fixtures import bound, clock, empty, house
from tests.contract.journals import BACKENDS, CARRIERS, PARTITIONS
from tests.contract.states import STATES

__all__ = ["bound", "clock", "empty", "house"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The name of an engine of the stage store."""
    return request.param


@pytest.fixture(params=CARRIERS)
def carrier(request):
    """The name of an engine of streams."""
    return request.param


@pytest.fixture
async def open_store(backend, tmp_path, clock):
    """Opens the stage store once more, as another process does or the same one that was started again."""
    async for opening in _opening(BACKENDS[backend], tmp_path, clock):
        yield opening


@pytest.fixture
async def open_streams(carrier, tmp_path, clock):
    """Opens the streams once more, as another process does."""
    async for opening in _opening(CARRIERS[carrier], tmp_path, clock):
        yield opening


async def _opening(opener, *where):
    opened = []

    def once_more(partitions=PARTITIONS):
        opened.append(opener(*where, partitions))
        return opened[-1]

    yield once_more
    for one in opened:
        await one.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def streams(open_streams):
    return open_streams()


@pytest.fixture(params=STATES)
def state(request, tmp_path, clock):
    opened = STATES[request.param](tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture(params=CONTROLS)
def engine(request):
    """The name of an engine of control store and directory."""
    return request.param
