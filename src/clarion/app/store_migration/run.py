"""The migration of an installation from one engine to another, table by table, each in the order of its keys.

Both sides carry a mark from the first row on, so that no process starts on either, and a migration that was cut continues with the
same source alone. It goes on after the highest key that the target has of each table. At the end both sides are read once more, and
compared.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from clarion.domain.errors import OperatorError
from clarion.ports.secrets import SealBroken, Vault
from clarion.ports.store_rows import Mark, Row, StoreRows, Table, refusal

Progress = Callable[[str, str, int, int], None]
"""Called with what is done (`copy` or `check`) to which table, and how many of how many rows it has been done."""
PROBE: Final = "key-check"
"""The fact that shows whether a master key is that of a store."""
_ID_BYTES: Final = 16


class Compared(NamedTuple):
    """A table as it is on both sides: the number of its rows, and their checksum."""

    table: str
    rows: int
    checksum: str


def paired(source: Sequence[Table], target: Sequence[Table]) -> list[Table]:
    """Return the tables as they are carried over: with the columns and the key of the source. Raises `OperatorError` when the
    engines differ in a table, as then nothing of it could be carried over."""
    by_name = {table.name: table for table in target}
    if different := {table.name for table in source} ^ by_name.keys():
        raise OperatorError(f"The stores differ in the tables {', '.join(sorted(different))}.")
    for table in source:
        if different := set(table.columns) ^ set(by_name[table.name].columns):
            raise OperatorError(f"The stores differ in the columns {', '.join(sorted(different))} of {table.name}.")
    return sorted(source)


async def migrate(source: StoreRows, target: StoreRows, vault: Vault, progress: Progress) -> list[Compared] | None:
    """Carry all rows over, compare both sides, and return what was compared, None when an earlier call came to its end. Raises
    `OperatorError`; a second call then continues."""
    tables = paired(await source.tables(), await target.tables())
    sealed = await source.check_seal(PROBE)
    if sealed is not None:
        _check_key(vault, sealed)
    if await _was_moved(source, target):
        return None
    mark = await _begin(source, target)
    counts = {table.name: await source.count(table) for table in tables}
    for table in tables:
        await _copy(source, target, table, counts[table.name], progress)
    await target.finish(await source.given())
    compared = [await _compare(source, target, table, counts[table.name], progress) for table in tables]
    await source.set_mark(msgspec.structs.replace(mark, is_done=True))
    await target.set_mark(None)
    return compared


async def cancel(source: StoreRows, target: str) -> None:
    """Let processes use a source again whose migration has not ended. Raises `OperatorError` when there is none."""
    mark = await source.mark()
    if mark is None or mark.role != "source" or mark.other != target:
        raise OperatorError(f"There is no migration from {source.engine} to {target} to cancel.")
    if mark.is_done:
        raise OperatorError(f"{refusal(source.engine, mark)}")
    await source.set_mark(None)


def _check_key(vault: Vault, sealed: bytes) -> None:
    try:
        vault.open("", PROBE, sealed)
    except SealBroken:
        raise OperatorError(
            "The master key here is not that of the installation: set master_key, or copy master.key into data_dir."
        ) from None


async def _was_moved(source: StoreRows, target: StoreRows) -> bool:
    """Return whether the source was moved to this engine, and the target holds an installation that can start."""
    mark = await source.mark()
    if mark is None or not mark.is_done or mark.role != "source" or mark.other != target.engine:
        return False
    return await target.mark() is None and not await target.is_empty()


async def _begin(source: StoreRows, target: StoreRows) -> Mark:
    """Mark both sides, and return the mark of the source. Raises `OperatorError` when one of them has another one, or the target
    has rows of its own."""
    ours, theirs = await source.mark(), await target.mark()
    if ours is not None and (ours.role != "source" or ours.other != target.engine):
        raise OperatorError(f"{refusal(source.engine, ours)}")
    if theirs is not None and theirs.role != "target":
        raise OperatorError(f"{refusal(target.engine, theirs)}")
    if theirs is None:
        if ours is not None and ours.is_done:
            raise OperatorError(f"{refusal(source.engine, ours)}")
        if not await target.is_empty():
            raise OperatorError(f"The target ({target.place}) has rows: an installation is moved into an empty store.")
        mark = Mark(secrets.token_hex(_ID_BYTES), "source", target.engine)
        # The target first: a source without its mark still starts.
        await target.set_mark(Mark(mark.id, "target", source.engine))
        await source.set_mark(mark)
        return mark
    if ours is None:
        if not await target.is_empty():
            raise OperatorError(_another(target))
        ours = Mark(theirs.id, "source", target.engine)
        await source.set_mark(ours)
    if ours.id != theirs.id:
        raise OperatorError(_another(target))
    return ours


def _another(target: StoreRows) -> str:
    return (
        f"The target ({target.place}) holds part of another source, or of a migration that was cancelled: continue with that"
        " source, or empty the target."
    )


async def _copy(source: StoreRows, target: StoreRows, table: Table, count: int, progress: Progress) -> None:
    done = await target.count(table)
    progress("copy", table.name, done, count)
    after = await target.last_key(table) if done else None
    async for rows in source.rows(table, after):
        await target.write(table, rows)
        done += len(rows)
        progress("copy", table.name, done, count)


async def _compare(source: StoreRows, target: StoreRows, table: Table, count: int, progress: Progress) -> Compared:
    found = [await _summed(side.rows(table, None), table, count, progress) for side in (source, target)]
    if found[0] != found[1]:
        raise OperatorError(
            f"The table {table.name} is not the same on both sides: {found[0].rows} rows with the checksum"
            f" {found[0].checksum}, and {found[1].rows} with {found[1].checksum}. The source is as it was; empty the target and"
            " begin again."
        )
    return found[0]


async def _summed(batches: AsyncIterator[list[Row]], table: Table, count: int, progress: Progress) -> Compared:
    digest, number = blake2b(digest_size=8), 0
    encode = msgspec.msgpack.Encoder().encode
    async for rows in batches:
        for row in rows:
            digest.update(encode(row))
        number += len(rows)
        progress("check", table.name, number, count)
    return Compared(table.name, number, digest.hexdigest())
