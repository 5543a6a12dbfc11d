"""Checks of this machine: versions, folder, disk, keys, ports and, with stores in files, the clock and the databases."""

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import apsw

from clarion.app.config.settings import Config
from clarion.app.doctor.findings import CheckResult
from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import CLOCK_APART_MS_MAX, DISK_FREE_BYTES_MIN, DISK_LOW_BYTES
from clarion.identity.operator_keys import OPERATOR_KEY_FILE
from clarion.outbound.secrets.master_key import KEY_FILE, FileVault
from clarion.ports.secrets import SealBroken
from clarion.ports.store_rows import FACT, decode_mark, refusal
from clarion.stores.sqlite.connection import connect, fetch_one
from clarion.stores.sqlite.migrate import NAMES, find_difference, path_of

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = 3_038_000
"""The oldest SQLite whose functions are used, as it counts its versions."""
PROBE: Final = "key-check"
SENTENCE_SAYS: Final = "Do what the sentence says."
_NEWEST: Final = "SELECT max(appended_ms) FROM (SELECT appended_ms FROM frames ORDER BY frame_id DESC LIMIT 1000)"
_FACT: Final = "SELECT value FROM facts WHERE name = ?"
_OWNER_ONLY: Final = 0o077


async def versions(config: Config) -> AsyncIterator[CheckResult]:
    """Check the versions of Python and SQLite."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        yield CheckResult(f"Python {found} is too old.", "Install Python 3.11 or newer.")
        return
    if config.store == "sqlite" and apsw.SQLITE_VERSION_NUMBER < SQLITE_MIN:
        yield CheckResult(f"SQLite {apsw.sqlite_lib_version()} is too old.", "Install the locked version of apsw.")
        return
    yield CheckResult(
        f"Clarion {version('clarion')}, Python {found}, SQLite {apsw.sqlite_lib_version()}, {platform.system()}."
    )


async def folder(config: Config) -> AsyncIterator[CheckResult]:
    """Check that this user can read and write everything in the data directory."""
    data_dir = config.data_dir
    try:
        is_there = data_dir.exists()
    except PermissionError as error:
        yield CheckResult(
            f"{error.filename} cannot be reached by this user.", "Let this user enter the folders above it."
        )
        return
    if not is_there:
        above = next(parent for parent in data_dir.resolve().parents if parent.exists())
        if _may(above, os.W_OK | os.X_OK):
            yield CheckResult(f"{data_dir} does not exist yet; the first start makes it.")
        else:
            yield CheckResult(
                f"{data_dir} cannot be made in {above}.", f"Let this user write {above}, or set data_dir."
            )
        return
    if not data_dir.is_dir():
        yield CheckResult(f"{data_dir} is no folder.", "Move the file away, or set data_dir.")
        return
    closed = next(_closed(data_dir), None)
    if closed is not None:
        yield CheckResult(
            f"{closed} cannot be read and written by this user.",
            f"Give it to this user: chown -R {os.geteuid()} {data_dir}",
        )
        return
    yield CheckResult(f"{data_dir} can be read and written.")


def _closed(data_dir: Path) -> Iterator[Path]:
    """Yield what this user cannot use of a data directory."""
    if not _may(data_dir, os.R_OK | os.W_OK | os.X_OK):
        yield data_dir
        return
    for path in sorted(data_dir.iterdir()):
        if not _may(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            yield path


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


async def disk(config: Config) -> AsyncIterator[CheckResult]:
    """Check that there is room for databases and logs."""
    place = config.data_dir.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < DISK_FREE_BYTES_MIN:
        yield CheckResult(f"{_size(free)} are free at {place}: requests are refused.", "Free space on this disk.")
    elif free < DISK_LOW_BYTES:
        yield CheckResult(
            f"Only {_size(free)} are free at {place}.", "Free space on this disk, or lower journal.retention_hours."
        )
    else:
        yield CheckResult(f"{_size(free)} are free at {place}.")


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GB" if number >= 1 << 30 else f"{number / (1 << 20):.0f} MB"


async def keys(config: Config) -> AsyncIterator[CheckResult]:
    """Check that the keys are there, and readable by their owner alone."""
    there, open_to_others = 0, False
    for setting, given, file in (
        ("master_key", config.master_key, KEY_FILE),
        ("operator_key", config.operator_key, OPERATOR_KEY_FILE),
    ):
        path = config.data_dir / file
        if given:
            there += 1
        elif path.exists():
            there += 1
            if path.stat().st_mode & _OWNER_ONLY:
                open_to_others = True
                yield CheckResult(f"{path} can be read by other users.", f"chmod 600 {path}")
        elif config.store == "sqlite" and path_of(config.data_dir, "control").exists() and file == KEY_FILE:
            yield CheckResult(
                f"{path} is missing, and {setting} is not set.",
                "Restore it from your backup: it opens all credentials.",
            )
    if there == 2:
        if not open_to_others:
            FileVault.load(config.data_dir, config.master_key or None)
            yield CheckResult("The master key and the operator's key are there.")
    else:
        yield CheckResult("The first start makes the keys that are missing.")


async def ports(config: Config) -> AsyncIterator[CheckResult]:
    """Check that the API can listen where it is to, unless it does already."""
    if (config.run_dir / "api.pid").exists() and _lives(config.run_dir / "api.pid"):
        yield CheckResult(f"The API of this installation listens on {config.api.host}:{config.api.port}.")
        return
    asked = [("api.port", config.api.host, config.api.port)]
    if config.api.health_port:
        asked.append(("api.health_port", config.api.health_host, config.api.health_port))
        if config.api.health_port == config.api.port:
            yield CheckResult(
                f"api.port and api.health_port are both {config.api.port}.", "Set another api.health_port."
            )
            return
    for setting, host, port in asked:
        if reason := _refused(host, port):
            yield CheckResult(
                f"{host}:{port} cannot be listened on: {reason}.", f"Stop what uses it, or set {setting}."
            )
        else:
            yield CheckResult(f"{host}:{port} is free.")


def _lives(path: Path) -> bool:
    try:
        os.kill(int(path.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _refused(host: str, port: int) -> str:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return str(error.strerror or error).lower()
    return ""


async def databases(config: Config) -> AsyncIterator[CheckResult]:
    """Check the databases in files: schema, master key, clock, and whether they were moved away."""
    if not any(path_of(config.data_dir, name).exists() for name in NAMES):
        yield CheckResult(f"There are no databases in {config.data_dir} yet; the first start makes them.")
        return
    if difference := find_difference(config.data_dir):
        yield CheckResult(difference, SENTENCE_SAYS)
        return
    yield CheckResult("The schema of the databases is that of this build.")
    control = connect(path_of(config.data_dir, "control"), readonly=True)
    try:
        sealed, mark = (fetch_one(control, _FACT, (name,)) for name in (PROBE, FACT))
    finally:
        control.close()
    if mark is not None and (sentence := refusal("sqlite", decode_mark(bytes(mark[0])))):
        yield CheckResult(sentence, SENTENCE_SAYS)
    if sealed is not None and (config.master_key or (config.data_dir / KEY_FILE).exists()):
        yield key_finding(config, bytes(sealed[0]))
    journal = connect(path_of(config.data_dir, "journal"), readonly=True)
    try:
        row = fetch_one(journal, _NEWEST)
    finally:
        journal.close()
    newest_ms = int(row[0]) if row is not None and row[0] is not None else 0
    yield clock_finding(newest_ms - time.time_ns() // 1_000_000, "what was stored last")


def key_finding(config: Config, sealed: bytes) -> CheckResult:
    """Return whether the master key of this machine opens what the store holds."""
    try:
        FileVault.load(config.data_dir, config.master_key or None).open("", PROBE, sealed)
    except SealBroken:
        return CheckResult(
            "The master key of this machine is not that of the installation.",
            f"Set master_key, or copy {KEY_FILE} of another machine or of a backup into {config.data_dir}.",
        )
    except OperatorError:
        return CheckResult("The master key cannot be read, so it was not compared with the installation.")
    return CheckResult("The master key is that of the installation.")


def clock_finding(behind_ms: int, other: str) -> CheckResult:
    """Return whether the clock of this machine is right, by how far it is behind another time."""
    if abs(behind_ms) > CLOCK_APART_MS_MAX and not (behind_ms < 0 and other == "what was stored last"):
        direction = "behind" if behind_ms > 0 else "ahead of"
        return CheckResult(
            f"The clock of this machine is {abs(behind_ms) / 1000:.1f} s {direction} {other}.",
            "Let a time service set the clock (chrony, systemd-timesyncd).",
        )
    return CheckResult(f"The clock agrees with {other}.")
