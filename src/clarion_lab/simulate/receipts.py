"""The receipts file: one JSON line for each message that arrives, written before it is answered.

A line is `{"key", "channel", "arrival", "hash", "at_ms", "answer", "taken"}`: the delivery key the message carries, how
often that key arrived, BLAKE2b-64 of the body, the simulator's own clock, what it will answer, and whether it has the
message afterwards. `vendor` and the id it gives the message follow for those that have their own page in `vendors`; a
vendor whose calls carry no id of ours has a key made of address and text. Where bodies are kept, `body` is the whole of it
as text.
"""

import os
import time
from hashlib import blake2b
from pathlib import Path

import msgspec

from clarion.domain.limits import SIMULATOR_KEYS_MAX
from clarion_lab.simulate.faults import TAKEN, Answer, Chooser


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file."""

    key: str
    channel: str
    arrival: int
    hash: str
    at_ms: int
    answer: str
    taken: bool
    body: str = ""
    vendor: str = ""
    vendor_message_id: str = ""


class About(msgspec.Struct, frozen=True):
    """Which vendor a message came to, for whom, and the id it has there once it is accepted."""

    vendor: str = ""
    address: str = ""
    vendor_message_id: str = ""


_NOTHING = About()


class Receipts:
    """Appends receipts through one `O_APPEND` descriptor, a batch at a time, fsynced and with bodies when asked."""

    def __init__(self, path: Path, chooser: Chooser, *, fsync: bool, bodies: bool = False) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._chooser = chooser
        self._fsync = fsync
        self._bodies = bodies
        self._arrivals: dict[str, int] = {}
        self._lines: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._hashed: tuple[bytes | None, str] = None, ""

    def arrived(
        self, key: str, channel: str, body: bytes, answer: Answer | None = None, about: About = _NOTHING
    ) -> Answer:
        """Note an arrival for the next `flush` and return what to answer; `answer` overrides the drawn one."""
        arrival = self._arrivals.pop(key, 0) + 1
        self._arrivals[key] = arrival
        if len(self._arrivals) > SIMULATOR_KEYS_MAX:
            del self._arrivals[next(iter(self._arrivals))]
        answer = answer or self._chooser.choose(key, arrival, about.address)
        if body is not self._hashed[0]:  # the messages of one call have one body
            self._hashed = body, blake2b(body, digest_size=8).hexdigest()
        text = body.decode(errors="replace") if self._bodies else ""
        at_ms, taken = time.time_ns() // 1_000_000, answer in TAKEN
        id_ = about.vendor_message_id if taken else ""
        line = Receipt(key, channel, arrival, self._hashed[1], at_ms, answer.value, taken, text, about.vendor, id_)
        self._lines.append(self._encoder.encode(line))
        return answer

    def drawn(self, key: str, about: About = _NOTHING) -> Answer:
        """Return what the next arrival of a key will be answered, and note nothing."""
        return self._chooser.choose(key, self._arrivals.get(key, 0) + 1, about.address)

    def flush(self) -> None:
        """Write what was noted; nothing of it may be answered before."""
        if not self._lines:
            return
        os.write(self._fd, b"\n".join(self._lines) + b"\n")
        self._lines.clear()
        if self._fsync:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        os.close(self._fd)
