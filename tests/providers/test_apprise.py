"""Apprise, the real library: its requests go through the guarded client, and it has no other network access."""

import asyncio
import contextlib
import gc
import socket
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import pytest_socket

from clarion.control.providers.fields import check_fields
from clarion.control.providers.routes import ProviderBody, routes
from clarion.deliver.send.worker import Sender
from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.errors import EgressError, InvalidField, Sent
from clarion.domain.message import AppriseRequest, HttpResponse
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Refused, Throttled, Transient
from clarion.domain.planned import PlannedDelivery
from clarion.outbound.apprise.calls import Calls, Over
from clarion.outbound.apprise.egress import FencedApprise
from clarion.outbound.apprise.fence import Fenced, fenced
from clarion.outbound.net.http import GuardedHttp
from clarion.providers.apprise_schemes import SCHEMES
from clarion.providers.chat import apprise as vendor
from clarion.testing.lines import Lines
from tests.providers import battery
from tests.providers.conftest import serving

TABLE = battery.tables()["chat_apprise"]
TEXT = "Your order 424242 is on its way."


class Wire:
    """An HTTP client with scripted responses, `status` or a pair of it and a body; the last one repeats."""

    def __init__(self, *script, port=None):
        self.script, self.seen, self.port = [*script] or [200], [], port
        self.real = GuardedHttp(("127.0.0.0/8",), allow_plain=True) if port else None

    async def send(self, request):
        self.seen.append(request)
        if self.real is not None:
            path = "/" + request.url.split("/", 3)[3]
            return await self.real.send(
                msgspec.structs.replace(request, url=f"http://127.0.0.1:{self.port}{path}", headers=request.headers)
            )
        found = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(found, Exception):
            raise found
        status, body, headers = found if isinstance(found, tuple) else (found, b'{"ok": true}', {})
        return HttpResponse(status, headers, body)

    async def close(self):
        if self.real is not None:
            await self.real.close()


@contextlib.asynccontextmanager
async def library(wire):
    egress = FencedApprise(wire)
    try:
        yield egress
    finally:
        await egress.close()
        await wire.close()


async def spoken(wire, url, text=TEXT, **options):
    async with library(wire) as egress:
        return await egress.send(AppriseRequest(url, text, **options))


async def outcome(wire, url, text=TEXT, settings=None, **options):
    account = msgspec.structs.replace(battery.account(TABLE), credentials={"url": url}, settings=settings or {})
    message = battery.message(TABLE, parts={"text": text}, **options)
    request = vendor.build(message, account, now_ms=battery.NOW_MS, token=None)
    async with library(wire) as egress:
        return vendor.read(await egress.send(request), message, account, now_ms=battery.NOW_MS)


# --- over real sockets ---


@contextlib.asynccontextmanager
async def peer(*answers):
    """Run a server that records its requests and sends responses in turn, repeating the last; yield its port and the requests."""
    got, left = [], [*answers] or [b'{"ok": true}']

    async def server(reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((int(x[15:]) for x in head.lower().split("\r\n") if x.startswith("content-length:")), 0)
            got.append((head.split("\r\n", 1)[0], head, await reader.readexactly(length)))
            body = left.pop(0) if len(left) > 1 else left[0]
            if body.startswith(b"HTTP/"):
                writer.write(body)
            else:
                kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                writer.write(kind + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

    async with serving(server) as port:
        yield port, got


@pytest.mark.parametrize(
    ("url", "answers", "line"),
    [
        ("json://{peer}/hook", [], "POST /hook"),
        ("form://{peer}/hook", [], "POST /hook"),
        ("xml://{peer}/hook", [], "POST /hook"),
        ("gotify://{peer}/Atoken0123456789", [], "POST /message"),
        ("ntfy://{peer}/orders", [], "POST /"),
        ("mmost://{peer}/abcdefghijklmnopqrstuvwxyz", [], "POST /hooks/abcdefghijklmnopqrstuvwxyz"),
        (
            "matrix://ada:secretpass@{peer}/%21room%3Ashop.example?v=3",
            [
                b'{"access_token": "t0ken0123456789", "user_id": "@ada:shop.example", "device_id": "D", '
                b'"home_server": "shop.example", "room_id": "!room:shop.example", "joined_rooms": ["!room:shop.example"]}'
            ],
            "PUT ",
        ),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
async def test_services_of_ones_own_get_the_text(url, answers, line):
    async with peer(*answers) as (port, got):
        http = GuardedHttp(("127.0.0.0/8",), allow_plain=True)
        reply = await spoken(http, url.format(peer=f"127.0.0.1:{port}"))
    assert reply.done, reply
    assert [body for first, _, body in got if first.startswith(line) and b"424242" in body]
    assert not [head for _, head, _ in got if "accept-encoding: gzip" in head.lower()]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("discord://4242424242/abcdefghijklmnopqrstuvwxyz", "https://discord.com/"),
        ("tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/4242", "https://api.telegram.org/"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "https://hooks.slack.com/"),
        ("gchat://space/key0123456789/token0123456789", "https://chat.googleapis.com/"),
    ],
)
async def test_public_services_get_the_text(url, host):
    async with peer(b"ok" if url.startswith("slack") else b'{"ok": true, "result": {"message_id": 7}}') as (port, got):
        wire = Wire(port=port)
        reply = await spoken(wire, url)
    assert reply.done, reply
    assert wire.seen[-1].url.startswith(host)
    assert b"424242" in got[-1][2]


@pytest.mark.parametrize("url", ["json://127.0.0.1:8080/x", "jsons://169.254.169.254/latest", "ntfy://10.0.0.1/topic"])
async def test_private_addresses_are_refused(url):
    with pytest.raises(EgressError) as caught:
        await spoken(GuardedHttp(allow_plain=True), url)
    assert caught.value.blocked
    assert caught.value.sent is Sent.NO


async def test_plain_http_is_refused():
    with pytest.raises(EgressError, match="over https"):
        await spoken(GuardedHttp(("127.0.0.0/8",)), "json://127.0.0.1:8080/x")


async def test_nobody_is_followed():
    moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/inside\r\nContent-Length: 0\r\n\r\n"
    async with peer(moved) as (port, got):
        http = GuardedHttp(("127.0.0.0/8",), allow_plain=True)
        assert (await outcome(http, f"json://127.0.0.1:{port}/x?redirect=yes")).reason == "http_307"
    assert len(got) == 1


async def test_a_service_that_does_not_answer_is_in_doubt():
    async def silent(reader, writer):
        await reader.read(-1)

    async with serving(silent) as port:
        before = time.monotonic()
        with pytest.raises(EgressError) as caught:
            await spoken(
                GuardedHttp(("127.0.0.0/8",), allow_plain=True), f"json://127.0.0.1:{port}/?rto=60", timeout_ms=600
            )
    assert caught.value.sent is Sent.MAYBE
    assert time.monotonic() - before < 5


# --- outcomes of responses ---

TELEGRAM = "tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/4242/4343"
DISCORD = "discord://4242424242/abcdefghijklmnopqrstuvwxyz"


async def test_the_library_does_not_retry():
    wire = Wire(
        (429, b"{}", {"retry-after": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999999999"}), 200
    )
    assert await outcome(wire, f"{DISCORD}?retry=5&wait=1") == Throttled(3_000, "HTTP 429: {}")
    assert len(wire.seen) == 1


async def test_a_failure_is_none_though_the_url_calls_it_optional():
    assert isinstance(await outcome(Wire(401), f"{DISCORD}?optional=yes"), Misconfigured)


async def test_what_has_arrived_in_part_is_not_sent_again():
    dead = (404, b'{"ok": false, "description": "chat not found"}', {})
    assert isinstance(await outcome(Wire((200, b'{"ok": true}', {}), dead), TELEGRAM), Refused)
    down = (503, b"", {})
    assert isinstance(await outcome(Wire((200, b'{"ok": true}', {}), down), TELEGRAM), Ambiguous)


async def test_signing_in_is_no_part():
    class SignInWire(Wire):
        async def send(self, request):
            if b"424242" in request.body:
                self.seen.append(request)
                return HttpResponse(503, {}, b"")
            return await super().send(request)

    wire = SignInWire((200, b'{"access_token": "t0ken", "user_id": "@ada:shop.example", "device_id": "D"}', {}))
    found = await outcome(wire, "matrix://ada:secretpass@peer.example/%21room%3Ashop.example?v=3")
    assert len(wire.seen) > 1
    assert isinstance(found, Transient)


async def test_secrets_are_masked():
    found = await outcome(Wire((401, b"bad token abcdefghijklmnopqrstuvwxyz of 4242424242", {})), DISCORD)
    assert found == Misconfigured("HTTP 401: bad token *** of ***")
    assert "abcdefghijklmnop" not in repr(AppriseRequest(DISCORD, TEXT))


async def test_a_url_that_is_none_says_why_without_its_secret():
    found = await outcome(Wire(), "tgram://not-a-token-but-secret/4242")
    assert isinstance(found, Misconfigured)
    assert "cannot read its URL" in found.detail
    assert "not-a-token-but-secret" not in found.detail


@pytest.mark.parametrize(("overflow", "calls"), [("refuse", 0), ("truncate", 1), ("split", 2)])
async def test_a_long_text(overflow, calls):
    wire = Wire(200)
    found = await outcome(wire, DISCORD, text="word " * 600, settings={"overflow": overflow})
    assert len(wire.seen) == calls
    assert isinstance(found, Accepted) if calls else found.reason == "too_long"


async def test_markup_is_the_authors_to_declare():
    wire = Wire(200)
    await spoken(wire, "tgram://123456789:abcdefghijklmnopqrstuvwxyz0123456789/4242", "a < b & c")
    assert b"a &lt; b &amp; c" in wire.seen[-1].body


async def test_templates_and_files_of_the_machine_stay_unread(tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"content": "canary-of-a-file"}')
    wire = Wire(200)
    with contextlib.suppress(EgressError):
        await spoken(wire, f"{DISCORD}?template={secret}")
        await spoken(wire, f"workflows://peer.example/abcdef/{'a' * 40}?template={secret}")
    assert not [seen for seen in wire.seen if b"canary-of-a-file" in seen.body]


async def test_many_at_once_wait_for_a_thread():
    class Slow(Wire):
        async def send(self, request):
            await asyncio.sleep(0.01)
            return await super().send(request)

    wire = Slow()
    async with library(wire) as egress:
        replies = await asyncio.gather(*(egress.send(AppriseRequest(DISCORD, f"text {n}")) for n in range(30)))
    assert all(reply.done for reply in replies)
    assert len(wire.seen) == 30


async def test_one_that_is_cancelled_stops():
    started = asyncio.Event()

    class Silent(Wire):
        async def send(self, request):
            self.seen.append(request)
            started.set()
            await asyncio.sleep(60)

    wire = Silent()
    async with library(wire) as egress:
        task = asyncio.create_task(egress.send(AppriseRequest(DISCORD, TEXT)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(100):
            if not any(thread.name.startswith("apprise") and thread.is_alive() for thread in threading.enumerate()):
                break
            egress._threads.shutdown(wait=False)
            await asyncio.sleep(0.01)
    assert len(wire.seen) == 1


async def test_what_was_stopped_before_it_began_was_surely_not_sent():
    wire = Wire(200)
    calls = Calls(wire, asyncio.get_running_loop(), TEXT, 1_000)
    calls.stop()
    with pytest.raises(Over):
        await asyncio.to_thread(calls.send, "POST", "https://peer.example/", {}, b"")
    assert not calls.begun
    assert not wire.seen


async def test_a_library_that_never_comes_back_is_left_behind(monkeypatch):
    monkeypatch.setattr("clarion.outbound.apprise.egress.APPRISE_CLOSING_MS", 0)
    stuck = threading.Event()
    monkeypatch.setattr(
        "clarion.outbound.apprise.egress._library", lambda: SimpleNamespace(send_message=lambda *_: stuck.wait(5))
    )
    with pytest.raises(EgressError) as caught:
        await spoken(Wire(200), DISCORD, timeout_ms=20)
    stuck.set()
    assert caught.value.sent is Sent.NO


# --- all services ---

URLS = tomllib.loads((Path(__file__).parent / "apprise_urls.toml").read_text())


def test_every_service_that_can_be_used_has_a_url():
    assert set(URLS) == SCHEMES
    assert len(SCHEMES) > 200


@pytest.mark.slow
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
async def test_every_service_calls_through_the_guarded_client(scheme):
    """No socket, file or process is opened: the fence would have raised, and the service would have made no call."""
    wire = Wire((200, b'{"ok": true, "status": "ok", "success": true}', {"content-type": "application/json"}))
    # Tests of this suite may use loopback; this one may not.
    pytest_socket.disable_socket(allow_unix_socket=True)
    reply = await spoken(wire, URLS[scheme])
    assert wire.seen, reply
    assert reply.reason == ""
    assert all(seen.url.startswith(("http://", "https://")) for seen in wire.seen)


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_no_service_calls_a_refusal_a_success(status):
    answer = (status, b"{}", {})
    for scheme, url in URLS.items():
        wire = Wire(answer)
        found = await outcome(wire, url)
        assert not isinstance(found, Accepted), scheme
        assert status != 429 or len(wire.seen) == 1, scheme


async def test_a_service_signs_out_within_its_message():
    signed_in = b'{"access_token": "t0ken", "user_id": "@ada:shop.example", "device_id": "D", "event_id": "$1"}'
    wire = Wire((200, signed_in, {}))
    assert (await spoken(wire, "matrix://ada:secretpass@peer.example/%21room%3Ashop.example?v=3")).done
    assert wire.seen[-1].url.endswith("/logout")
    calls = len(wire.seen)
    other = Wire(200)
    await spoken(other, DISCORD)
    gc.collect()
    assert len(wire.seen) == calls
    assert [seen.url.split("/")[2] for seen in other.seen] == ["discord.com"]


# --- the fence ---


@pytest.mark.parametrize(
    "act",
    [
        lambda: socket.socket(),
        lambda: socket.getaddrinfo("peer.example", 443),
        lambda: open("/etc/passwd"),  # noqa: SIM115, PTH123
        lambda: open("/tmp/x", "w"),  # noqa: S108, SIM115, PTH123
        lambda: __import__("subprocess").run(["true"], check=False),
        lambda: __import__("os").system("true"),
    ],
)
def test_the_fence_holds(act):
    found = []

    def inside():
        with fenced():
            try:
                act()
            except Fenced as error:
                found.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert len(found) == 1


def test_other_threads_are_free():
    with fenced(), pytest.raises(Fenced):
        open("/etc/hostname")  # noqa: SIM115, PTH123
    open(__file__).close()  # noqa: PTH123


# --- accounts and addresses ---


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("discord://4242424242/abcdefghij", True),
        ("tgram://123456789:abcdefghij/{address}", True),
        ("mailtos://ada:secret@shop.example", False),
        ("syslog://localhost/secret", False),
        ("discord", False),
        ("https://discord.com/api/webhooks/1/secret", False),
        ("json://{address}/secret", False),
        ("json://u:{address}@h/secret", False),
        ("json://h/secret?to={address}", False),
    ],
)
def test_urls_are_checked_before_they_are_stored(url, good):
    if good:
        assert check_fields(vendor.TRAITS.credentials, {"url": url}, "credentials", secret=True) == {"url": url}
        return
    with pytest.raises(InvalidField) as refused:
        check_fields(vendor.TRAITS.credentials, {"url": url}, "credentials", secret=True)
    assert refused.value.field == "credentials.url"
    assert "secret" not in refused.value.detail


async def test_without_the_extra_the_account_says_so():
    traits = msgspec.structs.replace(vendor.TRAITS, missing=vendor.NEEDED)
    put = next(
        one for one in routes(None, {(Channel.CHAT, "apprise"): traits}, None, None, Lines()) if one.method == "PUT"
    )
    body = ProviderBody(Channel.CHAT, "apprise", credentials={"url": DISCORD})
    with pytest.raises(InvalidField) as refused:
        await put.handler(SimpleNamespace(caller=SimpleNamespace(tenant="acme"), body=body, path={"name": "chat"}))
    assert (refused.value.status, refused.value.field, refused.value.code) == (422, "vendor", "vendor_missing")
    assert refused.value.detail == "needs the extra clarion[apprise]"


async def test_without_the_extra_a_stored_account_waits(monkeypatch):
    monkeypatch.setattr("clarion.outbound.apprise.egress.find_spec", lambda name: None)
    assert await outcome(Wire(), DISCORD) == Misconfigured("needs the extra clarion[apprise]")


ROW = PlannedDelivery(
    bytes.fromhex(battery.DELIVERY.removeprefix(ids.DELIVERY_PREFIX)),
    "acme", "ada", "4242", "en", "hi", "", {}, None, 1, None, None, None, None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (200, Accepted),
        (401, Misconfigured),
        (EgressError("no way", sent=Sent.NO, blocked=True), Refused),
        (EgressError("no route", sent=Sent.NO), Transient),
        (EgressError("time", sent=Sent.MAYBE), Ambiguous),
    ],
)
async def test_the_worker_speaks_by_the_library(answer, kind):
    async with library(Wire(answer)) as egress:
        sender = Sender(
            SimpleNamespace(),
            {(Channel.CHAT, "apprise"): vendor},
            SimpleNamespace(holds=lambda *args: True, render=lambda *args, **more: {"text": TEXT}),
            None,
            None,
            SimpleNamespace(now_ms=lambda: battery.NOW_MS),
            SimpleNamespace(log=lambda *args, **fields: None),
            apprise=egress,
        )
        account = msgspec.structs.replace(battery.account(TABLE), credentials={"url": DISCORD})
        assert isinstance((await sender.attempt(Channel.CHAT, ROW, account)).outcome, kind)


def url_of(address, url=None, **settings):
    account = msgspec.structs.replace(
        battery.account(TABLE), credentials={"url": url} if url else {}, settings=settings
    )
    return vendor.build(battery.message(TABLE, address=address), account, now_ms=battery.NOW_MS, token=None).url


def test_an_address_stands_in_the_path():
    assert url_of("#general", "slack://a/b/c/{address}") == "slack://a/b/c/%23general"
    assert url_of("@ada:shop.example", "matrix://u:p@h/{address}?v=3") == "matrix://u:p@h/%40ada%3Ashop.example?v=3"
    assert url_of("whoever", "discord://id/token") == "discord://id/token"


@pytest.mark.parametrize("address", ["a,b", "a/b", "a b", "a?x=y", "a&b", "", "a%2fb", "a\nb"])
def test_an_address_is_one_target(address):
    with pytest.raises(ValueError, match="characters"):
        url_of(address, "slack://a/b/c/{address}")


@pytest.mark.parametrize("url", ["json://{address}", "json://{address}/x", "json://h/x?to={address}"])
def test_an_address_names_no_host(url):
    with pytest.raises(ValueError, match="in the path"):
        url_of("evil.example", url)


def test_addresses_are_urls_only_where_the_account_says_so():
    assert url_of("ntfys://ntfy.example/topic", url_from_address=True) == "ntfys://ntfy.example/topic"
    with pytest.raises(ValueError, match="url_from_address is off"):
        url_of("ntfys://ntfy.example/topic")
    for address in ("mailto://a:b@c", "syslog://", "file:///etc/passwd", "ntfys", "ntfys://h/a b"):
        with pytest.raises(ValueError, match="not the URL"):
            url_of(address, url_from_address=True)
