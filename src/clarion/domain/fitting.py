"""What a vendor takes of a message, what becomes of more, and the words for it in the timeline."""

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
"""Units as they are written for people."""


class OverLimit(ValueError):
    """A message is over what its vendor takes and cannot be made to fit; the text says by how much."""


class ContentLimit(msgspec.Struct, frozen=True):
    """What a vendor takes of some parts together: `most` of a unit, 0 where only the service behind it knows. What is over
    is shortened (the first of `parts`, then the next), split into several messages, or refused."""

    parts: tuple[str, ...]
    unit: Unit
    most: int
    over: Over
    about: str = ""

    def check(self, size: int, part: str = "") -> None:
        """Raise `OverLimit` for what has more than `most`; `part` says which one where there are several of a kind."""
        if size > self.most:
            what = part or " and ".join(filter(None, (", ".join(self.parts[:-1]), self.parts[-1])))
            has = "have" if len(self.parts) > 1 and not part else "has"
            raise OverLimit(f"the {what} {has} {size:,} {SPOKEN[self.unit]}, {self.most:,} are allowed")


class Fitted(msgspec.Struct, frozen=True):
    """What was done to a part so that it fits: its size `before` and `after`, in the unit of the limit of `most`. What was
    split has `after` pieces, each of the alphabet `about`."""

    over: Over
    part: str
    unit: Unit
    before: int
    after: int
    most: int
    about: str = ""


def in_words(fitted: Iterable[Fitted], limits: Sequence[ContentLimit] = (), title: str = "") -> str:
    """Return what was done to a message in plain words. The figure of the vendor `title` is the one of its `limits`; where it
    declares none for a part, the channel's own is named."""
    return "; ".join(_words(one, limits, title) for one in fitted)


def _words(one: Fitted, limits: Sequence[ContentLimit], title: str) -> str:
    if one.over == "split":
        return f"split into {one.after:,} SMS segments ({one.about})"
    unit = SPOKEN[one.unit]
    own = [
        limit.most for limit in limits if one.part in limit.parts and (limit.unit, limit.over) == (one.unit, one.over)
    ]
    whose = f"{own[0]:,} {unit} are what {title} takes" if own else f"{one.most:,} {unit} are the most there may be"
    return f"the {one.part} was shortened from {one.before:,} to {one.after:,} {unit}: {whose}"
