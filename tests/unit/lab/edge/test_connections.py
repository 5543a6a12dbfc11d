"""`connections_many` counts the clients that a server answers with 200, and says why others were not answered."""

import pytest

from clarion_lab.edge.connections import ConnectionsSpec, run
from tests.security.served import served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.7"])


async def errors_of(port):
    samples = (await run(ConnectionsSpec("127.0.0.1", port, "127.0.0.7", "key", 20))).samples
    return [sample.error for sample in samples]


async def test_every_client_connects_from_the_address_and_is_answered():
    peers = set()

    async def app(scope, _receive, send):
        peers.add(tuple(scope["client"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as connect:
        assert await errors_of(connect.port) == [""] * 20
    assert len(peers) == 21, "one came before the others"
    assert {host for host, _ in peers} == {"127.0.0.7"}


async def test_another_status_is_an_error_and_so_is_no_response():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as connect:
        assert await errors_of(connect.port) == ["503: b''"] * 20
    assert all(error.startswith("WireError") for error in await errors_of(connect.port))
