"""Workflows of a broadcast: each user of a page gets a separate notification, in the partition that owns the user."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, Recipient, Request
from clarion.ports.stage_store import Cursor
from clarion.ports.streams import Frame


def starts(
    cursor: Cursor, request: Request, users: Sequence[tuple[str, int | None]], now_ms: int, partitions: int
) -> list[Frame]:
    """Return the frames that start a workflow for users, each now or at a time (Unix ms). The notification ids are
    derived from the broadcast's, so that planning a page again starts no workflow twice."""
    request = msgspec.structs.replace(request, broadcast=cursor.cursor_id)
    owned: dict[int, list[tuple[int, str, int | None]]] = {}
    for user_id, at_ms in users:
        slot = ids.slot_for(cursor.tenant, user_id, partitions)
        owned.setdefault(slot % partitions, []).append((slot, user_id, at_ms))
    frames = []
    for partition, names in owned.items():
        for start in range(0, len(names), FRAME_RECORDS_MAX):
            part = names[start : start + FRAME_RECORDS_MAX]
            frame = AcceptedFrame(
                [_id(cursor.cursor_id, slot, name, request.workflow) for slot, name, _ in part],
                [cursor.tenant] * len(part),
                [now_ms] * len(part),
                [msgspec.structs.replace(request, to=[Recipient(name)], send_at_ms=at_ms) for _, name, at_ms in part],
            )
            frames.append(Frame(topics.accepted(Lane.BULK), partition, len(part), encode(frame, len(part))))
    return frames


def _id(broadcast: bytes, slot: int, user_id: str, workflow: str) -> bytes:
    text = f"{len(workflow)}:{workflow}{user_id}".encode()
    digest = blake2b(text, key=broadcast, digest_size=ids.ENTROPY_BYTES).digest()
    return ids.notification_id(ids.created_ms(broadcast), slot, digest)
