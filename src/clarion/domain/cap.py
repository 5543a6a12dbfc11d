"""Frequency caps: how many deliveries one user gets in a time."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.limits import CAP_GAP_MS_MIN, CAP_PER_MS_MIN, CAPS_PER_CATEGORY_MAX, YEAR_MS

OverCap: TypeAlias = Literal["skip", "defer", "digest"]
"""What happens to a delivery over a cap: it is not sent, sent when there is room, or put into a digest."""


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most `limit` at once and then one every `per / limit`, per user: on `channel`, or on all channels together."""

    limit: int
    per: str
    channel: Channel | None = None


def check_caps(caps: Sequence[Cap], field: str) -> tuple[Cap, ...]:
    """Return validated caps. Raises `InvalidField` with the path of the first fault."""
    if len(caps) > CAPS_PER_CATEGORY_MAX:
        raise InvalidField(f"has more than {CAPS_PER_CATEGORY_MAX} caps", field=field)
    for index, cap in enumerate(caps):
        path = f"{field}[{index}]"
        per_ms = check_duration(cap.per, f"{path}.per", least_ms=CAP_PER_MS_MIN, most_ms=YEAR_MS)
        most = per_ms // CAP_GAP_MS_MIN
        if not 1 <= cap.limit <= most:
            raise InvalidField(f"must be 1-{most} in {cap.per}: one a second", field=f"{path}.limit")
        if cap in caps[:index]:
            raise InvalidField("is given twice", field=path)
    return tuple(caps)
