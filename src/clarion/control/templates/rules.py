"""Checks of a template's shape: channels, part names, what has to be there and what has to be one line."""

from collections.abc import Iterator, Mapping
from typing import Any

from clarion.domain.address import single_line
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import PARTS, REQUIRED_PARTS, Part
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import SUBJECT_CHARS_MAX

Content = dict[Channel, dict[str, Any]]


def check_content(channels: Mapping[str, Mapping[str, Any]]) -> Content:
    """Return the parts by channel. Raises `InvalidField` naming the channel or part that is unknown, missing, ill-typed
    or, being a header, more than one line."""
    if not channels:
        raise InvalidField("must have content for at least one channel", field="channels")
    return {_channel(name): _check_parts(_channel(name), parts) for name, parts in channels.items()}


def parts_of(content: Content) -> Iterator[tuple[str, Part, Any]]:
    """Return every part as (field path, what it is, source)."""
    for channel, parts in content.items():
        for name, source in parts.items():
            yield f"channels.{channel}.{name}", PARTS[channel][name], source


def _channel(name: str) -> Channel:
    if name not in CHANNELS:
        raise InvalidField(f"no such channel: {name[:100]}", field=f"channels.{name[:100]}", code="unknown_channel")
    return Channel(name)


def _check_parts(channel: Channel, parts: Mapping[str, Any]) -> dict[str, Any]:
    path = f"channels.{channel}"
    for name, source in parts.items():
        if name not in PARTS[channel]:
            known = ", ".join(PARTS[channel])
            raise InvalidField(f"is not a part of {channel} (which are {known})", field=f"{path}.{name[:100]}")
        _check_part(PARTS[channel][name], source, f"{path}.{name}")
    for group in REQUIRED_PARTS[channel]:
        if not any(name in parts for name in group):
            raise InvalidField(f"needs {' or '.join(group)}", field=path)
    return dict(parts)


def _check_part(part: Part, source: Any, field: str) -> None:
    if part.kind == "tree" and isinstance(source, (dict, list)):
        numbers(source, field)
        return
    if not isinstance(source, str):
        raise InvalidField("must be text" if part.kind != "tree" else "must be text, an object or a list", field=field)
    if part.kind == "line":
        # Tags cannot span lines here either; that keeps one rule for what becomes a header.
        single_line(source, field, SUBJECT_CHARS_MAX)
