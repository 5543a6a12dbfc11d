"""The load generator as a real process against a small server that responds as the API does."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from clarion_lab.load.generator import LoadResult, LoadSpec

pytestmark = pytest.mark.measures

Answer = Callable[[int, bytes], bytes]


def accepted(body: bytes) -> bytes:
    return b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """Serve on loopback; `answer` is called with the request's number and body."""
    numbers = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                reply = answer(next(numbers), await reader.readexactly(length))
                if not reply:
                    return
                writer.write(reply)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def load(port: int, folder: Path, **changes: object) -> LoadResult:
    (folder / "bodies").write_bytes(b'{"a":1}\n{"a":2}\n')
    spec = LoadSpec("127.0.0.1", port, "/x", ["k"], str(folder / "bodies"), 1, 10, 2, str(folder / "out"))
    spec = msgspec.structs.replace(spec, **changes)
    (folder / "spec").write_bytes(msgspec.json.encode(spec))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "clarion_lab.load.generator", str(folder / "spec")
    )
    assert await process.wait() == 0
    return msgspec.json.decode((folder / "out").read_bytes(), type=LoadResult)


async def test_every_acknowledged_id_is_in_the_result(tmp_path: Path) -> None:
    async with server(lambda number, _: accepted(b'{"id":"ntf_%d"}' % number)) as port:
        result = await load(port, tmp_path)
    assert {id_ for ack in result.acks for id_ in ack.ids} == {f"ntf_{n}" for n in range(10)}
    assert result.errors == []


async def test_batches_are_read_item_by_item_and_a_refused_item_is_an_error(tmp_path: Path) -> None:
    answers = {0: b'{"results":[{"id":"a"},{"id":"b"}]}', 1: b'{"results":[{"id":"c"},{"error":{"code":"x"}}]}'}
    async with server(lambda number, _: accepted(answers[number])) as port:
        result = await load(port, tmp_path, items=2, requests=2, connections=1)
    assert [ack.ids for ack in result.acks] == [["a", "b"]]
    assert len(result.errors) == 1


async def test_refusals_with_retry_after_are_sent_again_with_the_same_body(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def answer(number: int, body: bytes) -> bytes:
        bodies.append(body)
        busy = b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"
        return busy if number == 0 else accepted(b'{"id":"a"}')

    async with server(answer) as port:
        result = await load(port, tmp_path, requests=1, connections=1)
    assert result.held == 1
    assert bodies[0] == bodies[1]


async def test_a_cut_connection_is_an_error_and_the_load_continues(tmp_path: Path) -> None:
    async with server(lambda number, _: b"" if number == 3 else accepted(b'{"id":"a"}')) as port:
        result = await load(port, tmp_path, connections=1)
    assert len(result.acks) == 9
    assert len(result.errors) == 1


async def test_an_open_loop_keeps_its_intended_times(tmp_path: Path) -> None:
    async with server(lambda number, _: accepted(b'{"id":"a"}')) as port:
        result = await load(port, tmp_path, rate=100.0)
    intended = sorted(ack.intended_ns for ack in result.acks)
    assert [at - intended[0] for at in intended] == [n * 10_000_000 for n in range(10)]


async def test_a_closed_loop_waits_for_the_provider(tmp_path: Path) -> None:
    receipts = tmp_path / "receipts"
    asked_before_receipts: list[int] = []

    def answer(number: int, _: bytes) -> bytes:
        if not receipts.exists():
            asked_before_receipts.append(number)
        if number == 2:
            asyncio.get_running_loop().call_later(0.2, receipts.write_bytes, b"\n" * 10)
        return accepted(b'{"id":"a"}')

    async with server(answer) as port:
        result = await load(port, tmp_path, connections=1, receipts=str(receipts), backlog_max=2)
    assert asked_before_receipts == [0, 1, 2]
    assert len(result.acks) == 10
