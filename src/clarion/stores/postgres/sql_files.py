"""The statements of this backend, one file each under `sql/`, read once."""

from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> str:
    """Return the text of `sql/<name>.sql`."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def schema_files() -> list[str]:
    """Return the names of the files that make up the first schema, in their order."""
    return sorted(path.stem for path in _FOLDER.glob("schema_*.sql"))
