"""Values as readable TOML (https://toml.io/en/v1.0.0): long texts on lines of their own, in quotes that need no
escapes, with every character preserved, including carriage returns."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED: Final = re.compile(r'[\x00-\x1f\x7f"\\]')
_ESCAPED_IN_LINES: Final = re.compile(r'[\x00-\x09\x0b-\x1f\x7f\\]|"(?="|$)')
_NEVER_LITERAL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SHORT: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def document(values: Mapping[str, Any]) -> str:
    """Return a TOML document of these values, which contain no nulls."""
    return "\n".join(_table((), values)).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table. Tables in it come last: each ends only where the next one begins."""
    inner = {name: value for name, value in values.items() if isinstance(value, Mapping) and not _is_file(value)}
    if path and (len(inner) < len(values) or not values):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for name, value in values.items():
        if name not in inner:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in inner.items():
        yield from _table((*path, name), value)


def _is_file(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"file"}


def _value(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case int():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
        case [Mapping(), *_]:
            return "[\n" + "".join(f"  {_value(inner)},\n" for inner in value) + "]"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written as TOML")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _basic(name)


def _text(text: str) -> str:
    literal = _NEVER_LITERAL.search(text) is None and ("\\" in text or '"' in text)
    if "\n" not in text:
        return f"'{text}'" if literal and "'" not in text else _basic(text)
    if literal and "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    return f'"""\n{_ESCAPED_IN_LINES.sub(_escape, text)}"""'


def _basic(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"


def _float(value: float) -> str:
    return json.dumps(value) if math.isfinite(value) else str(value)
