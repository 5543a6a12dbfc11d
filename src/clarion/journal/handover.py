"""Handover within a process: the planner offers frames of deliveries to the delivery worker before they are stored. The
intents of first attempts are then part of the same commit as the frames, and nothing has to be read.

It saves most under low load: one commit and one wake-up per notification. A delivery worker with more work than it can
start at once declines the offer and reads the frames from their stream later.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from clarion.ports.stage_store import Committed, GroupProgress, IntentWrite, StageResult
from clarion.ports.streams import Frame


class Offer(Protocol):
    """Deliveries prepared before their frames are stored. Exactly one of `on_stored` and `on_dropped` is called,
    once."""

    frames: Sequence[Frame]
    """Intent frames of the attempts about to be made, to be stored with the frames that were handed over."""
    intents: Sequence[IntentWrite]
    cancellations_after: int

    async def on_stored(self, done: Committed) -> None:
        """Begin the attempts. `done` is the result of the commit of `with_offers`."""
        ...

    def on_dropped(self) -> None:
        """Undo the preparation: the commit failed, and nothing of the offer is stored."""
        ...


class Handover(Protocol):
    """Passes planned deliveries on to the delivery workers of this process."""

    async def prepare_offers(self, partition: int, frames: Sequence[Frame]) -> list[Offer]:
        """Return offers for those deliveries of frames about to be stored that can be started at once."""
        ...


def with_offers(result: StageResult, offers: Sequence[Offer]) -> StageResult:
    """Return one step that stores a result followed by the frames and intents of the offers."""
    if not offers:
        return result
    progress = result.progress
    return replace(
        result,
        frames=[*result.frames, *(frame for offer in offers for frame in offer.frames)],
        progress=GroupProgress(
            progress.commits, [*progress.intents, *(one for offer in offers for one in offer.intents)]
        ),
        cancellations_after=min(offer.cancellations_after for offer in offers),
    )
