"""Filters of segments as SQL: a condition over `users u` that agrees with `domain.segment.matches` for every user.

All text from a tenant is a bound value, paths into attributes included; the SQL consists of constants alone. Every
condition is true or false, never NULL, so that `NOT` negates it. JSON: https://sqlite.org/json1.html, which ends the
name of an attribute at a U+0000 in it.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from clarion.domain.channel import Channel
from clarion.domain.duration import duration_ms
from clarion.domain.segment import COMPARISONS, KINDS, Filter, given, operand, type_name
from clarion.domain.user import Device

_DEVICES: Final = msgspec.msgpack.Decoder(list[Device])
_CONTACTS: Final = {
    Channel.EMAIL: "u.email IS NOT NULL",
    Channel.SMS: "u.phone IS NOT NULL",
    Channel.WHATSAPP: "u.whatsapp IS NOT NULL OR u.phone IS NOT NULL",
    Channel.CHAT: "u.chat IS NOT NULL",
    Channel.WEBHOOK: "u.webhook IS NOT NULL",
}
# `instr` is for speed: it excludes most users without a device of that kind before Python is called.
_DEVICE: Final = "(instr(u.devices, CAST(? AS BLOB)) > 0 AND has_device(u.devices, ?)) IS TRUE"
_MORE: Final = "(json_array_length(u.more_contacts, ?) > 0) IS TRUE"
_TYPE: Final = "json_type(u.attributes, ?)"
_VALUE: Final = "json_extract(u.attributes, ?)"
_NUMBER: Final = f"{_TYPE} IN ('integer', 'real')"
_SIGNS: Final = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}
# One encoder writes all attributes: a text in a list is encoded in the same way as that text alone.
_HOLDS: Final = "instr(u.attributes, ?) > 0 AND EXISTS (SELECT 1 FROM json_each(u.attributes, ?) e WHERE e.type = 'text' AND e.value = ?)"
_CONTAINS: Final = f"(CASE {_TYPE} WHEN 'text' THEN instr({_VALUE}, ?) > 0 WHEN 'array' THEN {_HOLDS} ELSE 0 END)"
_MEMBER: Final = "EXISTS (SELECT 1 FROM topic_members m WHERE m.tenant = ? AND m.topic = ? AND m.ordinal = u.ordinal)"


class SqlCondition(NamedTuple):
    """The text after WHERE, and the values of its placeholders in order."""

    text: str
    values: tuple[Any, ...]


def install(db: apsw.Connection) -> None:
    """Register the function that conditions call: whether a user has a device of a kind."""
    db.create_scalar_function("has_device", _has_device, 2, deterministic=True)


def condition(filter_: Filter, tenant: str, now_ms: int) -> SqlCondition:
    """Return a checked filter as a condition over the users of a tenant at a time (Unix ms)."""
    (kind,) = given(filter_, KINDS)
    says = operand(filter_, kind)
    match kind:
        case "all" | "any":
            return _joined([condition(part, tenant, now_ms) for part in says], "AND" if kind == "all" else "OR")
        case "not":
            inner = condition(says, tenant, now_ms)
            return SqlCondition(f"NOT {inner.text}", inner.values)
        case "attribute":
            return _attribute(filter_, _json_path(says))
        case "locale":
            return SqlCondition("(u.locale = ? OR substr(u.locale, 1, ?) = ?)", (says, len(says) + 1, f"{says}-"))
        case "zone":
            return SqlCondition("(u.zone = ?)", (says,))
        case "topic":
            return SqlCondition(_MEMBER, (tenant, says))
        case "reachable":
            return _reachable(says)
        case _:
            text = "(u.last_seen_ms >= ?) IS TRUE"
            return SqlCondition(
                f"({text})" if kind == "seen_within" else f"NOT ({text})", (now_ms - duration_ms(says),)
            )


def _joined(parts: Sequence[SqlCondition], word: str) -> SqlCondition:
    text = f" {word} ".join(part.text for part in parts) or ("1" if word == "AND" else "0")
    return SqlCondition(f"({text})", tuple(value for part in parts for value in part.values))


def _json_path(path: str) -> str:
    """Return a dotted path as SQLite's, each name quoted. A checked path holds neither quotes nor backslashes."""
    return "$" + "".join(f'."{name}"' for name in path.split("."))


def _attribute(node: Filter, path: str) -> SqlCondition:
    (how,) = given(node, COMPARISONS)
    against = operand(node, how)
    match how:
        case "exists":
            return SqlCondition(f"({_TYPE} IS {'NOT NULL' if against else 'NULL'})", (path,))
        case "is":
            return _one_of(path, [against])
        case "in":
            return _one_of(path, against)
        case "contains":
            return SqlCondition(_CONTAINS, (path, path, against, msgspec.json.encode(against).decode(), path, against))
        case _:
            return SqlCondition(f"(({_NUMBER} AND {_VALUE} {_SIGNS[how]} ?) IS TRUE)", (path, path, against))


def _one_of(path: str, wanted: Sequence[Any]) -> SqlCondition:
    """Return the condition that an attribute equals one of the values and has its type: a text never equals a
    number."""
    texts = [one for one in wanted if type_name(one) == "text"]
    numbers = [one for one in wanted if type_name(one) == "number"]
    names = [type_name(one) for one in wanted if type_name(one) not in ("text", "number")]
    parts = [
        SqlCondition(f"{test} AND {_VALUE} IN ({_marks(values)})", (path, path, *values))
        for test, values in ((f"{_TYPE} = 'text'", texts), (_NUMBER, numbers))
        if values
    ]
    if names:
        parts.append(SqlCondition(f"{_TYPE} IN ({_marks(names)})", (path, *names)))
    joined = _joined(parts, "OR")
    return SqlCondition(f"({joined.text} IS TRUE)", joined.values)


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _reachable(channel: Channel) -> SqlCondition:
    if channel is Channel.INAPP:
        return SqlCondition("(1)", ())
    if channel in (Channel.PUSH, Channel.WEBPUSH):
        return SqlCondition(f"({_DEVICE})", (channel.value, channel.value))
    return SqlCondition(f"({_CONTACTS[channel]} OR {_MORE})", (f"$.{channel.value}",))


def _has_device(*values: Any) -> bool:
    devices, kind = values
    return any(device.kind == kind for device in _DEVICES.decode(devices))
