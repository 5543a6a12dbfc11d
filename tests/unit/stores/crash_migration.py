"""Child of the crash tests: migrates a file and is killed just before its N-th SQL statement.

Usage: crash_migration.py DATA_DIR N NAME. It ends with 0 when the migration had fewer statements.
"""

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine, event

from clarion.stores.sqlite.migrate import upgrade

left = int(sys.argv[2])


@event.listens_for(Engine, "before_cursor_execute")
def _count(*_: object) -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


upgrade(Path(sys.argv[1]), (sys.argv[3:] or ["journal"])[0])
