"""The HTTP edge against hostile callers: endless heads, idle connections, bodies that exhaust memory."""

import asyncio
import math
from itertools import product

import pytest

from clarion.control.users import routes as user_routes
from clarion.domain.errors import Overloaded
from clarion.domain.limits import BULK_LINE_BYTES_MAX, HEAD_BYTES_MAX
from clarion.domain.limits_processes import BULK_BATCH_BYTES_MAX, BULK_BATCH_LINES
from clarion.edge import protocol
from clarion.ways_in.http.admission import ConcurrencyLimit
from tests.callers import opens
from tests.people import signed_in
from tests.security.served import answer_of, hello, served

pytestmark = pytest.mark.slow

PIECE = 65_536


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(
    ("start", "status"), [(b"GET /", 414), (b"GET / HTTP/1.1\r\nx: ", 431), (b"GET / HTTP/1.1\r\n", 431), (b"", 400)]
)
async def test_an_endless_head_is_cut_off(start, status):
    async with served() as connect:
        reader, writer = await connect()
        writer.write(start)
        for _ in range(4 * HEAD_BYTES_MAX // 12_000):
            writer.write((b"y: z\r\n" if start.endswith(b"\n") else b"aaaaaa") * 2_000)
            await asyncio.wait_for(writer.drain(), 5)
        answer = await answer_of(reader)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nhost: a\r\n"])
async def test_a_head_that_does_not_come_frees_its_connection(start, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WAIT_MS_MAX", 50)
    async with served() as connect:
        reader, writer = await connect()
        writer.write(start)
        assert await answer_of(reader) == b""
        writer.close()


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_a_late_head_frees_a_connection_that_has_served_requests_past_the_deadline_of_its_first(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WAIT_MS_MAX", 150)
    async with served() as connect:
        reader, writer = await connect()
        for _ in range(6):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
            await asyncio.sleep(0.05)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert await answer_of(reader) == b""
        writer.close()


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_a_head_has_its_own_time_when_that_of_the_request_before_ends(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WAIT_MS_MAX", 600)
    async with served() as connect:
        reader, writer = await connect()
        for pieces in ((b"", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), (b"GET / HTTP/1.1\r\n", b"host: a\r\n\r\n")):
            writer.write(pieces[0])
            await asyncio.sleep(0.35)
            writer.write(pieces[1])
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_it_is_known_how_long_a_connection_was_idle_before_a_request():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["state"][protocol.IDLE_MS])
        await hello(scope, receive, send)

    async with served(app) as connect:
        reader, writer = await connect()
        for pause_s, number in ((0, 1), (0, 1), (0.4, 1), (0.4, 2)):
            await asyncio.sleep(pause_s)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * number)
            for _ in range(number):
                assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()
    assert [idle_ms < 200 for idle_ms in seen] == [False, True, False, False, True]
    assert seen[0] == math.inf
    assert 400 <= seen[2] < 5_000


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_well_behaved_requests_pass_one_after_the_other():
    async with served() as connect:
        reader, writer = await connect()
        head = (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\nx: " + b"y" * (HEAD_BYTES_MAX // 2) + b"\r\n\r\n"
        )
        for _ in range(5):
            writer.write(head + b"b" * 200_000)
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


def test_memory_is_freed_after_any_failure():
    limit = ConcurrencyLimit(2, 100)
    with limit.admit(()) as first:
        first.allocate(60)
        with pytest.raises(Overloaded), limit.admit(()) as second:
            second.allocate(30)
            second.allocate(30)
        assert (limit.requests, limit.bodies.allocated) == (1, 60)
    assert (limit.requests, limit.bodies.allocated) == (0, 0)


async def test_bodies_that_do_not_fit_together_are_refused_for_now(api, monkeypatch):
    bodies = api.app._fixed["/v1/notifications/batch"]._entrances["POST"]._slots.bodies
    monkeypatch.setattr(bodies, "_bytes_max", 3 * PIECE)
    answer = await api.call("POST", "/v1/notifications/batch", pieces=[b" " * PIECE] * 5)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert bodies.allocated == 0
    assert (await api.call("POST", "/v1/notifications/batch", pieces=[b" " * PIECE] * 2)).status == 400


async def test_an_odd_content_length_is_no_server_error(api):
    for declared in (b"-1", b"1e3", b"9" * 30, "٣".encode(), b"", b"1,2"):
        answer = await api.call("PUT", "/v1/topics/new", b"{}", headers=[(b"content-length", declared)])
        assert answer.status in (200, 413), declared


async def test_every_answer_is_for_the_caller_alone(api):
    for path, key in (("/v1/users/ada", "acme"), ("/v1/users/ada", None), ("/docs", None), ("/openapi.json", None)):
        headers = (await api.call("GET", path, key=key)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_the_page_runs_nothing_and_repeats_nothing(api):
    page = (await api.ok("GET", "/docs?<script>alert(1)</script>", key=None)).body.lower()
    assert b"<script" not in page
    assert b"javascript:" not in page
    assert b" on" + b"load=" not in page


async def test_a_path_is_not_echoed_at_length_or_as_html(api):
    answer = await api.call("GET", "/<script>" + "x" * 60_000, key=None)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.body) < 1_000


ODD_PATHS = ["/v1/users/%00", "/v1/users/a%2Fb", "/v1/users/..%2f..%2fetc", "/v1/users/" + "x" * 10_000,
     "/v1/notifications/ntf_%00", "/v1/topics/%00/members", "/v1/notifications/ntf_" + "f" * 32,
     "/v1/broadcasts/brd_" + "f" * 32, "/v1/dead-letters/dlv_" + "f" * 48, "/v1/providers/%0d%0a", "//v1/users", "/v1//users"]  # fmt: skip


async def test_an_odd_path_finds_nothing(api):
    for path in ODD_PATHS:
        answer = await api.call("GET", path)
        assert answer.status == 404, (path, answer)
    assert not api.failures


async def test_a_path_that_is_no_utf_8_is_refused(api):
    for path in ("/v1/users/%ED%A0%80", "/v1/users/%ff", "/v1/templates/%C3/preview", "/v1/users?after=%ff"):
        answer = await api.call("GET", path)
        assert answer.status in (400, 405), (path, answer)
    assert not api.failures


ODD_PAGES = ["limit=-1", "limit=0", "limit=201", "limit=1e2", "limit=%00", "limit=" + "9" * 5_000, "limit=٣", "limit=",
     "after=%00", "after=" + "A" * 9_000, "after==", "after=é", "after=%F0%9F%92%A9"]  # fmt: skip


async def test_an_odd_page_is_refused_on_every_list(api):
    lists = [route for route in api.routes if any(q.name == "limit" for q in route.queries)]
    assert len(lists) > 10
    token = api.tokens.issue("acme", "ada", api.parts.clock.now_ms() // 1000, 60)
    owner = await signed_in(api, "olga", "acme", "owner")
    for route, query in product(lists, ODD_PAGES):
        kind = opens(route.permission)
        path = route.path.replace("{key}", "fans").replace("/{id}", "/acme")
        if kind == "person":
            answer = await owner.call("GET", f"{path}?{query}")
        else:
            key = {"user": token, "operator": "clo_" + "o" * 43}.get(kind, "acme")
            answer = await api.call("GET", f"{path}?{query}", key=key)
        assert answer.status in (422, 404), (route.path, query, answer)
        assert answer.status == 422 or "broadcasts" in path
    assert not api.failures


async def test_times_at_the_ends_of_the_calendar_are_no_server_errors(api):
    first, last = "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"
    for route in api.routes:
        for query in route.queries:
            if query.kind == "string" and query.name in ("created_from", "created_to", "from", "to"):
                for at in (first, last):
                    assert (await api.call("GET", f"{route.path}?{query.name}={at}")).status == 200
    for at in (first.replace("%2B", "+"), last):
        body = {"to": "ada", "template": "note", "data": {"text": "x"}}
        for name in ("send_at", "expires_at"):
            assert (await api.call("POST", "/v1/notifications", body | {name: at})).status in (202, 422)
        suppression = {"channel": "chat", "address": "a", "expires_at": at}
        assert (await api.call("POST", "/v1/suppressions", suppression)).status == 422
        key = {"scopes": ["*"], "expires_at": at}
        assert (await api.call("POST", "/v1/tenants/acme/keys", key, key="clo_" + "o" * 43)).status == 422
    assert (await api.ok("GET", "/v1/suppressions")).json["data"] == []


async def test_an_endless_line_of_an_import_takes_the_memory_of_one(api):
    pieces = (b"x" * PIECE for _ in range(400))
    report = (await api.ok("POST", "/v1/users/bulk", pieces=pieces)).json
    assert (report["received"], report["stored"]) == (1, 0)


async def test_lines_of_an_import_are_held_by_their_size():
    line = b'{"id": "' + b"x" * (BULK_LINE_BYTES_MAX - 20) + b'"}\n'

    async def stream():
        for _ in range(200):
            yield line

    batches = [sum(len(text) for _, text in batch) async for batch in user_routes._batches(stream())]
    assert max(batches) <= BULK_BATCH_BYTES_MAX + BULK_LINE_BYTES_MAX
    assert sum(batches) == 200 * (len(line) - 1)


async def test_short_lines_of_an_import_are_held_by_their_number():
    async def stream():
        yield b"{}\n" * (BULK_BATCH_LINES * 2 + 5)

    assert [len(batch) async for batch in user_routes._batches(stream())] == [BULK_BATCH_LINES, BULK_BATCH_LINES, 5]


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_who_sends_no_more_still_gets_the_answer():
    async with served() as connect:
        for _ in range(20):
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            writer.write_eof()
            assert (await answer_of(reader)).endswith(b"ok")
            writer.close()


async def test_a_path_that_does_not_exist_is_named_in_the_refusal(api):
    answer = await api.call("GET", "/v1/providers/mail/stand")
    assert (answer.status, answer.json["detail"]) == (404, "there is nothing at /v1/providers/mail/stand")
