"""A headless Chromium, driven by its DevTools protocol over pipes: no port, no driver, no further library."""

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clarion_lab.machine.engines import chromium

CHROMIUM = chromium()
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_ANSWER_S = 60
_READ_BYTES = 1 << 16
_CHILD_READS, _CHILD_WRITES = 3, 4  # where Chromium expects the two pipes
_FREE_FROM = 10
_COMPLAINTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Page:
    """One page of the browser: shows HTML in a window of a given width and returns measurements of it."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = b""
        self._id = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._frame = self._call("Page.getFrameTree")["frameTree"]["frame"]["id"]

    def look(self, width_px: int, height_px: int = 900, *, dark: bool = False) -> None:
        """Set the size of the window and the preferred color scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width_px, height=height_px, deviceScaleFactor=1, mobile=True
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def show(self, html: str) -> None:
        """Show a document instead of the previous one."""
        self._call("Page.setDocumentContent", frameId=self._frame, html=html)

    def ask(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        height = self.ask("document.documentElement.getBoundingClientRect().height")
        width = self.ask("window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._id += 1
        request: dict[str, Any] = {"id": self._id, "method": method, "params": params}
        if self._session is not None:
            request["sessionId"] = self._session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self._writer, data) :]
        while True:
            said = self._next()
            if said.get("id") == self._id:
                assert "error" not in said, (method, said["error"])
                result: dict[str, Any] = said["result"]
                return result
            if said.get("method") in _COMPLAINTS:
                self.complaints.append(json.dumps(said["params"])[:2_000])

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _ANSWER_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], max(0, until - time.monotonic()))
            assert ready, "the browser does not respond"
            data = os.read(self._reader, _READ_BYTES)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        return said


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Run a browser with its profile in the folder, and yield its page."""
    assert CHROMIUM is not None
    (child_reads, writer), (reader, child_writes) = _pipe(), _pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, child_reads, _CHILD_READS),
        (os.POSIX_SPAWN_DUP2, child_writes, _CHILD_WRITES),
        (os.POSIX_SPAWN_OPEN, 2, str(folder / "stderr"), os.O_WRONLY | os.O_CREAT, 0o600),
    ]
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    env = {**os.environ, "HOME": str(folder)}
    child = os.posix_spawn(CHROMIUM, command, env, file_actions=actions, setpgroup=0)
    os.close(child_reads)
    os.close(child_writes)
    try:
        yield Page(reader, writer)
    finally:
        os.close(writer)
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _pipe() -> tuple[int, int]:
    """Return both ends of a pipe, with numbers that do not collide with those of the child's ends."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE_FROM) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
