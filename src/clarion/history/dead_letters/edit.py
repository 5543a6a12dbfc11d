"""Checks the changes that a caller requests for a replay."""

import msgspec

from clarion.domain.address import contact, key
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.depth import too_deep
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits_delivery import REPLAY_EDIT_BYTES_MAX
from clarion.history.dead_letters.shapes import ReplayEdit
from clarion.history.dead_letters.verdicts import Edit


def edit_of(given: ReplayEdit | None, channel: Channel | None, template: Template | None) -> Edit:
    """Return the requested edit; `channel` is that of the letter whose address is changed, `template` the requested
    one. Raises `InvalidField` naming the invalid field."""
    if given is None:
        return Edit()
    address = None
    if given.address is not None and channel is not None:
        if channel is Channel.INAPP:
            raise InvalidField("cannot be changed: an in-app message goes to its user", field="edit.address")
        address = contact(channel, given.address, "edit.address")
        if not address or (channel is Channel.WEBPUSH and not _subscription(address)):
            what = "must be a web-push subscription as JSON" if address else "must not be empty"
            raise InvalidField(what, field="edit.address")
    if given.template is not None:
        key(given.template, "edit.template")
        if template is None:
            raise InvalidField(f"no such template: {given.template}", field="edit.template", code="unknown_template")
    if given.data is not None:
        _check(given.data)
    return Edit(address, given.data, template)


def _check(data: dict[str, object]) -> None:
    numbers(data, "edit.data")
    text = msgspec.json.encode(data)
    if len(text) > REPLAY_EDIT_BYTES_MAX:
        raise InvalidField(f"is larger than {REPLAY_EDIT_BYTES_MAX} bytes", field="edit.data")
    if too_deep(text):
        raise InvalidField("is nested too deeply", field="edit.data")


def _subscription(text: str) -> bool:
    """Return whether text is a web-push subscription as browsers create it."""
    found = _object(text)
    return isinstance(found.get("endpoint"), str) and isinstance(found.get("keys"), dict)


def _object(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return {}
