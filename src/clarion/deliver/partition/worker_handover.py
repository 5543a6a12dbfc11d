"""Offers of this process's senders to its planners: deliveries that are prepared before their frames are stored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from clarion.domain.channel import CHANNELS, LANES, Channel, Lane
from clarion.journal.handover import Offer
from clarion.journal.topics import deliver
from clarion.ports.streams import Frame

_PLACES = {deliver(channel, lane): (channel, lane) for channel in CHANNELS for lane in LANES}


class Placed(NamedTuple):
    """A frame of a lane, and its place among those that are stored with it."""

    at: int
    lane: Lane
    frame: Frame


class Taker(Protocol):
    """Who consumes one partition of a channel in this process."""

    async def offer(self, frames: Sequence[Placed]) -> Offer | None:
        """Prepare deliveries whose frames are about to be stored; None when there is something before them."""
        ...


class Handovers:
    """The consumers of one process, by channel and partition; implements `journal.handover.Handover`."""

    def __init__(self) -> None:
        self._takers: dict[tuple[Channel, int], Taker] = {}

    @contextmanager
    def taking(self, channel: Channel, partition: int, taker: Taker) -> Iterator[None]:
        """Let a consumer take what is planned meanwhile."""
        self._takers[channel, partition] = taker
        try:
            yield
        finally:
            if self._takers.get((channel, partition)) is taker:
                del self._takers[channel, partition]

    async def offers(self, partition: int, frames: Sequence[Frame]) -> list[Offer]:
        """Return what can be begun of frames that are about to be stored."""
        placed: dict[Channel, list[Placed]] = {}
        for index, frame in enumerate(frames):
            place = _PLACES.get(frame.topic)
            if place is not None and frame.partition == partition and (place[0], partition) in self._takers:
                placed.setdefault(place[0], []).append(Placed(index, place[1], frame))
        made: list[Offer] = []
        try:
            for channel, some in placed.items():
                taker = self._takers.get((channel, partition))
                offer = None if taker is None else await taker.offer(some)
                if offer is not None:
                    made.append(offer)
        except BaseException:
            for one in made:
                one.dropped()
            raise
        return made
