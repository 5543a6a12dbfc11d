"""Files of stores with the newest schema, copied from one that is made once per process: a migration takes longer than
most tests."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from clarion.stores.sqlite.migrate import path_of, upgrade


def prepared(folder: Path, *names: str) -> Path:
    """Return a folder with the file of each of these stores. A file that exists is not changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = path_of(folder, name)
        if not path.exists():
            path.write_bytes(_image(name))
    return folder


@cache
def _image(name: str) -> bytes:
    with TemporaryDirectory(prefix="schema-") as made:
        return upgrade(Path(made), name).read_bytes()
