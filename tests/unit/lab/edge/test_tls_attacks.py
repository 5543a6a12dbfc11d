"""Attacks on TLS, against a server that offers it."""

import asyncio
import contextlib
import ssl

import pytest

from clarion_lab.edge import wire
from clarion_lab.edge.attacks import PLAIN, TLS
from clarion_lab.edge.behaviours import Peer, hold, shake
from clarion_lab.edge.offers import offered
from clarion_lab.simulate.certificates import identity
from tests.security.served import served

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.7"]), pytest.mark.slow]


@contextlib.asynccontextmanager
async def tls_server(folder):
    files = identity(folder, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate_file, files.key_file)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_what_a_server_offers_is_seen_from_outside(tmp_path):
    async with tls_server(tmp_path) as port:
        assert await asyncio.to_thread(offered, "127.0.0.1", port) == TLS
    async with served() as connect:
        assert await asyncio.to_thread(offered, "127.0.0.1", connect.port) == PLAIN


async def test_handshakes_are_counted_when_they_are_complete(tmp_path):
    async with tls_server(tmp_path) as port:
        peer = Peer("127.0.0.1", port, "127.0.0.7", 0.5)
        await shake(2)(peer)
        assert peer.landed["handshakes"] >= 2
        peer = Peer("127.0.0.1", port, "127.0.0.7", 0.2)
        await hold(3, wire.tls_hello()[:40])(peer)
        assert (peer.landed["connections"], peer.landed["handshakes"]) == (3, 0)
