"""Validation of categories."""

from collections.abc import Mapping
from typing import Final

import msgspec

from clarion.domain.cap import check_caps
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.content import CategoryRules
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.limits import HOLD_MS_MAX
from clarion.domain.route import check_route

_CHANNELS: Final = frozenset({"*", *CHANNELS})


class CategoryBody(CategoryRules, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """A category. `defaults` are the preferences per channel (or `*`) of users who have set none.

    Quiet hours hold its deliveries unless `quiet_hours` is false; a delivery that would be held for longer than
    `hold_max` (a duration, 7 days at most) is not sent. `over_cap` is what happens to a delivery over one of `caps`:
    `skip`, `defer`, or `digest` by the workflow `digest_workflow`. `route` is the channels to try and their order; with
    `on_outage` it waits for a channel whose provider is down (`wait`) or continues with the next one (`degrade`).
    `name` is what users read instead of its key.
    """

    critical: bool = False
    priority: Lane = Lane.NORMAL
    defaults: dict[str, bool] = msgspec.field(default_factory=dict)


class CategoryView(CategoryBody, frozen=True, kw_only=True):
    """A category in the API's responses."""

    key: str


def check_category(body: CategoryBody) -> CategoryBody:
    """Return the category to store. Raises `InvalidField` naming the first invalid field."""
    check_defaults(body.defaults, critical=body.critical)
    if body.critical and body.caps:
        raise InvalidField("a critical category has no caps", field="caps")
    check_caps(body.caps, "caps")
    check_duration(body.hold_max, "hold_max", most_ms=HOLD_MS_MAX)
    if body.over_cap == "digest" and body.digest_workflow is None:
        raise InvalidField("is required with over_cap of digest", field="digest_workflow")
    if body.route is not None:
        check_route(body.route, "route")
    return body


def check_defaults(defaults: Mapping[str, bool], *, critical: bool) -> dict[str, bool]:
    """Return a category's default per channel (or `*`). Raises `InvalidField` for an unknown channel, and for any
    default that switches off a critical category: users cannot opt out of those."""
    for channel in defaults:
        if channel not in _CHANNELS:
            name = channel[:100]
            raise InvalidField(f"no such channel: {name}", field=f"defaults.{name}", code="unknown_channel")
    if critical and not all(defaults.values()):
        raise InvalidField("a critical category cannot be switched off by default", field="defaults")
    return dict(defaults)
