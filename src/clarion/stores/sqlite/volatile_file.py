"""Files whose content need not survive a power cut: shared by all processes on one machine, never fsynced.

A file is opened at its first use. A file of an older layout is then upgraded, one transaction per step. A file that is
corrupt, or of a layout without an upgrade step, is recreated, and this is logged.
"""

import fcntl
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import apsw

from clarion.domain.errors import DurabilityError, Overloaded
from clarion.stores.sqlite.connection import connect

_CACHE_KIB: Final = 2_048
T = TypeVar("T")


class VolatileFile:
    """One such file. Used by one thread at a time. `what` names its content in errors; `ready` is called with each
    connection when it is opened; `steps` are the statements that upgrade a layout, by its number, to the next one."""

    def __init__(
        self,
        path: Path,
        what: str,
        layout: int,
        create: str,
        wait_ms: int,
        ready: Callable[[apsw.Connection], None] = lambda _db: None,
        steps: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        self._path = path
        self._what = what
        self._layout = layout
        self._create = create
        self._wait_ms = wait_ms
        self._ready = ready
        self._steps = steps
        self._log = logging.getLogger(f"clarion.{what}")
        self._db: apsw.Connection | None = None

    def change(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run work as one exclusive write transaction and return its result; when it raises, nothing is stored. Raises
        `Overloaded` when the file cannot be written now and `DurabilityError` when it is corrupt."""
        try:
            db = self._db or self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                answer = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except (apsw.BusyError, apsw.FullError) as error:
            raise Overloaded(f"{self._what} cannot be written now") from error
        except apsw.Error as error:
            raise self._failed(error) from error
        return answer

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run work that only reads and return its result. Raises like `change`."""
        try:
            return work(self._db or self._open())
        except (apsw.BusyError, apsw.FullError) as error:
            raise Overloaded(f"{self._what} cannot be read now") from error
        except apsw.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _failed(self, error: apsw.Error) -> DurabilityError:
        with suppress(apsw.Error):
            self.close()  # the next call opens it again, which repairs it if possible
        return DurabilityError(f"the store of {self._what} failed: {error}")

    def _open(self) -> apsw.Connection:
        try:
            db = self._opened()
        except OSError as error:  # no room even for the lock file
            raise Overloaded(f"{self._what} cannot be opened now") from error
        try:
            self._ready(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _opened(self) -> apsw.Connection:
        """Return a connection to the file. A file that is corrupt or of an unknown layout is recreated, by one process
        alone."""
        path = self._path
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            db = self._checked()
            if db is None:
                for ending in ("", "-wal", "-shm"):
                    path.with_name(path.name + ending).unlink(missing_ok=True)
                db = self._connected()
                db.execute(self._create)
                db.pragma("user_version", self._layout)
        return db

    def _checked(self) -> apsw.Connection | None:
        if not self._path.exists():
            return None
        db = None
        try:
            db = self._connected()
            sound = db.pragma("quick_check") == "ok"
            layout = self._upgraded_layout(db) if sound else db.pragma("user_version")
            if sound and layout == self._layout:
                return db
            if layout != self._layout:
                self._log.warning(
                    "%s was written by another release (layout %s, now %s) and is recreated; its data is lost",
                    self._path.name,
                    layout,
                    self._layout,
                )
        except (apsw.CorruptError, apsw.NotADBError) as error:
            self._log.warning("%s is corrupt and is recreated; its data is lost: %s", self._path.name, error)
        if db is not None:
            db.close()
        return None

    def _upgraded_layout(self, db: apsw.Connection) -> int:
        """Apply the upgrade steps for a file's layout and return the resulting layout."""
        old = layout = int(db.pragma("user_version"))
        while layout != self._layout and layout in self._steps:
            with db:
                db.execute(self._steps[layout])
                db.pragma("user_version", layout + 1)
            layout += 1
        if layout != old:
            self._log.info("%s is upgraded from layout %s to %s; its data is preserved", self._path.name, old, layout)
        return layout

    def _connected(self) -> apsw.Connection:
        db = connect(self._path, cache_kib=_CACHE_KIB, busy_wait_ms=self._wait_ms)
        db.pragma("synchronous", "off")
        return db
