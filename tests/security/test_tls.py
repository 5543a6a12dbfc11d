"""TLS as clients of others see it: OpenSSL's own, curl and Python's, over loopback."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
from datetime import timedelta
from functools import partial

import pytest
import uvicorn

from clarion.domain.request_rate import RequestRate
from clarion.edge import protocol
from clarion.edge.arrivals import Arrivals
from clarion.edge.connections import Connections
from clarion.edge.tls import listener
from clarion.edge.tls.listener import TlsListener
from clarion.edge.tls.renewal import ServerTls
from clarion.runtime.clock import SystemClock
from tests.certificates import DAY, Authority, ServerFiles, written
from tests.security.served import answer_of, until
from tests.stages.world import Notes

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def scheme_of(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


class Running:
    """A listener and what it reports."""

    def __init__(self, settings, rate=None):
        self.notes = Notes()
        self.fields = []
        self.notes.security = lambda event, **fields: self.fields.append((event.value, fields))
        self.tls = ServerTls(settings, self.notes, SystemClock())
        config = uvicorn.Config(scheme_of, http=protocol.BoundedHttp, ws="none", lifespan="off", log_config=None)
        config.load()
        self.state = uvicorn.server.ServerState()
        make = partial(protocol.BoundedHttp, Connections(), config=config, server_state=self.state, app_state={})
        arrivals = Arrivals(rate, 100, self.notes, ().__contains__, time.monotonic_ns)
        self.listener = TlsListener(self.tls, make, self.notes, arrivals)

    @property
    def port(self):
        return self.listener.sockets[0].getsockname()[1]

    async def connect(self, context=None, peer="127.0.0.1"):
        name = "localhost" if context else None
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=name, local_addr=(peer, 0)
        )

    async def peer(self, *command, said=b""):
        """Return the exit code and all output of a client."""
        run = partial(subprocess.run, command, input=said, capture_output=True, timeout=20)
        done = await asyncio.to_thread(run)
        return done.returncode, (done.stdout + done.stderr).decode()

    async def s_client(self, *options, said=b"Q\n"):
        openssl = shutil.which("openssl") or pytest.skip("needs openssl")
        return await self.peer(openssl, "s_client", "-connect", f"127.0.0.1:{self.port}", *options, said=said)


@contextlib.asynccontextmanager
async def running(settings, rate=None):
    server = Running(settings, rate)
    await server.listener.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        server.listener.close()
        await server.listener.wait_closed()
        for connection in list(server.state.connections):
            connection.transport.abort()


def trusting(files, certificate=None, version=None):
    """Return a client's context, with a certificate (chain and key) if given."""
    context = ssl.create_default_context(cadata=files.authority.pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


async def asked(reader, writer):
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(5)


async def test_old_versions_and_renegotiation_are_refused(tmp_path):
    async with running(ServerFiles(tmp_path).settings()) as server:
        for version in ("-tls1", "-tls1_1"):
            code, text = await server.s_client(version, "-cipher", "ALL:@SECLEVEL=0")
            assert code != 0 and "Cipher is (NONE)" in text, text
        assert server.tls.context.options & ssl.OP_NO_RENEGOTIATION
        code, text = await server.s_client("-tls1_2", said=b"R\n")
        assert "RENEGOTIATING" in text and "no renegotiation" in text
        code, text = await server.s_client(
            "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"
        )
        assert code != 0 and "Cipher is (NONE)" in text
        code, text = await server.s_client("-tls1_3")
        assert "TLSv1.3" in text and "Compression: NONE" in text


async def test_tls_1_3_alone(tmp_path):
    files = ServerFiles(tmp_path)
    async with running(files.settings(min_version="1.3")) as server:
        with pytest.raises(OSError):
            await server.connect(trusting(files, version=ssl.TLSVersion.TLSv1_2))
        reader, writer = await server.connect(trusting(files))
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert await asked(reader, writer) == b"https"
        writer.close()


async def test_curl_trusts_a_chain_with_an_intermediate(tmp_path):
    curl = shutil.which("curl") or pytest.skip("needs curl")
    root = Authority()
    files = ServerFiles(tmp_path, Authority("intermediate", root))
    written(files.ca, root.pem)
    async with running(files.settings()) as server:
        address = f"https://localhost:{server.port}/"
        assert await server.peer(curl, "-sS", "--noproxy", "*", "--cacert", str(files.ca), address) == (0, "https")
        code, text = await server.peer(curl, "-sS", "--noproxy", "*", address)
        assert code == 60 and "certificate" in text


async def test_a_new_certificate_is_for_new_connections(tmp_path):
    files = ServerFiles(tmp_path)
    async with running(files.settings()) as server:
        old = await server.connect(trusting(files))
        before = old[1].get_extra_info("peercert")["serialNumber"]
        assert await asked(*old) == b"https"
        files.renew()
        await server.tls.renew(settle_s=0)
        assert await asked(*old) == b"https"
        new = await server.connect(trusting(files))
        assert new[1].get_extra_info("peercert")["serialNumber"] != before
        assert server.fields == [("certificate_changed", {"subject": str(files.certificate)})]
        for _, writer in (old, new):
            writer.close()


def client_files(folder, authority, **validity):
    certificate, key = authority.issue(**validity)
    return written(folder / "client.pem", certificate), written(folder / "client.key", key)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_clients_without_a_trusted_certificate_are_refused_in_the_handshake(tmp_path, version):
    files, clients = ServerFiles(tmp_path), Authority("clients")
    ca = str(written(tmp_path / "clients.pem", clients.pem))
    stale = {"ends": -timedelta(hours=1), "begins": 2 * DAY}
    async with running(files.settings(client_ca_file=ca)) as server:
        for reason, issuer, validity in (
            ("missing", None, {}), ("untrusted", Authority(), {}), ("expired", clients, stale), ("", clients, {}),
        ):  # fmt: skip
            certificate = client_files(tmp_path, issuer, **validity) if issuer else None
            server.fields.clear()
            try:
                reader, writer = await server.connect(trusting(files, certificate, version))
                answer = await asked(reader, writer)
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                answer = b""
            await until(lambda: not server.listener.handshakes)
            assert answer == (b"" if reason else b"https"), reason
            refused = ("client_certificate_refused", {"peer": "127.0.0.1", "reason": reason})
            assert server.fields == ([refused] if reason else [])


async def test_an_optional_certificate_has_to_be_trusted(tmp_path):
    files, clients = ServerFiles(tmp_path), Authority("clients")
    ca = str(written(tmp_path / "clients.pem", clients.pem))
    async with running(files.settings(client_ca_file=ca, client_certificate="optional")) as server:
        reader, writer = await server.connect(trusting(files))
        assert await asked(reader, writer) == b"https"
        writer.close()
        with contextlib.suppress(OSError):  # a client of TLS 1.3 may see the handshake as complete
            stranger = client_files(tmp_path, Authority())
            _, writer = await server.connect(trusting(files, stranger))
            writer.close()
        await until(lambda: bool(server.fields))
        assert server.fields[0][1]["reason"] == "untrusted"


async def test_handshakes_that_do_not_end_are_bounded_and_honest_ones_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "TLS_HANDSHAKES_MAX", 8)
    monkeypatch.setattr(listener, "TLS_HANDSHAKES_PER_PEER_MAX", 20)
    files = ServerFiles(tmp_path)
    async with running(files.settings(handshake_timeout_ms=60_000)) as server:
        silent = [await server.connect() for _ in range(12)]
        silent[11][1].write(b"\x16\x03\x01\x02\x00\x01")
        await until(lambda: server.listener.handshakes == 8)
        for reader, _ in silent[:4]:
            assert await answer_of(reader) == b""
        reader, writer = await server.connect(trusting(files))
        assert await asked(reader, writer) == b"https"
        writer.close()
        monkeypatch.setattr(listener, "TLS_HANDSHAKES_PER_PEER_MAX", 7)
        before = server.listener.handshakes
        reader, writer = await server.connect()
        assert await answer_of(silent[12 - before][0]) == b"", "the peer's oldest handshake made room"
        assert server.listener.handshakes == before
        writer.close()
        reader, writer = await server.connect(trusting(files))
        assert await asked(reader, writer) == b"https", "an honest client behind the same address is served"
        for _, one in [*silent, (reader, writer)]:
            one.close()
        await until(lambda: not server.listener.handshakes)


async def test_a_peer_above_its_rate_ends_no_handshake_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "TLS_HANDSHAKES_MAX", 4)
    monkeypatch.setattr(listener, "TLS_HANDSHAKE_GRACE_MS", 0)
    files = ServerFiles(tmp_path)
    async with running(files.settings(handshake_timeout_ms=60_000), RequestRate(1, 2)) as server:
        server.listener._arrivals._now_ns = lambda: 0  # no time passes, so a peer has two connections
        spent = [await server.connect(peer="127.0.0.2") for _ in range(2)]
        await until(lambda: server.listener.handshakes == 2)
        for _, writer in spent:
            writer.close()
        await until(lambda: not server.listener.handshakes)
        honest = [await server.connect(peer=f"127.0.0.{number}") for number in range(11, 15)]
        await until(lambda: server.listener.handshakes == 4)
        flood = [await server.connect(peer="127.0.0.2") for _ in range(20)]
        await until(lambda: len(server.fields) == 20 - 50 // 8)
        assert server.listener.handshakes == 4
        for reader, writer in honest:
            async with asyncio.timeout(10):
                await writer.start_tls(trusting(files), server_hostname="localhost")
                assert await asked(reader, writer) == b"https"
        for _, one in [*honest, *flood]:
            one.close()


async def test_handshakes_of_a_vouched_address_have_more_time(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "TLS_HANDSHAKES_MAX", 4)
    monkeypatch.setattr(listener, "TLS_HANDSHAKE_GRACE_MS", 0)
    files = ServerFiles(tmp_path)
    async with running(files.settings(handshake_timeout_ms=60_000)) as server:
        server.listener._arrivals.vouch("127.0.0.2")
        slow = [await server.connect(peer="127.0.0.2") for _ in range(2)]
        silent = [await server.connect(peer=f"127.0.0.{number}") for number in (11, 12)]
        await until(lambda: server.listener.handshakes == 4)
        others = [await server.connect(peer=f"127.0.0.{number}") for number in (13, 14)]
        for reader, _ in silent:
            assert await answer_of(reader) == b"", "a later one of another address made room"
        for reader, writer in slow:
            async with asyncio.timeout(10):
                await writer.start_tls(trusting(files), server_hostname="localhost")
                assert await asked(reader, writer) == b"https"
        for _, one in [*slow, *silent, *others]:
            one.close()


async def test_a_handshake_that_does_not_end_is_ended(tmp_path):
    files = ServerFiles(tmp_path)
    async with running(files.settings(handshake_timeout_ms=100)) as server:
        reader, writer = await server.connect()
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await answer_of(reader) == b""
        assert server.listener.handshakes == 0
        writer.close()


async def test_plain_http_is_no_handshake(tmp_path):
    async with running(ServerFiles(tmp_path).settings()) as server:
        reader, writer = await server.connect()
        writer.write(GET)
        assert b"200" not in await answer_of(reader)
        writer.close()
        assert server.fields == []
