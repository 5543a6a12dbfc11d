"""The differences between two sources, field by field."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from clarion.control.templates.shapes import Change
from clarion.domain.limits_content import DIFF_LINES_MAX
from clarion.domain.template import Source

_CONTEXT_LINES: Final = 3
_WHOLE: Final = ("variables", "sample")
"""Fields that are compared as a whole, as JSON."""
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def changes(before: Source, after: Source) -> tuple[Change, ...]:
    """Return the fields that differ, in the order of their paths."""
    old, new = dict(_fields(before)), dict(_fields(after))
    differing = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return tuple(_change(path, old.get(path), new.get(path)) for path in differing)


def _fields(source: Source) -> Iterator[tuple[str, str]]:
    """Yield every field of a source as (path, text)."""
    for name, value in msgspec.to_builtins(source).items():
        if name in _WHOLE:
            yield name, _text(value)
        else:
            yield from _leaves(name, value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield from _leaves(f"{path}.{name}", member)
    elif value is not None:
        yield path, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.format(_ENCODER.encode(value), indent=2).decode()


def _change(path: str, before: str | None, after: str | None) -> Change:
    old, new = (before or "").splitlines(), (after or "").splitlines()
    kind = "added" if before is None else "removed" if after is None else "changed"
    shortened = max(len(old), len(new)) > DIFF_LINES_MAX
    # The time of a comparison grows with the square of the number of lines.
    lines = difflib.unified_diff(
        old[:DIFF_LINES_MAX], new[:DIFF_LINES_MAX], "before", "after", "", "", _CONTEXT_LINES, ""
    )
    return Change(path, kind, tuple(lines)[2:], shortened)
