"""The folder of a test decides whether it may open sockets; tests in this folder may not."""

import asyncio
import socket
import warnings
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError, SocketConnectBlockedError

from tests.conftest import LOOPBACK, folder_of


def test_a_network_socket_is_refused():
    with warnings.catch_warnings(), pytest.raises(SocketBlockedError):
        warnings.simplefilter("ignore")
        socket.socket(socket.AF_INET)


async def test_the_event_loop_still_runs():
    await asyncio.sleep(0)


@pytest.mark.allow_hosts(LOOPBACK)
def test_where_loopback_is_allowed_the_rest_of_the_network_is_not():
    with warnings.catch_warnings(), pytest.raises(SocketConnectBlockedError), socket.socket() as open_socket:
        warnings.simplefilter("ignore")
        open_socket.connect(("192.0.2.1", 9))


def test_the_folder_is_the_first_one_below_tests():
    assert folder_of(Path("/x/tests/e2e/story/test_a.py"), Path("/x/tests")) == "e2e"
