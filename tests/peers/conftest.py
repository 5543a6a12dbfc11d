"""Peers that tests share, each started once."""

import pytest
import uvloop

from tests.peers import processes


def pytest_asyncio_loop_factories(config, item):
    """Run tests on the event loop of the product."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def peer():
    """Return the process that asks other implementations."""
    with processes.verifying() as peer:
        yield peer
