"""Where the users of a page can be reached, read off the page's columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from clarion.domain.channel import DEVICE_CHANNELS, Channel
from clarion.domain.user import Device
from clarion.plan.rules.chunks import CONTACT_COLUMNS, Row

HEAD = 4
"""Columns every page row starts with: ordinal, user_id, profile_id, locale."""
_DEVICES = msgspec.msgpack.Decoder(list[Device])
_MORE = msgspec.json.Decoder(dict[str, tuple[str, ...]])


def address_reader(channel: Channel, columns: Sequence[str]) -> Callable[[Row], Sequence[str]]:
    """Return what reads a row's addresses on a channel; `columns` are those of the page after its head."""
    places = [HEAD + columns.index(name) for name in CONTACT_COLUMNS[channel]]
    return _tokens(channel, places[0]) if channel in DEVICE_CHANNELS else _contacts(channel, places[:-1], places[-1])


def _tokens(channel: Channel, place: int) -> Callable[[Row], Sequence[str]]:
    kind = channel.value

    def tokens(row: Row) -> Sequence[str]:
        blob = row[place]
        if not blob:
            return ()
        found = [device.token for device in _DEVICES.decode(blob) if device.kind == kind]
        return found if len(found) < 2 else list(dict.fromkeys(found))

    return tokens


def _contacts(channel: Channel, places: Sequence[int], more: int) -> Callable[[Row], Sequence[str]]:
    def contacts(row: Row) -> Sequence[str]:
        first = next((row[place] for place in places if row[place]), None)
        further = _MORE.decode(row[more]).get(channel, ()) if row[more] else ()
        if not further:
            return (first,) if first else ()
        return list(dict.fromkeys((first, *further) if first else further))

    return contacts


def user_of(row: Row, columns: Sequence[str], zone: str) -> dict[str, Any]:
    """Return what a template may read as `user`."""
    values: Mapping[str, Any] = dict(zip(columns, row[HEAD:], strict=True))
    attributes = msgspec.json.decode(values["attributes"]) if values.get("attributes") else {}
    return {
        **attributes,
        "id": row[1],
        "locale": row[3],
        "zone": zone,
        "email": values.get("email"),
        "phone": values.get("phone"),
    }
