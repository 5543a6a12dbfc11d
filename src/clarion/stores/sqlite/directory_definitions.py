"""Reads versioned definitions for the directory and decodes their bodies."""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.ports.directory import D, Defined

_LOG: Final = logging.getLogger("clarion.directory")
_DECODERS_MAX: Final = 64

_SELECT: Final = "SELECT key, version, body FROM documents WHERE tenant = ? AND kind = ?"
_CURRENT: Final = f"{_SELECT} AND key = ? AND removed = 0"
_VERSION: Final = f"{_SELECT} AND key = ? AND version = ?"
_BEFORE: Final = (
    "SELECT key, version, body FROM document_versions WHERE tenant = ? AND kind = ? AND key = ? AND version = ?"
)
_ALL: Final = f"{_SELECT} AND removed = 0 ORDER BY key"

Rows: TypeAlias = Callable[[str, tuple[Any, ...]], list[Any]]
"""Runs a statement with its values."""


class DefinitionReader:
    """Reads through the directory's connection. A version never changes, so versions requested by number are cached
    without expiry."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._versions: dict[tuple[str, str, str, int], Defined[Any]] = {}

    def current(self, tenant: str, kind: type[D], key: str) -> Defined[D] | None:
        """Return the newest version of a definition, or None when there is none or it was removed."""
        return next(iter(self._read(_CURRENT, tenant, kind, key)), None)

    def current_all(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind, in the order of their keys."""
        return self._read(_ALL, tenant, kind)

    def version(self, tenant: str, kind: type[D], key: str, version: int) -> Defined[D] | None:
        """Return one version of a definition, even of one that was removed."""
        cell = (tenant, kind.KIND, key, version)
        found: Defined[D] | None = self._versions.get(cell)
        if found is None:
            read = self._read(_VERSION, tenant, kind, key, version) or self._read(_BEFORE, tenant, kind, key, version)
            found = next(iter(read), None)
            if found is not None:
                if len(self._versions) >= DIRECTORY_CACHE_MAX:
                    self._versions.clear()
                self._versions[cell] = found
        return found

    def _read(self, text: str, tenant: str, kind: type[D], *values: str | int) -> list[Defined[D]]:
        found = []
        for key, version, body in self._rows(text, (tenant, kind.KIND, *values)):
            try:
                found.append(Defined(key, version, _decoder(kind).decode(body)))
            except msgspec.MsgspecError as error:
                # Only a newer build writes a definition that this one cannot read; it must not stop other definitions.
                _LOG.error("%s %s of tenant %s is omitted: %s", kind.KIND, key, tenant, error)
        return found


@lru_cache(maxsize=_DECODERS_MAX)
def _decoder(kind: type[D]) -> msgspec.json.Decoder[D]:
    return msgspec.json.Decoder(kind)
