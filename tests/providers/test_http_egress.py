"""The guarded HTTP client against real sockets: ambiguous failures, certain failures, and refused destinations."""

import asyncio

import msgspec
import pytest

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import EGRESS_ADDRESS_TTL_MS, RESPONSE_BYTES_MAX
from clarion.domain.message import HttpRequest
from clarion.outbound.net import http as egress
from clarion.outbound.net.http import GuardedHttp
from clarion.outbound.net.resolver import Resolver
from tests.providers.conftest import cut, serving

LOOPBACK = ("127.0.0.0/8",)
BODY = b"x" * 700
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 3\r\n\r\nok"


def post(url, timeout_ms=2_000, **headers):
    return HttpRequest("POST", url, headers, BODY, timeout_ms)


async def failure(http, url, **options):
    with pytest.raises(EgressError) as caught:
        await http.send(post(url, **options))
    return caught.value


@pytest.fixture
async def plain():
    http = GuardedHttp(LOOPBACK, allow_plain=True)
    yield http
    await http.close()


async def whole_request(reader):
    await reader.readuntil(BODY)


async def test_an_answer_comes_back_whole(plain):
    async def server(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        writer.write(OK if b"x-test: 1\r\n" in head.lower() else b"")
        await writer.drain()

    async with serving(server) as port:
        response = await plain.send(post(f"http://127.0.0.1:{port}/a?b=c", **{"x-test": "1"}))
    assert (response.status, response.body, response.headers["retry-after"]) == (200, b"ok", "3")


# --- requests that may have been sent ---


async def closes_before_reading(reader, writer):
    writer.close()


async def resets_after_reading(reader, writer):
    await whole_request(reader)
    cut(writer)


async def closes_after_reading(reader, writer):
    await whole_request(reader)


async def half_a_head(reader, writer):
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 O")


async def half_a_body(reader, writer):
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


async def not_http(reader, writer):
    await whole_request(reader)
    writer.write(b"220 mail.example ESMTP\r\n")


async def hangs(reader, writer):
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "server",
    [closes_before_reading, resets_after_reading, closes_after_reading, half_a_head, half_a_body, not_http, hangs],
)
async def test_once_connected_the_request_may_have_been_sent(plain, server):
    async with serving(server) as port:
        error = await failure(plain, f"http://127.0.0.1:{port}/secret-path", timeout_ms=300)
    assert error.sent is Sent.MAYBE
    assert not error.blocked
    assert "secret-path" not in error.detail


async def test_a_kept_connection_that_breaks_is_not_tried_again(plain):
    seen = 0

    async def second_breaks(reader, writer):
        nonlocal seen
        for reply in (OK, None):
            await whole_request(reader)
            seen += 1
            if reply is None:
                cut(writer)
                return
            writer.write(reply)

    async with serving(second_breaks) as port:
        assert (await plain.send(post(f"http://127.0.0.1:{port}/"))).status == 200
        assert (await failure(plain, f"http://127.0.0.1:{port}/")).sent is Sent.MAYBE
    assert seen == 2


# --- requests that were certainly not sent ---


async def closed_port():
    async with serving(hangs) as port:
        return port


async def test_a_refused_connection_sent_nothing(plain):
    error = await failure(plain, f"http://127.0.0.1:{await closed_port()}/")
    assert error.sent is Sent.NO
    assert "refused" in error.detail


@pytest.mark.parametrize("server", [closes_before_reading, resets_after_reading, not_http])
async def test_a_failed_handshake_sent_nothing(server):
    http = GuardedHttp(LOOPBACK)

    async def read_hello(reader, writer):
        await reader.read(100)
        writer.write(b"220 no TLS here\r\n") if server is not_http else cut(writer)

    async with serving(read_hello) as port:
        assert (await failure(http, f"https://127.0.0.1:{port}/")).sent is Sent.NO
    await http.close()


async def test_an_untrusted_certificate_sends_nothing(simulator):
    http = GuardedHttp(LOOPBACK)
    async with simulator() as sim:
        assert (await failure(http, sim.where.webhook_url)).sent is Sent.NO
        assert sim.receipts() == []
    await http.close()


async def test_a_certificate_for_another_name_sends_nothing(simulator):
    async def lookup(host, port):
        return ["127.0.0.1"]

    async with simulator() as sim:
        http = GuardedHttp((), sim.ca_file, resolver=Resolver(LOOPBACK, lookup=lookup))
        url = sim.where.webhook_url.replace("127.0.0.1", "bank.example")
        assert (await failure(http, url)).sent is Sent.NO
        await http.close()


# --- refused destinations ---


@pytest.mark.parametrize(
    "url",
    ["", "/path", "ftp://shop.example/", "file:///etc/passwd", "//shop.example/", "https:/shop.example/", "https:///x",
     "https://user@shop.example/", "https://shop.example@127.0.0.1/", "https://shop.example\\@127.0.0.1/",
     "https://shop.example%00.evil.example/", "https://%6cocalhost/", "https:\\\\127.0.0.1\\", "https://shop example/",
     "https://shop.example\t/", "ht\ntps://127.0.0.1/", "https:/\n/127.0.0.1/", "HTTPS://127.0.0.1/", "javascript:1",
     "https://[::1/", "https://shop.example:99999/", "https://shop.example:port/", "https://a" + "a" * 9_000],
)  # fmt: skip
async def test_urls_that_could_mean_two_things_are_refused(url):
    http = GuardedHttp()
    error = await failure(http, url)
    assert (error.sent, error.blocked) == (Sent.NO, True)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "0", "0.0.0.0", "0x7f.0.0.1", "0177.0.0.1", "2130706433",  # noqa: S104
     "017700000001", "0x7f000001", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]",
     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fec0::1]", "[ff02::1]", "10.0.0.1", "169.254.169.254",
     "100.64.0.1", "192.168.0.1", "224.0.0.1", "\uff11\uff12\uff17.0.0.1", "127。0。0。1", "ⓛocalhost"],
)  # fmt: skip
async def test_private_hosts_are_refused_in_every_spelling(host):
    seen = []

    async def server(reader, writer):
        seen.append(host)

    async with serving(server) as port:
        http = GuardedHttp(allow_plain=True)
        error = await failure(http, f"http://{host}:{port}/")
        await http.close()
    assert (error.sent, seen) == (Sent.NO, [])
    assert error.blocked or error.detail == "localhost. does not resolve"


async def test_plain_http_and_odd_ports_need_permission():
    http = GuardedHttp(LOOPBACK)
    assert (await failure(http, "http://127.0.0.1:8080/")).blocked
    assert (await failure(http, "https://127.0.0.1:22/")).blocked


class Names:
    """A name service whose results change, and the clock that ages them."""

    def __init__(self, *answers):
        self.answers, self.asked, self.now_ms = list(answers), 0, 0

    async def lookup(self, host, port):
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]

    def http(self):
        return GuardedHttp(
            allow_plain=True, resolver=Resolver(("127.0.0.1/32",), lookup=self.lookup), monotonic_ms=lambda: self.now_ms
        )


@pytest.mark.parametrize("host", ["shop.example", "shop.example.", "Shop.Example", "shöp.example"])
async def test_it_connects_to_the_address_that_was_checked(host):
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    seen = 0

    async def server(reader, writer):
        nonlocal seen
        while True:
            await whole_request(reader)
            seen += 1
            writer.write(OK)

    async with serving(server) as port:
        http = names.http()
        for _ in range(3):
            await http.send(post(f"http://{host}:{port}/"))
        assert (seen, names.asked) == (3, 1)
        # Rebinding: once the result is old the name is resolved and checked again, and refused.
        names.now_ms += EGRESS_ADDRESS_TTL_MS
        assert (await failure(http, f"http://{host}:{port}/")).blocked
        assert (seen, names.asked) == (3, 2)
        await http.close()


async def test_the_same_address_keeps_its_connection():
    names = Names(["127.0.0.1"])
    connections = 0

    async def server(reader, writer):
        nonlocal connections
        connections += 1
        while True:
            await whole_request(reader)
            writer.write(OK)

    async with serving(server) as port:
        http = names.http()
        for _ in range(3):
            await http.send(post(f"http://shop.example:{port}/"))
            names.now_ms += EGRESS_ADDRESS_TTL_MS
        assert (connections, names.asked) == (1, 3)
        await http.close()


async def test_the_next_address_is_tried_after_one_that_refuses():
    names = Names(["127.0.0.9", "127.0.0.1"])
    http = GuardedHttp(allow_plain=True, resolver=Resolver(LOOPBACK, lookup=names.lookup))

    async def server(reader, writer):
        await whole_request(reader)
        writer.write(OK)

    async with serving(server) as port:
        assert (await failure(http, f"http://shop.example:{port}/")).sent is Sent.NO
        assert (await http.send(post(f"http://shop.example:{port}/"))).status == 200
    await http.close()


async def test_concurrent_first_calls_share_one_look_up():
    names = Names(["127.0.0.1"])

    async def server(reader, writer):
        while True:
            await whole_request(reader)
            writer.write(OK)

    async with serving(server) as port:
        http = names.http()
        await asyncio.gather(*(http.send(post(f"http://shop.example:{port}/{n}")) for n in range(20)))
        assert names.asked == 1
        await http.close()


async def test_calls_that_must_not_share_a_connection_do_not(plain):
    seen = []

    async def server(reader, writer):
        seen.append([])
        own = seen[-1]
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            own.append(head.split(b" ")[1])
            writer.write(OK)

    async with serving(server) as port:
        for team in ("a", "b", "", "a", "b", ""):
            await plain.send(msgspec.structs.replace(post(f"http://127.0.0.1:{port}/{team}"), connection=team))
    assert seen == [[b"/a", b"/a"], [b"/b", b"/b"], [b"/", b"/"]]


# --- bounds ---


async def test_redirects_are_answers_like_others(plain):
    async def server(reader, writer):
        await whole_request(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    async with serving(server) as port:
        assert (await plain.send(post(f"http://127.0.0.1:{port}/"))).status == 302


async def test_an_endless_body_is_cut(plain):
    async def server(reader, writer):
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"y" * 0x10000 + b"\r\n")
            await writer.drain()

    async with serving(server) as port:
        response = await plain.send(post(f"http://127.0.0.1:{port}/", timeout_ms=5_000))
    assert response.body == b"y" * RESPONSE_BYTES_MAX


async def test_a_dripping_answer_ends_at_the_deadline(plain):
    async def server(reader, writer):
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"z")
            await asyncio.sleep(0.01)

    async with serving(server) as port:
        start = asyncio.get_running_loop().time()
        assert (await failure(plain, f"http://127.0.0.1:{port}/", timeout_ms=200)).sent is Sent.MAYBE
        assert asyncio.get_running_loop().time() - start < 1.5


async def test_clients_are_bounded(monkeypatch):
    monkeypatch.setattr(egress, "EGRESS_CLIENTS_MAX", 2)
    names = Names(["127.0.0.1"])

    async def server(reader, writer):
        while True:
            await whole_request(reader)
            writer.write(OK)

    async with serving(server) as port:
        http = names.http()
        for name in "abca":
            assert (await http.send(post(f"http://{name}.example:{port}/"))).status == 200
        assert len(http._routes) == 2
        assert names.asked == 4
        await http.close()


async def test_a_header_that_cannot_be_sent_is_not_sent(plain):
    with pytest.raises(EgressError) as caught:
        await plain.send(post("http://127.0.0.1:8080/", authorization="a\r\nx: y"))
    assert caught.value.sent is Sent.NO
