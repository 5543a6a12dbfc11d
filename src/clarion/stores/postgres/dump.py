"""What a file of `pg_dump` holds, read from its first to its last line: tables, numbers of rows, and the rows that say how many
others there have to be. Any format but plain text is read through `pg_restore`."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from clarion.domain.errors import OperatorError
from clarion.domain.limits_postgres import POSTGRES_DUMP_ERROR_BYTES_MAX, POSTGRES_DUMP_LINE_BYTES_MAX
from clarion.journal.topics import MARKERS

PROGRAM: Final = "pg_restore"
_PLAIN: Final = b"--\n-- PostgreSQL database dump\n"
_COMPLETE: Final = b"-- PostgreSQL database dump complete"
_CUSTOM: Final = b"PGDMP"
_TABLE: Final = re.compile(rb"CREATE (?:UNLOGGED )?TABLE (\S+) \(")
_COPY: Final = re.compile(rb"COPY (\S+) \((.*)\) FROM stdin;")
_PARTED: Final = b"PARTITION BY "
_END: Final = b"\\."
_KEPT: Final = ("alembic_version", "facts", "tenant_count", "tenant_revisions", "journal.streams")
"""Tables of few rows whose values are kept."""


@dataclass
class Dump:
    """What a dump holds. `rows` has the number of rows of each table whose rows are in it."""

    tables: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    kept: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    is_complete: bool = False

    @property
    def without_rows(self) -> list[str]:
        """The tables whose rows were left out. A table without any row is none of them."""
        return sorted(self.tables - self.rows.keys())

    @property
    def revision(self) -> str:
        """The revision of the schema, empty when there is none."""
        return next((row["version_num"] for row in self.kept.get("alembic_version", [])), "")

    @property
    def tenants_wanted(self) -> int:
        """How many tenants the installation had. Schemas before 0013 did not count them: of these it is known whether there
        were any."""
        if "tenant_count" in self.tables:
            return sum(int(row["number"]) for row in self.kept.get("tenant_count", []))
        named = sum(row["tenant"] != "" for row in self.kept.get("tenant_revisions", []))
        return max(self.rows.get("tenants", 0), 0 if self.rows.get("tenants") else named)

    @property
    def frames_wanted(self) -> int:
        """How many frames the streams have."""
        streams = [row for row in self.kept.get("journal.streams", []) if row["topic"] not in MARKERS]
        return sum(int(row["head"]) - int(row["trimmed_offset"]) for row in streams)

    def fact(self, name: str) -> bytes | None:
        """Return a fact that the installation keeps about itself, None when it has none of the name."""
        values = (row["value"] for row in self.kept.get("facts", []) if row["name"] == name)
        return next((bytes.fromhex(value.removeprefix(r"\\x")) for value in values), None)


def read_dump(path: Path) -> Dump:
    """Read a dump. Raises `OperatorError` when it is none, or cannot be read to its end; a plain text that was cut is not
    complete."""
    with _text(path) as text:
        return _read(text)


@contextmanager
def _text(path: Path) -> Iterator[IO[bytes]]:
    if path.is_dir():
        head = _CUSTOM if (path / "toc.dat").exists() else b""
    else:
        with path.open("rb") as file:
            head = file.read(len(_PLAIN))
    if head == _PLAIN:
        with path.open("rb") as file:
            yield file
    elif head.startswith(_CUSTOM):
        with _restored(path) as text:
            yield text
    else:
        raise OperatorError(f"{path} is no file of pg_dump, or was compressed afterwards.")


@contextmanager
def _restored(path: Path) -> Iterator[IO[bytes]]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise OperatorError(f"{PROGRAM} is not in PATH: install the programs of PostgreSQL that made {path}.")
    with tempfile.TemporaryFile() as said:
        command = [program, "--file=-", str(path)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process:  # noqa: S603
            yield cast("IO[bytes]", process.stdout)
        if process.returncode:
            said.seek(0)
            words = said.read(POSTGRES_DUMP_ERROR_BYTES_MAX).decode(errors="replace").strip().splitlines()
            raise OperatorError(f"{path} cannot be read to its end: {words[0] if words else process.returncode}.")


def _read(text: IO[bytes]) -> Dump:
    dump, made = Dump(), ""
    for line in _lines(text):
        if found := _COPY.match(line):
            _read_rows(dump, _name(found[1]), found[2].decode(), text)
        elif found := _TABLE.match(line):
            made = _name(found[1])
            dump.tables.add(made)
        elif line.startswith(_PARTED):
            dump.tables.discard(made)  # its partitions hold the rows
        elif line.startswith(_COMPLETE):
            dump.is_complete = True
    return dump


def _read_rows(dump: Dump, table: str, columns: str, text: IO[bytes]) -> None:
    names = [column.strip('"') for column in columns.split(", ")]
    count = 0
    for line in _lines(text):
        if line.rstrip(b"\n") == _END:
            break
        count += 1
        if table in _KEPT:
            values = line.decode().rstrip("\n").split("\t")
            dump.kept.setdefault(table, []).append(dict(zip(names, values, strict=True)))
    dump.rows[table] = count


def _lines(text: IO[bytes]) -> Iterator[bytes]:
    """Yield the beginning of each line. A value has no end of a line in it: it is written as an escape."""
    while line := text.readline(POSTGRES_DUMP_LINE_BYTES_MAX):
        rest = line
        while not rest.endswith(b"\n") and (rest := text.readline(POSTGRES_DUMP_LINE_BYTES_MAX)):
            continue
        yield line


def _name(given: bytes) -> str:
    return given.decode().replace('"', "").removeprefix("public.")
