"""Which processes have the journal open: each holds a shared lock on `<run>/journal.lock`, which ends with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clarion.domain.errors import OperatorError
from clarion.ports.regroup import PARTITIONS_STAY


class InUse:
    """One process's share. Waits while another process has the journal alone, to change it."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._file = os.open(run_dir / "journal.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    @contextmanager
    def alone(self, otherwise: str = PARTITIONS_STAY) -> Iterator[None]:
        """Have the journal alone within the block. Raises `OperatorError`, which begins with `otherwise`, while another
        process has it open."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise OperatorError(
                f"{otherwise} while another process has the journal open: stop every process of the installation."
            ) from None
        finally:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the share back. A second call does nothing: by then the number may be another file's."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
