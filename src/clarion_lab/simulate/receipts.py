"""The receipts file: one JSON line for each message that arrives, written before the response.

A line is `{"key", "channel", "arrival", "hash", "at_ms", "answer", "taken"}`: the delivery key of the message, the
number of arrivals of that key, BLAKE2b-64 of the body, the simulator's own clock, its answer, and whether it has the
message after that answer. `vendor` and its id of the message follow for vendors with a script in `vendors`; for a
vendor whose calls carry no delivery id, the key is made of address and text. When bodies are stored, `body` is the
whole body as text.
"""

import os
import time
from hashlib import blake2b
from pathlib import Path

import msgspec

from clarion_lab.simulate.faults import TAKEN, Answer, Chooser
from clarion_lab.simulate.limits import SIMULATOR_KEYS_MAX


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
    """The vendor of a message, its recipient, and its id at the vendor once it is accepted."""

    vendor: str = ""
    address: str = ""
    vendor_message_id: str = ""


_NOTHING = About()


class Receipts:
    """Appends receipts through one `O_APPEND` descriptor, a batch at a time, optionally fsynced and with bodies."""

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
        """Record an arrival for the next `flush` and return the answer; `answer` overrides the drawn one."""
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
        """Return the answer for the next arrival of a key, without recording anything."""
        return self._chooser.choose(key, self._arrivals.get(key, 0) + 1, about.address)

    def flush(self) -> None:
        """Write the recorded arrivals; their responses must not be sent before."""
        if not self._lines:
            return
        os.write(self._fd, b"\n".join(self._lines) + b"\n")
        self._lines.clear()
        if self._fsync:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Write the remaining arrivals and close the file."""
        self.flush()
        os.close(self._fd)
