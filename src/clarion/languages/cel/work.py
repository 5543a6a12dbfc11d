"""The maximum work of an evaluation, in units of about five nanoseconds, from the weights of the values it reads."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clarion.languages.cel.shape import LITERAL_WEIGHT, Loop, Part, Path, Shape

_JSON: Final = msgspec.json.Encoder()


def work_of(shape: Shape, values: Mapping[str, Any]) -> int:
    """Return an upper bound of the work. Raises `TypeError`, `ValueError` or `RecursionError` for values that are not
    plain data, or are nested too deeply."""
    # The library converts all values it gets, and its stack overflows at depths that this refuses.
    _JSON.encode(values)
    read = shape.part.literal + _read(shape.part, values)
    if shape.loop is None:
        return _evaluated(shape.part, read)
    work, kept = _looped(shape.loop, values)
    return work + _evaluated(shape.part, read + kept)


def _looped(loop: Loop, values: Mapping[str, Any]) -> tuple[int, int]:
    """Return the work of the loop and the weight of its result."""
    over = _at(values, loop.over)
    items = list(over) if isinstance(over, dict | list | tuple) else []
    outside, bound = [path for path in loop.body.paths if path[0] != loop.name], []
    for path in loop.body.paths:
        if path[0] == loop.name:
            bound.append(path[1:])
    made = len(items) * (loop.body.literal + sum(_weight(_at(values, path)) for path in outside))
    for path in bound:
        made += sum(_weight(_at(item, path)) for item in items) if path else _weight(over)
    work = (1 + loop.body.costly) * (made + len(items) * loop.body.tokens * LITERAL_WEIGHT)
    if not loop.keeps:
        return work, 0
    kept = _weight(over) if loop.macro == "filter" else made
    # For each item the library copies the list of results so far.
    return work + len(items) * kept // 2, kept


def _read(part: Part, values: Mapping[str, Any]) -> int:
    return sum(_weight(_at(values, path)) for path in part.paths)


def _evaluated(part: Part, read: int) -> int:
    return (1 + part.costly) * (read + part.tokens * LITERAL_WEIGHT)


def _at(value: Any, path: Path) -> Any:
    """Return the value at a path, or None."""
    for name in path:
        if not isinstance(value, Mapping):
            # A path beyond a value that is no map is an error or an item of a list: count the whole value.
            return value
        value = value.get(name)
    return value


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return LITERAL_WEIGHT + len(value)
    if isinstance(value, dict | list | tuple):
        raw = _JSON.encode(value)
        return len(raw) + LITERAL_WEIGHT * (1 + raw.count(b",") + raw.count(b"[") + raw.count(b"{"))
    return LITERAL_WEIGHT
