"""Handing over within a process: whoever plans deliveries offers their frames to whoever sends them before they are stored. The
intents of first attempts then stand in the same commit as the frames, and nothing has to be read.

It is worth most when little happens: a notification costs one commit and one wake-up less. Whoever has more to do than it
can take up at once declines, and reads the frames when it comes to them.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from clarion.ports.stage_store import Committed, IntentWrite, Progress, StageResult
from clarion.ports.streams import Frame


class Offer(Protocol):
    """Deliveries that were prepared before their frames are stored. It ends in exactly one of `stored` and `dropped`."""

    frames: Sequence[Frame]
    """What tells of the attempts about to be made; to be stored with the frames that were handed over."""
    intents: Sequence[IntentWrite]
    cancellations_after: int

    async def stored(self, done: Committed) -> None:
        """Begin the attempts. `done` is what the commit of `joined` came to."""
        ...

    def dropped(self) -> None:
        """Take everything back: nothing of it is stored."""
        ...


class Handover(Protocol):
    """Knows who sends in this process."""

    async def offers(self, partition: int, frames: Sequence[Frame]) -> list[Offer]:
        """Return what can be begun of frames that are about to be stored."""
        ...


def joined(result: StageResult, offers: Sequence[Offer]) -> StageResult:
    """Return one step that stores a result and, behind its frames, what was prepared of them."""
    if not offers:
        return result
    progress = result.progress
    return replace(
        result,
        frames=[*result.frames, *(frame for offer in offers for frame in offer.frames)],
        progress=Progress(progress.commits, [*progress.intents, *(one for offer in offers for one in offer.intents)]),
        cancellations_after=min(offer.cancellations_after for offer in offers),
    )
