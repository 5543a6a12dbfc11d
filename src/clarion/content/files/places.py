"""The places of a template's fields in its files, so that a problem is reported with file and line."""

import re
from collections.abc import Iterator
from typing import Final

from clarion.content.files.folder import FileLocation

_HEADER: Final = re.compile(r"\s*\[\[?\s*(?P<path>[^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ENTRY: Final = re.compile(
    r"""\s*(?P<path>(?:[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*')(?:\s*\.\s*[\w"'-]+)*)\s*=\s*(?P<rest>.*)$"""
)
_KEY: Final = re.compile(r"""[\w-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_QUOTES: Final = ('"""', "'''")
_LINE: Final = re.compile(r"line (\d+)(?:, column (\d+))?:? ?(.*)", re.DOTALL)


class FileLocations:
    """The places where the fields of one definition begin. An unknown field has the place of its nearest known
    parent."""

    def __init__(self, main: str) -> None:
        self._main = FileLocation(main)
        self._known: dict[tuple[str, ...], FileLocation] = {}

    def add_toml(self, path: str, text: str, prefix: tuple[str, ...] = ()) -> None:
        """Record the lines of all entries of a TOML file, whose values are below `prefix`."""
        self._known[prefix] = FileLocation(path)
        for keys, line in _entries(text):
            self._known.setdefault((*prefix, *keys), FileLocation(path, line))

    def add_file(self, path: str, field: tuple[str, ...]) -> None:
        """Record a field that is a whole file."""
        self._known[field] = FileLocation(path, 1)

    def of(self, field: str | None) -> FileLocation:
        """Return the place of a field (`channels.email.subject`)."""
        parts = tuple(re.split(r"\.|\[", (field or "").replace("]", "")))
        for length in range(len(parts), 0, -1):
            # A key may contain dots itself, so parts are also tried joined.
            for split in range(length):
                candidate = (*parts[:split], ".".join(parts[split:length]))
                if candidate in self._known:
                    return self._known[candidate]
        return self._main

    def explain(self, field: str | None, detail: str) -> tuple[FileLocation, str]:
        """Return the place and text of a problem. `line 3, column 5: ...` counts from the start of the field."""
        place, found = self.of(field), _LINE.match(detail)
        named = f"{field}: " if field else ""
        if found is None:
            return place, named + detail
        column = f"column {found[2]}: " if found[2] else ""
        return FileLocation(place.path, max(place.line, 1) + int(found[1]) - 1), named + column + found[3]


def _entries(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the keys of each table and entry with the line on which its value begins."""
    table: tuple[str, ...] = ()
    open_quotes = ""
    for number, line in enumerate(text.splitlines(), 1):
        if open_quotes:
            open_quotes = "" if open_quotes in line else open_quotes
            continue
        if header := _HEADER.match(line):
            table = _keys(header["path"])
            yield table, number
        elif entry := _ENTRY.match(line):
            rest = entry["rest"].strip()
            open_quotes = rest[:3] if rest[:3] in _QUOTES and rest[:3] not in rest[3:] else ""
            # A text that begins after the line with its quotes is counted from there.
            yield (*table, *_keys(entry["path"])), number + (rest in _QUOTES)


def _keys(path: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in _KEY.findall(path))
