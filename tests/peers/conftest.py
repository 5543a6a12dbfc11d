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


@pytest.fixture(scope="session")
def moto():
    """Return the address of a server that answers as AWS does."""
    with processes.serving(processes.program("moto_server"), "-H", "127.0.0.1", "-p", "0") as port:
        yield f"http://127.0.0.1:{port}"
