"""A fixed piece of work whose CPU time measures the current speed of the machine. Figures divided by it can be compared
between machines and days.

One piece is the work of a frame of 250 notifications, in code that never changes with the product: make the columns in
Python, encode them (MessagePack), hash the payload (BLAKE2b), and commit it with a row for each notification to a
SQLite file with the pragmas of the product's writers. Every round overwrites the same rows, so that the file does not
grow. It imports nothing of Clarion. A change of it requires a new `VERSION` and new baselines.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw
import msgspec

VERSION: Final = 1
ROUNDS: Final = 40
PIECES_A_ROUND: Final = 8
EVENTS: Final = 250
_PRAGMAS: Final = (
    "page_size=16384",
    "journal_mode=wal",
    "synchronous=FULL",
    "wal_autocheckpoint=1000",
    "journal_size_limit=67108864",
    "foreign_keys=ON",
    "cache_size=-65536",
    "temp_store=MEMORY",
)
_SCHEMA: Final = """
CREATE TABLE frames (number INTEGER PRIMARY KEY, payload BLOB) STRICT;
CREATE TABLE rows (id BLOB PRIMARY KEY, frame INTEGER, user TEXT) STRICT, WITHOUT ROWID;
"""


class Calibration(msgspec.Struct, frozen=True):
    """CPU microseconds of one piece of work, each the median of `ROUNDS` rounds: over the rounds before and after the
    measurement, and of each of the two. A difference between the two means that other processes used the machine."""

    us: float
    before_us: float
    after_us: float

    def as_dict(self) -> dict[str, float]:
        """Return the fields for a JSON line."""
        return {
            "calibration_us": round(self.us, 2),
            "calibration_before_us": round(self.before_us, 2),
            "calibration_after_us": round(self.after_us, 2),
        }


class Calibrator:
    """Runs the first rounds in its constructor and the last rounds in `result`. No other work of the process may run at
    the same time."""

    def __init__(self) -> None:
        self._before = rounds_us()

    def result(self) -> Calibration:
        """Return the calibration of the measurement since the constructor."""
        after = rounds_us()
        return Calibration(
            statistics.median([*self._before, *after]), statistics.median(self._before), statistics.median(after)
        )


def rounds_us(rounds: int = ROUNDS) -> list[float]:
    """Return the CPU microseconds of one piece of work in each round."""
    with tempfile.TemporaryDirectory(prefix="clarion-calibration-") as folder:
        db = apsw.Connection(str(Path(folder) / "work.db"))
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        db.execute(_SCHEMA)
        encode = msgspec.msgpack.Encoder().encode
        found: list[float] = []
        for _ in range(1 + rounds):
            began_s = time.process_time()
            for piece in range(PIECES_A_ROUND):
                _piece(db, encode, piece)
            found.append((time.process_time() - began_s) * 1e6 / PIECES_A_ROUND)
        db.close()
    return found[1:]


def _piece(db: apsw.Connection, encode: Callable[[object], bytes], piece: int) -> None:
    numbers = range(piece * EVENTS, (piece + 1) * EVENTS)
    ids = [hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest() for number in numbers]
    users = [f"user-{number:07}" for number in numbers]
    data = [{"order": f"A-{number:06}", "time": f"{number % 24:02}:{number % 60:02}"} for number in numbers]
    payload = encode([ids, users, ["bench"] * EVENTS, data])
    digest = hashlib.blake2b(payload, digest_size=16).digest()
    with db:
        db.execute("REPLACE INTO frames VALUES (?, ?)", (piece, digest + payload))
        db.executemany("REPLACE INTO rows VALUES (?, ?, ?)", zip(ids, [piece] * EVENTS, users, strict=True))
