"""Content limits of vendors, how longer content is made to fit, and its description in the timeline."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

Unit = Literal["chars", "bytes", "segments", "items"]
Over = Literal["shorten", "split", "refuse"]

SPOKEN: Final[dict[str, str]] = {
    "chars": "characters",
    "bytes": "bytes",
    "segments": "SMS segments",
    "items": "items",
}
"""Units as shown to readers."""


class OverLimit(ValueError):
    """A message exceeds a limit of its vendor and cannot be made to fit; the text says by how much."""


class ContentLimit(msgspec.Struct, frozen=True):
    """A vendor's limit of some parts together: `most` of a unit, 0 where only the service behind it knows the limit.
    Longer content is shortened (the first of `parts`, then the next), split into several messages, or refused."""

    parts: tuple[str, ...]
    unit: Unit
    most: int
    over: Over
    about: str = ""

    def check(self, size: int, part: str = "") -> None:
        """Raise `OverLimit` when `size` is over `most`; `part` names the part where there are several of a kind."""
        if size > self.most:
            what = part or " and ".join(filter(None, (", ".join(self.parts[:-1]), self.parts[-1])))
            has = "have" if len(self.parts) > 1 and not part else "has"
            raise OverLimit(f"the {what} {has} {size:,} {SPOKEN[self.unit]}, {self.most:,} are allowed")


class Fitted(msgspec.Struct, frozen=True):
    """How a part was made to fit: its size `before` and `after`, in the unit of the limit of `most`. A split part has
    `after` pieces, each of the alphabet `about`."""

    over: Over
    part: str
    unit: Unit
    before: int
    after: int
    most: int
    about: str = ""


def in_words(fitted: Iterable[Fitted], limits: Sequence[ContentLimit] = (), title: str = "") -> str:
    """Return a description of how a message was made to fit. The figure of the vendor `title` is from its `limits`; for
    a part without one, it is the channel's."""
    return "; ".join(_words(one, limits, title) for one in fitted)


def _words(one: Fitted, limits: Sequence[ContentLimit], title: str) -> str:
    if one.over == "split":
        return f"split into {one.after:,} SMS segments ({one.about})"
    unit = SPOKEN[one.unit]
    own = [
        limit.most for limit in limits if one.part in limit.parts and (limit.unit, limit.over) == (one.unit, one.over)
    ]
    owner = f"{own[0]:,} {unit} are what {title} takes" if own else f"{one.most:,} {unit} are the most there may be"
    return f"the {one.part} was shortened from {one.before:,} to {one.after:,} {unit}: {owner}"
