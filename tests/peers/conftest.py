"""Peers that tests share, each started once."""

import pytest
import uvloop

from tests.peers import processes


def pytest_asyncio_loop_factories(config, item):
    """Tests run on the loop the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def peer():
    """What other implementations say."""
    with processes.verifying() as peer:
        yield peer
