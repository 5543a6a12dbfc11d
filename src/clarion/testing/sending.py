"""The record of sent deliveries, and a sender that writes it."""

from typing import Any, NamedTuple

from clarion.deliver.rules.answer import Answer
from clarion.deliver.send.worker import Sender
from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.delivery_state import State
from clarion.domain.outcome import Accepted
from clarion.domain.planned import PlannedDelivery
from clarion.journal.events import ChunkFrame
from clarion.ports.clock import Clock
from clarion.testing.clock import instant


class Delivery(NamedTuple):
    """A message that a provider (or the inbox) accepted. `at` is RFC 3339 in UTC, `user_id` empty for inline
    recipients, `content` the rendered parts of the channel (`{"title": "Hello", "body": "..."}`), `step` the workflow
    step that sent it, `attempt` the number of the accepted attempt, `notification` the id of the notification or
    broadcast."""

    at: str
    user_id: str
    channel: str
    template: str
    content: dict[str, Any]
    address: str
    category: str
    step: str
    attempt: int
    notification: str


class Sent:
    """The deliveries of an installation. Those of one instant are ordered by user and channel."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: list[tuple[int, Delivery]] = []

    def attempt(self, channel: Channel, row: PlannedDelivery, content: dict[str, Any]) -> None:
        """Record an attempt that a provider accepted."""
        prefix = ids.NOTIFICATION_PREFIX if row.chunk is None else ids.BROADCAST_PREFIX
        self._note(
            row.user_id, channel, row.template, content.get("parts", content), row.address, row.category, row.step,
            row.attempt, ids.write(prefix, ids.notification_of(row.delivery_id)),
        )  # fmt: skip

    def shown(self, chunk: ChunkFrame, states: bytes) -> None:
        """Record a delivery for each member of an in-app chunk whose inbox has it from now on."""
        id_ = ids.write(ids.BROADCAST_PREFIX, ids.notification_of(chunk.chunk_id))
        for index, (user_id, state) in enumerate(zip(chunk.user_ids, states, strict=True)):
            if state == State.SENT:
                content = chunk.users[index] if chunk.users else chunk.content
                self._note(user_id, chunk.channel, chunk.template, content, "", chunk.category, "", 1, id_)

    def _note(self, user_id: str, channel: str, template: str, *rest: Any) -> None:
        at_ms = self._clock.now_ms()
        self._sent.append((at_ms, Delivery(instant(at_ms), user_id, str(channel), template, *rest)))

    def all(self) -> list[Delivery]:
        """Return all deliveries so far, in order."""
        return [one for _, one in sorted(self._sent, key=lambda sent: (sent[0], sent[1].user_id, sent[1].channel))]


class WatchedSender(Sender):
    """The real sender, which also records accepted attempts in `sent`."""

    sent: Sent

    async def attempt(
        self, channel: Channel, row: PlannedDelivery, account: Account | None, urgent: bool = False
    ) -> Answer:
        """Make one attempt, as `Sender` does, and record an acceptance."""
        answer = await super().attempt(channel, row, account, urgent)
        if isinstance(answer.outcome, Accepted):
            self.sent.attempt(channel, row, answer.outcome.content or {})
        return answer
