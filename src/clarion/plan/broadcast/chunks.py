"""Writing the chunks of a page: frames for deliveries to send now, timers for held ones."""

from hashlib import blake2b
from typing import Any

from clarion.content.render import Rendering
from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import BroadcastJob, ChunkFrame
from clarion.plan.broadcast.addresses import user_of
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.inapp import Readers, shown
from clarion.plan.rules.chunks import Columns, Place
from clarion.ports.stage_store import Cursor, Timer
from clarion.ports.streams import Frame

_PLANNED = int(State.PLANNED)
_VERDICTS = {State.SKIPPED: "skip", State.HELD: "hold", State.MERGED: "merge"}


class PageChunks:
    """The chunks of one page. `frames`, `timers` and `counts` grow with every `add`."""

    def __init__(
        self,
        facts: PageFacts,
        cursor: Cursor,
        job: BroadcastJob,
        rendering: Rendering,
        partitions: int,
        now_ms: int,
    ) -> None:
        self._facts = facts
        self._cursor = cursor
        self._job = job
        self._rendering = rendering
        self._partitions = partitions
        self._now_ms = now_ms
        self.frames: list[Frame] = []
        self.timers: list[Timer] = []
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, channel: Channel, place: Place, wide: Columns) -> None:
        """Write the columns of one channel, locale and time."""
        locale, until_ms = place
        for part in wide.cut():
            for state in set(part.states):
                key = (channel.value, _VERDICTS.get(State(state), "send"))
                self.counts[key] = self.counts.get(key, 0) + part.states.count(state)
            self._write(self._chunk(channel, locale, part), until_ms)

    def _write(self, chunk: ChunkFrame, until_ms: int) -> None:
        count = len(chunk.ordinals)
        # Chunks of one broadcast spread over all partitions, so that every worker sends.
        partition = chunk.chunk_id[-1] % self._partitions
        payload = encode(chunk, count)
        self.frames.append(Frame(topics.OUTCOMES, partition, count, payload))
        if until_ms:
            timer_id = chunk.chunk_id + until_ms.to_bytes(6, "big")
            self.timers.append(Timer(timer_id, until_ms, topics.accepted(Lane.BULK), partition, payload))
        elif chunk.channel != Channel.INAPP and _PLANNED in chunk.states:
            self.frames.append(Frame(topics.deliver(Channel(chunk.channel), Lane.BULK), partition, count, payload))

    def _chunk(self, channel: Channel, locale: str, part: Columns) -> ChunkFrame:
        request, template = self._job.request, self._facts.request_facts.template
        users: list[dict[str, Any]] = []
        content: str | dict[str, Any] = request.template
        if template.uses_user:
            columns, zones = self._facts.columns, self._facts.zones
            users = [user_of(row, columns, zones[row[2]]) for row in part.rows]
        if channel is Channel.INAPP and channel in template.parts:
            audience = Readers(self._cursor.tenant, locale, ids.created_ms(self._cursor.cursor_id))
            content, users = shown(self._rendering, audience, template, request.data, users, part)
        return ChunkFrame(
            chunk_id=_chunk_id(self._cursor.cursor_id, part.ordinals[0], channel, locale),
            tenant=self._cursor.tenant,
            channel=channel,
            locale=locale,
            content=content,
            category=self._facts.request_facts.category.key,
            data=request.data,
            planned_ms=self._now_ms,
            expires_ms=request.expires_ms,
            metadata=request.metadata,
            ordinals=part.ordinals,
            user_ids=part.user_ids,
            states=bytes(part.states),
            reasons=bytes(part.reasons),
            addresses=part.addresses,
            users=users,
            template=request.template,
        )


def _chunk_id(broadcast: bytes, first_ordinal: int, channel: Channel, locale: str) -> bytes:
    text = f"{first_ordinal}:{channel}:{locale}".encode()
    return broadcast + blake2b(text, key=broadcast, digest_size=ids.DELIVERY_ID_BYTES - len(broadcast)).digest()
