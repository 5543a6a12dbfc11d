"""Segments: filters over the stored facts of users. A filter is a tree; each node is one condition or combination."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, cast

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.duration import duration_ms

KINDS: Final = (
    "all", "any", "not", "attribute", "locale", "zone", "topic", "reachable", "seen_within", "not_seen_within",
)  # fmt: skip
"""The kinds of filter nodes, by field name."""
COMPARISONS: Final = ("is", "in", "above", "at_least", "below", "at_most", "contains", "exists")
"""The comparisons of an attribute, by field name."""


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of these is set.

    `all`, `any` and `not` combine filters. `attribute` is a path into the attributes (`plan`, `address.city`), compared
    by exactly one of `is`, `in`, `above`, `at_least`, `below`, `at_most`, `contains` and `exists`. `locale` matches a
    language or a whole locale, `zone` an IANA zone, `topic` members, `reachable` users with a contact or device on a
    channel, `seen_within` and `not_seen_within` (durations) when the user was last seen.
    """

    all: "tuple[Filter, ...] | None" = None
    any: "tuple[Filter, ...] | None" = None
    not_: "Filter | None" = msgspec.field(default=None, name="not")
    attribute: str | None = None
    is_: Any = msgspec.field(default=msgspec.UNSET, name="is")
    in_: tuple[Any, ...] | None = msgspec.field(default=None, name="in")
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    contains: str | None = None
    exists: bool | None = None
    locale: str | None = None
    zone: str | None = None
    topic: str | None = None
    reachable: Channel | None = None
    seen_within: str | None = None
    not_seen_within: str | None = None


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named filter."""

    KIND: ClassVar[str] = "segment"

    filter: Filter
    name: str = ""


class UserFacts(msgspec.Struct, frozen=True):
    """The facts of one user that a filter reads. `last_seen_ms` is Unix milliseconds, None for a user never seen."""

    attributes: dict[str, Any] = {}
    locale: str = ""
    zone: str = ""
    topics: frozenset[str] = frozenset()
    reachable: frozenset[Channel] = frozenset()
    last_seen_ms: int | None = None


_FIELDS: Final = {"not": "not_", "is": "is_", "in": "in_"}
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def given(node: Filter, names: tuple[str, ...]) -> list[str]:
    """Return which of `KINDS` or `COMPARISONS` a node sets."""
    return [name for name in names if operand(node, name) is not msgspec.UNSET]


def operand(node: Filter, name: str) -> Any:
    """Return the value of a node's field by its API name, or `UNSET`."""
    value = getattr(node, _FIELDS.get(name, name))
    return msgspec.UNSET if value is None and name != "is" else value


def matches(node: Filter, user: UserFacts, now_ms: int) -> bool:
    """Return whether a checked filter matches a user at a time (Unix ms). This is the definition of filters; the
    store's own evaluation agrees with it."""
    (kind,) = given(node, KINDS)
    says = operand(node, kind)
    match kind:
        case "all":
            return all(matches(part, user, now_ms) for part in says)
        case "any":
            return any(matches(part, user, now_ms) for part in says)
        case "not":
            return not matches(says, user, now_ms)
        case "attribute":
            return _compares(node, _at(user.attributes, says))
        case "locale":
            return f"{user.locale}-".startswith(f"{says}-")
        case "zone":
            return user.zone == cast("str", says)
        case "topic":
            return says in user.topics
        case "reachable":
            return says in user.reachable
        case _:
            seen = user.last_seen_ms is not None and user.last_seen_ms >= now_ms - duration_ms(says)
            return seen == (kind == "seen_within")


def type_name(value: Any) -> str:
    """Return the type by which attributes are distinguished: `text`, `number`, `true`, `false`, `null`, `list`,
    `object`, or `none` for one that is missing."""
    match value:
        case msgspec.UNSET:
            return "none"
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case int() | float():
            return "number"
        case _:
            return "object" if isinstance(value, dict) else "list"


def _at(attributes: Mapping[str, Any], path: str) -> Any:
    value: Any = attributes
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return msgspec.UNSET
        value = value[name]
    return value


def _compares(node: Filter, value: Any) -> bool:
    (how,) = given(node, COMPARISONS)
    against = operand(node, how)
    if how == "exists":
        return bool(against == (value is not msgspec.UNSET))
    match how:
        case "is":
            return _same(value, against)
        case "in":
            return any(_same(value, one) for one in against)
        case "contains":
            return isinstance(value, str | list) and against in value
        case _:
            return type_name(value) == "number" and _ORDERS[how](value, against)


def _same(value: Any, wanted: Any) -> bool:
    return type_name(value) == type_name(wanted) and bool(value == wanted)
