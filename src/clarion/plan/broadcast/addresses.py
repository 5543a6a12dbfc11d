"""Addresses of the users of a page, read from the page's columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clarion.domain.channel import DEVICE_CHANNELS, Channel
from clarion.domain.user import readable
from clarion.plan.rules.chunks import CONTACT_COLUMNS, Row

HEAD = 4
"""Number of columns that every page row starts with: ordinal, user_id, profile_id, locale."""
_DEVICES = msgspec.msgpack.Decoder(list[tuple[str, str, str]])
"""Devices as plain (id, kind, token), which costs less than as `Device`."""
_MORE = msgspec.json.Decoder(dict[str, tuple[str, ...]])


Addresses = list[Sequence[str]]
"""For each row of a page, the addresses of its user."""


def addresses_of(rows: Sequence[Row], channel: Channel, columns: Sequence[str]) -> Addresses:
    """Return the addresses of a page's users on a channel; `columns` are the page's columns after its head."""
    places = [HEAD + columns.index(name) for name in CONTACT_COLUMNS[channel]]
    if channel in DEVICE_CHANNELS:
        return _tokens(rows, channel.value, places[0])
    return [_contacts(row, channel, places[:-1], places[-1]) for row in rows]


def _tokens(rows: Sequence[Row], kind: str, place: int) -> Addresses:
    found: Addresses = []
    for row in rows:
        blob = row[place]
        if not blob:
            found.append(())
            continue
        tokens = [token for _, serves, token in _DEVICES.decode(blob) if serves == kind]
        found.append(tokens if len(tokens) < 2 else list(dict.fromkeys(tokens)))
    return found


def _contacts(row: Row, channel: Channel, places: Sequence[int], more: int) -> Sequence[str]:
    first = next((row[place] for place in places if row[place]), None)
    further = _MORE.decode(row[more]).get(channel, ()) if row[more] else ()
    if not further:
        return (first,) if first else ()
    return list(dict.fromkeys((first, *further) if first else further))


def user_of(row: Row, columns: Sequence[str], zone: str) -> dict[str, Any]:
    """Return the values that a template may read as `user`."""
    values: Mapping[str, Any] = dict(zip(columns, row[HEAD:], strict=True))
    attributes = msgspec.json.decode(values["attributes"]) if values.get("attributes") else {}
    return readable(row[1], values.get("email"), values.get("phone"), row[3], zone, attributes)
