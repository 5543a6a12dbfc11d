"""The rows of history: notifications, deliveries, attempts and chunks, and the changes of one fold.

Field order is column order. Times are Unix milliseconds; ids are bytes. Working rows are mutable: a fold changes the
current row in place and the store writes it once.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State


class Notification(msgspec.Struct, frozen=True, gc=False):
    """An accepted request. `request` is its MessagePack form; `planned_ms` is None while it waits for its time."""

    tenant: str
    id: bytes
    accepted_ms: int
    planned_ms: int | None
    scheduled_ms: int | None
    lane: str
    category: str
    template: str
    request: bytes


class Delivery(msgspec.Struct, gc=False):
    """The current row of a delivery. `attempt` is the newest attempt begun and `repeats` how often that same attempt
    was begun again (each a possible duplicate at the provider). The provider columns and `started_ms` are of attempt
    `accepted_attempt`, or of the newest one while that is 0. `finished_ms` is when the state was last decided. A
    broadcast delivery has a row only when more happened to it than being accepted at once; its chunk and index in it
    say where the state byte is. `retry_ms` of a held delivery is when it is decided again. `step` is the workflow step
    that sent it. It was decided from `profile_id` and `setting` (the digest of shared facts)."""

    id: bytes
    tenant: str
    user_id: str
    channel: str
    address: str
    state: State
    reason: int = 0
    detail: str = ""
    attempt: int = 0
    repeats: int = 0
    provider: str = ""
    vendor: str = ""
    vendor_message_id: str = ""
    planned_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    retry_ms: int | None = None
    accepted_attempt: int = 0
    accepted_ms: int | None = None
    chunk_id: bytes | None = None
    chunk_index: int = 0
    step: str = ""
    profile_id: int = 0
    setting: bytes | None = None


class Attempt(msgspec.Struct, gc=False):
    """An event of a delivery, except the acceptance, which is in the delivery's own row.

    `event` is a `delivery_state.Event`, `outcome` the outcome of the attempt, `detail` the provider's own words.
    `applied` is False for an event that came too late to change the state.
    """

    delivery_id: bytes
    tenant: str
    attempt: int
    finished_ms: int
    started_ms: int
    event: str
    outcome: str
    reason: int
    detail: str
    provider: str
    vendor: str
    vendor_message_id: str
    retry_ms: int | None
    repeats: int = 0
    applied: bool = True


class Chunk(msgspec.Struct, frozen=True):
    """The part of a chunk that never changes. `ordinals` is an array of unsigned 64-bit integers in machine order;
    `content`, `data`, `metadata`, `user_ids`, `addresses` and `users` are MessagePack."""

    chunk_id: bytes
    tenant: str
    channel: str
    locale: str
    category: str
    planned_ms: int
    expires_ms: int | None
    count: int
    min_ordinal: int
    max_ordinal: int
    content: bytes
    data: bytes
    metadata: bytes
    ordinals: bytes
    user_ids: bytes
    addresses: bytes
    users: bytes


class ChunkState(msgspec.Struct):
    """The part of a chunk that changes, one byte a delivery: state, reason and how often its first attempt was begun.
    `intents` is empty while none was begun. Provider, vendor and `finished_ms` are of the newest slice accepted."""

    chunk_id: bytes
    tenant: str
    channel: str
    states: bytes
    reasons: bytes
    intents: bytes = b""
    provider: str = ""
    vendor: str = ""
    finished_ms: int | None = None


class InboxItem(msgspec.Struct, frozen=True, gc=False):
    """An in-app message of one user; `content` is JSON. The item's id is its delivery id. The store gives it its place
    in the inbox."""

    tenant: str
    user_id: str
    item_id: bytes
    created_ms: int
    content: bytes
    category: str = ""
    expires_ms: int | None = None
    collapse_key: str = ""


class Arrival(NamedTuple):
    """Deliveries of a recorded in-app chunk that came into inboxes later, such as held ones: `members` has one byte per
    delivery, not 0 for those. The store gives it its place in the shared sequence of the tenant."""

    tenant: str
    chunk_id: bytes
    at_ms: int
    members: bytes


class Capture(msgspec.Struct, frozen=True, gc=False):
    """A message that a sandbox vendor stored instead of sending; `content` is JSON."""

    tenant: str
    delivery_id: bytes
    attempt: int
    user_id: str
    channel: str
    address: str
    provider: str
    captured_ms: int
    content: bytes


class DeadLetter(msgspec.Struct, gc=False):
    """A delivery that was given up. `payload` is the encoded one-event frame that would deliver it again."""

    tenant: str
    delivery_id: bytes
    channel: str
    user_id: str
    reason: int
    detail: str
    attempt: int
    dead_ms: int
    payload: bytes
    replayed_ms: int | None = None


class Progress(msgspec.Struct, frozen=True, gc=False):
    """A step in the progress of a workflow instance; `event` is one of `ProgressFrame`, of which the endings end the
    instance."""

    instance_id: bytes
    notification_id: bytes
    tenant: str
    user_id: str
    workflow: str
    version: int
    step: str
    event: str
    at_ms: int
    detail: str


class Instance(msgspec.Struct, frozen=True, gc=False):
    """The current row of a workflow instance: `running`, `waiting`, or its ending."""

    id: bytes
    tenant: str
    notification_id: bytes
    user_id: str
    workflow: str
    version: int
    step: str
    state: str
    started_ms: int
    ended_ms: int | None
    detail: str


class HealthChange(msgspec.Struct, frozen=True, gc=False):
    """A change of an account's health at `at_ms`: `state` and `before` are states of
    `domain.account_health.AccountHealth`."""

    tenant: str
    at_ms: int
    provider: str
    channel: str
    vendor: str
    before: str
    state: str
    detail: str


INSTANCE_ENDINGS: Final = frozenset({"completed", "merged", "cancelled", "expired", "failed"})
"""Events of which exactly one ends every instance; the event's name is the terminal state."""

CounterKey = tuple[int, str, str, str, int]
"""(minute in Unix milliseconds, tenant, channel, event, reason)."""
TotalKey = tuple[str, bytes, str, int, int]
"""(tenant, broadcast id, channel, state, reason)."""


class Changes(msgspec.Struct):
    """Everything that one fold writes; stored together with the positions folded up to, or not at all."""

    new: Collection[bytes] = frozenset()
    """Ids of deliveries and chunks that the fold assumed to be new without a lookup. Storing one that has a row
    fails."""
    notifications: list[Notification] = []
    deliveries: dict[bytes, Delivery] = {}
    attempts: list[Attempt] = []
    chunks: list[Chunk] = []
    chunk_states: dict[bytes, ChunkState] = {}
    inbox_items: list[InboxItem] = []
    arrivals: dict[bytes, Arrival] = {}
    """By chunk id."""
    collapses: dict[tuple[str, str, bytes], None] = {}
    """(tenant, collapse key, broadcast id) of the chunks."""
    captures: list[Capture] = []
    dead_letters: dict[bytes, DeadLetter] = {}
    replays: list[tuple[int, str, bytes]] = []
    """(at_ms, tenant, delivery id) of dead letters stored by an earlier fold."""
    cancellations: list[tuple[str, bytes, int]] = []
    seen_receipts: list[tuple[str, bytes, str, int]] = []
    """(tenant, notification id, user id, seen_ms); the store holds the first and the last of a user and
    notification."""
    progress: list[Progress] = []
    health_changes: list[HealthChange] = []
    settings: dict[bytes, bytes] = {}
    """Digest to shared facts that decisions were made from (JSON)."""
    totals: dict[TotalKey, int] = {}
    counters: dict[CounterKey, int] = {}


STATES: Final[dict[int, State]] = {int(state): state for state in State}
REASONS: Final[dict[int, Reason]] = {int(reason): reason for reason in Reason}
