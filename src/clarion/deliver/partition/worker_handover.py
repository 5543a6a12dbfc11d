"""Offers from this process's senders to its planners: deliveries that are prepared before their frames are stored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from clarion.domain.channel import CHANNELS, LANES, Channel, Lane
from clarion.journal.handover import Offer
from clarion.journal.topics import deliver
from clarion.ports.streams import Frame

_PLACES = {deliver(channel, lane): (channel, lane) for channel in CHANNELS for lane in LANES}


class PlacedFrame(NamedTuple):
    """A frame of a lane, and its index among the frames that are stored with it."""

    at: int
    lane: Lane
    frame: Frame


class OfferSource(Protocol):
    """The consumer of one partition of a channel in this process."""

    async def prepare_offer(self, frames: Sequence[PlacedFrame]) -> Offer | None:
        """Return an offer for deliveries whose frames are about to be stored; None when older ones come first."""
        ...


class Handovers:
    """The consumers of one process, by channel and partition; implements `journal.handover.Handover`."""

    def __init__(self) -> None:
        self._sources: dict[tuple[Channel, int], OfferSource] = {}

    @contextmanager
    def register(self, channel: Channel, partition: int, source: OfferSource) -> Iterator[None]:
        """Offer frames planned in this context to a consumer."""
        self._sources[channel, partition] = source
        try:
            yield
        finally:
            if self._sources.get((channel, partition)) is source:
                del self._sources[channel, partition]

    async def prepare_offers(self, partition: int, frames: Sequence[Frame]) -> list[Offer]:
        """Return offers for the deliveries that can start once frames are stored."""
        placed: dict[Channel, list[PlacedFrame]] = {}
        for index, frame in enumerate(frames):
            place = _PLACES.get(frame.topic)
            if place is not None and frame.partition == partition and (place[0], partition) in self._sources:
                placed.setdefault(place[0], []).append(PlacedFrame(index, place[1], frame))
        offers: list[Offer] = []
        try:
            for channel, some in placed.items():
                source = self._sources.get((channel, partition))
                offer = None if source is None else await source.prepare_offer(some)
                if offer is not None:
                    offers.append(offer)
        except BaseException:
            for one in offers:
                one.on_dropped()
            raise
        return offers
