"""Preferences: category x channel; the user's own settings before the defaults of workflow, category and tenant.

Within one source the order is (category, channel), (category, `*`), (`*`, channel), (`*`, `*`). An expired choice is
ignored, so the next less specific one applies. Critical categories cannot be opted out of, so they are never evaluated
here.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from clarion.domain.user import Choice

Matrix: TypeAlias = Mapping[str, Mapping[str, bool | Choice]]
"""Category (or `*`) to channel (or `*`) to whether sending is allowed."""


class Judgement(NamedTuple):
    """Whether a channel is allowed and the setting that decides it (`user preference marketing.email`; empty without
    one). Valid before `valid_until_ms` (Unix ms), for good when that is None.
    """

    allowed: bool
    source: str = ""
    valid_until_ms: int | None = None


def judge(
    user: Matrix,
    workflow: Mapping[str, bool],
    category_defaults: Mapping[str, bool],
    tenant: Matrix,
    category: str,
    channel: str,
    now_ms: int,
) -> Judgement:
    """Return the judgement of the most specific setting at a time (Unix ms). A channel without any setting is
    allowed."""
    for source, matrix in (
        ("user preference ", user),
        ("workflow default ", {category: workflow}),
        ("category default ", {category: category_defaults}),
        ("tenant default ", tenant),
    ):
        for row, column in ((category, channel), (category, "*"), ("*", channel), ("*", "*")):
            value = matrix[row].get(column) if row in matrix else None
            if isinstance(value, bool):
                return Judgement(value, f"{source}{row}.{column}")
            if value is not None and now_ms < value.until_ms:
                return Judgement(value.allowed, f"{source}{row}.{column}", value.until_ms)
    return Judgement(True)
