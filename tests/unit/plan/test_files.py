"""Files of a request: history keeps their names, and channels that are no e-mail do not get them."""

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel, Lane
from clarion.journal import topics
from clarion.journal.events import DeliverFrame, PlannedFrame
from clarion.journal.rows import deliver_rows
from tests.stages.virtual import run
from tests.stages.world import World

FILES = [
    Attachment("a.pdf", "", b"secret content"),
    Attachment("b.png", "image/png", None, "https://files.example/b?signature=secret", "logo"),
]


def test_history_keeps_neither_content_nor_urls(directory):
    async def scenario(world: World) -> None:
        await world.accept("accepted-1", channels=["sms"], attachments=FILES)
        await world.plan()

    world = World(directory)
    run(scenario(world))
    (planned,) = [event for event in world.events() if isinstance(event, PlannedFrame)]
    assert planned.requests[0].attachments == [
        Attachment("a.pdf", "application/pdf"),
        Attachment("b.png", "image/png", cid="logo"),
    ]
    frames = world.events(topics.deliver(Channel.SMS, Lane.NORMAL))
    rows = [row for frame in frames if isinstance(frame, DeliverFrame) for row in deliver_rows(frame)]
    assert [row.attachments for row in rows] == [None]
