"""Topic and group names of the journal, and which topics each group reads."""

from typing import Final

from clarion.domain.channel import CHANNELS, LANES, Channel, Lane

OUTCOMES: Final = "outcomes"

GROUP_PLAN: Final = "plan"
GROUP_BROADCAST: Final = "broadcast"
GROUP_RECORD: Final = "record"


def accepted(lane: Lane) -> str:
    """Return the topic of accepted requests of a lane."""
    return f"accepted.{lane}"


def deliver(channel: Channel, lane: Lane) -> str:
    """Return the topic of planned deliveries of a channel and lane."""
    return f"deliver.{channel}.{lane}"


def group_deliver(channel: Channel) -> str:
    """Return the consumer group of a channel's delivery pool."""
    return f"deliver.{channel}"


GROUP_TOPICS: Final[dict[str, tuple[str, ...]]] = {
    GROUP_PLAN: tuple(accepted(lane) for lane in LANES),
    GROUP_RECORD: (OUTCOMES,),
    **{group_deliver(channel): tuple(deliver(channel, lane) for lane in LANES) for channel in CHANNELS},
}
"""Topics each group reads, most urgent first."""
