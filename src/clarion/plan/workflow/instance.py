"""A workflow instance as stored in its cell, its ids, and the frames that advance it.

An instance belongs to one recipient of one notification and lives in the partition that owns the recipient. Its id is 24
bytes: the notification id and 8 bytes of BLAKE2b over the recipient.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.limits_processes import FRAME_BYTES_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AdvanceFrame, Recipient, Request
from clarion.plan.columns import PlanItem
from clarion.plan.rules.workflow.state import State
from clarion.ports.stage_store import Timer
from clarion.ports.streams import Frame

INSTANCE_CELL: Final = b"i"
NOBODY: Final = bytes(ids.DELIVERY_ID_BYTES)
"""The instance id in frames that concern no instance."""


class Instance(msgspec.Struct, frozen=True, array_like=True):
    """One recipient's run of a workflow. `origin` is the request that triggered it, with this recipient alone."""

    tenant: str
    lane: Lane
    accepted_ms: int
    origin: Request
    state: State

    @property
    def recipient(self) -> Recipient:
        """The instance's recipient."""
        return self.origin.to[0]


class Start(msgspec.Struct, frozen=True, array_like=True):
    """Payload of cause `start`: an instance that has not begun yet."""

    accepted_ms: int
    origin: Request


def begun(tenant: str, lane: Lane, start: Start, now_ms: int) -> Instance:
    """Return an instance that begins at a time (Unix ms)."""
    origin = start.origin
    state = State(origin.workflow, origin.workflow_version, now_ms, origin.expires_ms)
    return Instance(tenant, lane, start.accepted_ms, origin, state)


class AdvanceRow(NamedTuple):
    """One row of an `AdvanceFrame`, in the order of its columns."""

    instance_id: bytes
    tenant: str
    cause: str
    seq: int
    at_ms: int
    payload: bytes = b""


def recipient_key(recipient: Recipient) -> str:
    """Return the key that identifies a recipient within the tenant: the user id or the first contact."""
    return recipient.user_id or next((f"{kind}:{to}" for kind, to in (recipient.contacts or {}).items()), "")


def instance_id(notification_id: bytes, recipient: Recipient) -> bytes:
    """Return the id of the instance of a notification for a recipient."""
    identity = b"u" if recipient.user_id else b"c"
    return notification_id + blake2b(identity + recipient_key(recipient).encode(), digest_size=8).digest()


def advance_rows(frame: AdvanceFrame) -> Iterable[AdvanceRow]:
    """Yield the rows of a frame."""
    columns = (frame.instance_ids, frame.tenants, frame.causes, frame.seqs, frame.at_ms, frame.payloads)
    return map(AdvanceRow._make, zip(*columns, strict=True))


def advance_frames(lane: Lane, partition: int, rows: Sequence[AdvanceRow]) -> list[Frame]:
    """Return the frames that put rows on `accepted.<lane>` of a partition, each within its bounds."""
    frames: list[Frame] = []
    for first in range(0, len(rows), FRAME_RECORDS_MAX):
        part = rows[first : first + FRAME_RECORDS_MAX]
        payload = encode(AdvanceFrame(*map(list, zip(*part, strict=True))), len(part))
        if len(payload) > FRAME_BYTES_MAX and len(part) > 1:
            middle = len(part) // 2
            frames += advance_frames(lane, partition, part[:middle]) + advance_frames(lane, partition, part[middle:])
        else:
            frames.append(Frame(topics.accepted(lane), partition, len(part), payload))
    return frames


def advance_timer(timer_id: bytes, lane: Lane, partition: int, row: AdvanceRow) -> Timer:
    """Return a timer that delivers a row at the row's time."""
    (frame,) = advance_frames(lane, partition, [row])
    return Timer(timer_id, row.at_ms, frame.topic, partition, frame.payload)


def start_frames(item: PlanItem, recipients: Iterable[Recipient], partitions: int) -> list[Frame]:
    """Return the frames that start an item's workflow for recipients, each in the partition that owns them."""
    rows: dict[int, list[AdvanceRow]] = {}
    for to in recipients:
        origin = msgspec.structs.replace(item.request, to=[to])
        payload = msgspec.msgpack.encode(Start(item.accepted_ms, origin))
        row = AdvanceRow(instance_id(item.notification_id, to), item.tenant, "start", 0, item.accepted_ms, payload)
        rows.setdefault(ids.partition_for(item.tenant, recipient_key(to), partitions), []).append(row)
    return [frame for partition, part in rows.items() for frame in advance_frames(item.lane, partition, part)]
