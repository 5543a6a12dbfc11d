"""Schema migrations by Alembic: one line of revisions per file, under `migrations/<name>/`.

`upgrade` is safe to call from every process at start: Alembic's version table and an exclusive transaction let one of
them do the work.
"""

import fcntl
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from clarion.backends.sqlite.connection import connect

NAMES: Final = ("control", "journal", "state")
_ROOT: Final = Path(__file__).parent / "migrations"


def path_of(data_dir: Path, name: str) -> Path:
    """Return the file of a concern."""
    return data_dir / f"{name}.db"


def upgrade(data_dir: Path, name: str) -> Path:
    """Bring one file to the newest revision, creating it if needed, and return its path."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = path_of(data_dir, name)
    lock_path = data_dir / ".migrate.lock"
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connect(path).close()  # page size and WAL are fixed before the first table
        engine = create_engine(f"sqlite:///{path}")
        config = Config()
        config.set_main_option("script_location", str(_ROOT))
        config.set_main_option("version_locations", str(_ROOT / name))
        try:
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            engine.dispose()
    return path


def upgrade_all(data_dir: Path) -> None:
    """Bring every file to its newest revision."""
    for name in NAMES:
        upgrade(data_dir, name)
