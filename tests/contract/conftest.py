"""Fixtures of the contract suites."""

import pytest

from clarion.stores.sqlite import journal_writer
from tests.contract.backends import CONTROLS, ENGINES
from tests.contract.fixtures import bound, clock, control_plane, empty
from tests.contract.journals import BACKENDS, CARRIERS, PARTITIONS
from tests.contract.states import STATES, shut
from tests.engines.postgres import database_of

__all__ = ["bound", "clock", "control_plane", "empty"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Return the name of a backend of the stage store."""
    return request.param


@pytest.fixture(params=CARRIERS)
def carrier(request):
    """Return the name of a backend of streams."""
    return request.param


@pytest.fixture
async def open_store(backend, tmp_path, clock):
    """Return a function that opens the stage store again, as another process or a restarted one does."""
    if backend in ENGINES:
        database_of(tmp_path)  # before a test starts a process that looks for it
    async for opening in _opening(BACKENDS[backend], tmp_path, clock):
        yield opening


@pytest.fixture
async def open_streams(carrier, tmp_path, clock):
    """Return a function that opens the streams again, as another process does."""
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
def streams(open_streams, monkeypatch):
    """Return streams whose watches are woken by commits alone: a periodic check may wake them at any moment."""
    monkeypatch.setattr(journal_writer, "CHECK_S", 3_600.0)
    return open_streams()


@pytest.fixture(params=STATES)
async def state(request, tmp_path):
    opened = STATES[request.param](tmp_path)
    yield opened
    await shut(opened)


@pytest.fixture(params=CONTROLS)
def control_backend(request):
    """Return the name of a backend of control store and directory."""
    return request.param
