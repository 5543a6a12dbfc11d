"""Segments: filters over what is known of users. A filter is a tree; each node says one thing."""

from typing import Any, ClassVar

import msgspec

from clarion.domain.channel import Channel


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
