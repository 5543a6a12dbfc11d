"""Topic and group names of the journal, and which topics each group reads."""

from typing import Final

from clarion.domain.channel import CHANNELS, LANES, Channel, Lane

OUTCOMES: Final = "outcomes"

TIMERS: Final = "timers"
CURSORS: Final = "cursors"
CANCELLATIONS: Final = "cancellations"
MARKERS: Final = frozenset({TIMERS, CURSORS, CANCELLATIONS})
"""Watched like topics, though they have no frames: they grow, in partition 0, when a timer is set, when a broadcast
begins or progresses, and when a notification is cancelled."""

GROUP_PLAN: Final = "plan"
GROUP_BROADCAST: Final = "broadcast"
GROUP_RECORD: Final = "record"

_URGENCY: Final[dict[str, int]] = {lane: place for place, lane in enumerate(LANES)}
URGENCIES: Final = range(len(LANES) + 1)
"""The values that `urgency` returns, most urgent first."""


def accepted(lane: Lane) -> str:
    """Return the topic of accepted requests of a lane."""
    return f"accepted.{lane}"


def deliver(channel: Channel, lane: Lane) -> str:
    """Return the topic of planned deliveries of a channel and lane."""
    return f"deliver.{channel}.{lane}"


def urgency(topic: str) -> int:
    """Return the rank of the lane that a topic ends in, 0 for the most urgent; a topic without a lane is last."""
    return _URGENCY.get(topic.rpartition(".")[2], len(LANES))


def group_deliver(channel: Channel) -> str:
    """Return the consumer group of a channel's delivery workers."""
    return f"deliver.{channel}"


GROUP_TOPICS: Final[dict[str, tuple[str, ...]]] = {
    GROUP_PLAN: tuple(accepted(lane) for lane in LANES),
    GROUP_RECORD: (OUTCOMES,),
    **{group_deliver(channel): tuple(deliver(channel, lane) for lane in LANES) for channel in CHANNELS},
}
"""Topics each group reads, most urgent first."""

REGROUPED: Final = tuple(group for group in GROUP_TOPICS if group != GROUP_RECORD)
"""Groups whose unread frames move when the number of partitions changes; what is to be recorded is recorded before."""
