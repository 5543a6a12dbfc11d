"""The load of the bench case `sockets` on a Centrifugo of this machine: `make bench-centrifugo`, after `make peers-go`.

Each item makes two messages, as in Clarion: the item and the counts. The server only passes on what is published: it stores
nothing.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import psutil

from clarion.app.cli.remote import Remote, RequestRefused, Unreachable
from clarion_lab.load import people
from clarion_lab.load.programs import HOST, READY_TIMEOUT_S, wait_for
from clarion_lab.machine.ports import free_port
from clarion_lab.sockets.cost import FEW, RATE, SECONDS, Clients

_BATCH: Final = 20
_SETTLE_S: Final = 3.0
_STOP_S: Final = 10.0
_SETTINGS: Final = {
    "CENTRIFUGO_CLIENT_INSECURE": "true",
    "CENTRIFUGO_HTTP_API_INSECURE": "true",
    "CENTRIFUGO_HEALTH_ENABLED": "true",
    "CENTRIFUGO_CLIENT_ALLOWED_ORIGINS": "*",
    "CENTRIFUGO_LOG_LEVEL": "error",
}
_COUNTS: Final = {"type": "counts", "total": 1, "unseen": 1, "unread": 1, "more": False}


def measure(program: Path, connections: int) -> dict[str, float | int | str]:
    """Start the server, and return the figures."""
    port = free_port()
    settings = _SETTINGS | {"CENTRIFUGO_HTTP_SERVER_PORT": str(port), "CENTRIFUGO_HTTP_SERVER_ADDRESS": HOST}
    process = subprocess.Popen([program], env={**os.environ, **settings}, stderr=subprocess.DEVNULL, cwd="/")  # noqa: S603
    try:
        client = Remote(f"http://{HOST}:{port}")
        wait_for("Centrifugo listens", lambda: _answers(client), READY_TIMEOUT_S)
        return _figures(psutil.Process(process.pid), client, port, connections)
    finally:
        process.terminate()
        process.wait(_STOP_S)


def _figures(server: psutil.Process, client: Remote, port: int, connections: int) -> dict[str, float | int | str]:
    channels = [people.user_id(number) for number in range(connections + FEW)]
    few, many = Clients(port, channels[connections:], "centrifugo"), None
    try:
        _send(client, channels[connections:], 1)
        time.sleep(_SETTLE_S)
        before = server.memory_info().rss
        many = Clients(port, channels[:connections], "centrifugo")
        time.sleep(_SETTLE_S)
        rss_kb = (server.memory_info().rss - before) / 1024 / connections
        many.got()
        cpu_s = sum(server.cpu_times()[:2])
        _send(client, channels[:connections], SECONDS)
        time.sleep(_SETTLE_S)
        cpu_s = sum(server.cpu_times()[:2]) - cpu_s
        got = many.got()
    finally:
        few.end()
        if many is not None:
            many.end()
    late = sorted(got.late_us) or [0]
    return {
        "server": "centrifugo",
        "connections": connections,
        "rss_kb_per_connection": round(rss_kb, 2),
        "cpu_us_per_frame": round(cpu_s * 1e6 / max(1, got.frames), 2),
        "frames": got.frames,
        "items": len(got.late_us),
        "lost": got.lost,
        "p50_ms": round(late[len(late) // 2] / 1000, 1),
        "p99_ms": round(late[int(len(late) * 0.99)] / 1000, 1),
    }


def _send(client: Remote, channels: list[str], seconds: int) -> None:
    """Publish items on a schedule, each to the next channel."""
    began_s = time.monotonic()
    for nr in range(RATE * seconds // _BATCH):
        due_s = began_s + nr * _BATCH / RATE
        if (wait_s := due_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        commands = []
        for at in range(_BATCH):
            channel = channels[(nr * _BATCH + at) % len(channels)]
            item = {"type": "item", "sent_ns": time.time_ns(), "item": people.data(1)}
            commands += [{"publish": {"channel": channel, "data": data}} for data in (item, _COUNTS)]
        client.post("/api/batch", {"commands": commands})


def _answers(client: Remote) -> bool:
    try:
        client.get("/health")
    except (RequestRefused, Unreachable):
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measure(Path(sys.argv[1]), int(sys.argv[2]))).decode() + "\n")
