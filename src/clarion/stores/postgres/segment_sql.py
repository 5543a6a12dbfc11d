"""Filters of segments as SQL: a condition over `users u` that agrees with `domain.segment.matches` for every user.

All text from a tenant is a bound value, names of attributes included; the SQL consists of constants alone. Every
condition is true or false, never NULL, so that `NOT` negates it. U+0000 in attributes and filters is U+FFFF here, as in
`readable_json`: jsonb cannot hold it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.duration import duration_ms
from clarion.domain.segment import COMPARISONS, KINDS, Filter, given, operand

_CONTACTS: Final = {
    Channel.EMAIL: "u.email IS NOT NULL",
    Channel.SMS: "u.phone IS NOT NULL",
    Channel.WHATSAPP: "(u.whatsapp IS NOT NULL OR u.phone IS NOT NULL)",
    Channel.CHAT: "u.chat IS NOT NULL",
    Channel.WEBHOOK: "u.webhook IS NOT NULL",
}
_EXACT_BELOW: Final = 1 << 53
_SIGNS: Final = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}


class Values:
    """The values of a statement's placeholders, in their order."""

    def __init__(self, *first: Any) -> None:
        self.all: list[Any] = list(first)

    def take(self, value: Any, kind: str) -> str:
        """Bind a value of an SQL type and return its placeholder."""
        self.all.append(value)
        return f"${len(self.all)}::{kind}"


def condition(filter_: Filter, tenant: str, now_ms: int, values: Values) -> str:
    """Return a checked filter as a condition over the users of a tenant at a time (Unix ms); its values are added to
    `values`."""
    (kind,) = given(filter_, KINDS)
    says = operand(filter_, kind)
    match kind:
        case "all" | "any":
            parts = [condition(part, tenant, now_ms, values) for part in says]
            joined = (" AND " if kind == "all" else " OR ").join(parts)
            return f"({joined})" if parts else ("true" if kind == "all" else "false")
        case "not":
            return f"NOT {condition(says, tenant, now_ms, values)}"
        case "attribute":
            return f"coalesce({_attribute(filter_, _found(says, values), values)}, false)"
        case "locale":
            named = values.take(_text(says), "text")
            return f"(u.locale = {named} OR starts_with(u.locale, {named} || '-'))"
        case "zone":
            return f"(u.zone = {values.take(_text(says), 'text')})"
        case "topic":
            own, topic = values.take(tenant, "text"), values.take(_text(says), "text")
            return (
                f"EXISTS (SELECT 1 FROM topic_members m WHERE m.tenant = {own} AND m.topic = {topic}"  # noqa: S608
                " AND m.ordinal = u.ordinal)"
            )
        case "reachable":
            return _reachable(says, values)
        case _:
            since = values.take(now_ms - duration_ms(says), "bigint")
            seen = f"coalesce(u.last_seen_ms >= {since}, false)"
            return seen if kind == "seen_within" else f"(NOT {seen})"


def _found(path: str, values: Values) -> str:
    """Return the value at a dotted path, NULL where there is none. `->` with a text never indexes a list."""
    names = "".join(f" -> {values.take(_text(name), 'text')}" for name in path.split("."))
    return f"(readable_json(u.attributes){names})"


def _attribute(node: Filter, found: str, values: Values) -> str:
    (how,) = given(node, COMPARISONS)
    against = operand(node, how)
    match how:
        case "exists":
            return f"({found} IS {'NOT NULL' if against else 'NULL'})"
        case "is":
            return _one_of(found, [against], values)
        case "in":
            return _one_of(found, against, values)
        case "contains":
            text, held = values.take(_text(against), "text"), values.take(_json([against]), "jsonb")
            return (
                f"(CASE jsonb_typeof({found}) WHEN 'string' THEN position({text} IN {found} #>> '{{}}') > 0"
                f" WHEN 'array' THEN {found} @> {held} ELSE false END)"
            )
        case _:
            # CASE, for the order of evaluation: other types cannot be cast.
            return f"(CASE jsonb_typeof({found}) WHEN 'number' THEN {_ordered(found, how, against, values)} ELSE false END)"


def _ordered(found: str, how: str, against: float, values: Values) -> str:
    exact, *written = (values.take(one, "numeric") for one in _forms(against))
    number = f"({found})::numeric"
    text = f"{number} {_SIGNS[how]} {exact}"
    for one in written:
        text += f" OR {number} = {one}" if how in ("at_least", "at_most") else f" AND {number} <> {one}"
    return f"({text})"


def _one_of(found: str, wanted: Sequence[Any], values: Values) -> str:
    forms: list[str] = []
    for one in wanted:
        is_number = isinstance(one, int | float) and not isinstance(one, bool)
        forms += [str(number) for number in _forms(one)] if is_number else [_json(one)]
    return f"({found} = ANY({values.take(forms, 'jsonb[]')}))"


def _reachable(channel: Channel, values: Values) -> str:
    if channel is Channel.INAPP:
        return "true"
    named = values.take(channel.value, "text")
    if channel in (Channel.PUSH, Channel.WEBPUSH):
        return f"coalesce({named} = ANY(u.device_kinds), false)"
    more = f"coalesce(jsonb_array_length(readable_json(u.more_contacts) -> {named}) > 0, false)"
    return f"({_CONTACTS[channel]} OR {more})"


def _forms(value: float) -> list[Decimal]:
    """Return the numbers that attributes equal to a number are stored as. JSON has the shortest text of a float, which is
    that of a tenth for 0.1; of floats from 2^53 on, it can differ from the integer that they equal, which is the first."""
    if abs(value) < _EXACT_BELOW or float(value) != value:
        return [Decimal(repr(value))]
    exact, written = Decimal(int(value)), Decimal(repr(float(value)))
    return [exact] if exact == written else [exact, written]


def _text(value: str) -> str:
    return value.replace("\0", "\uffff")


def _json(value: Any) -> str:
    return msgspec.json.encode(_readable(value)).decode()


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    return [_readable(one) for one in value] if isinstance(value, list) else value
