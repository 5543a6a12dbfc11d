"""Fixtures of the contract suites."""

import pytest

from tests.contract.journals import BACKENDS, VirtualClock
from tests.contract.states import STATES


@pytest.fixture
def clock():
    return VirtualClock()


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
