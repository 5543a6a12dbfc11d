"""Preferences: category x channel; the user's own settings before the defaults of workflow, category and tenant.

Within one source the order is (category, channel), (category, `*`), (`*`, channel), (`*`, `*`). A choice whose time is
over is as if it had never been made, so the next less specific one counts. Critical categories cannot be opted out of,
so they never come here.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from clarion.domain.user import Choice

Matrix: TypeAlias = Mapping[str, Mapping[str, bool | Choice]]
"""Category (or `*`) to channel (or `*`) to whether sending is allowed."""


class Judgement(NamedTuple):
    """Whether a channel is allowed and which setting says so (`user preference marketing.email`; empty when none does).

    It holds before `valid_until_ms` (Unix ms), for good when that is None.
    """

    allowed: bool
    setting: str = ""
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
    """Return what the most specific setting says at a time (Unix ms). What nobody said anything about is allowed."""
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
