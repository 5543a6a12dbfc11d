"""Event kinds and their columns. One frame holds a batch of one kind; each field below is a column, all equally long.

Column names are the glossary's; times are Unix milliseconds; ids are bytes. Values that never differ inside a frame are
plain fields and come first.
"""

from typing import Any, TypeAlias

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.outcome import Outcome
from clarion.domain.trail import Trail
from clarion.journal.requests import Audience as Audience
from clarion.journal.requests import BroadcastJob as BroadcastJob
from clarion.journal.requests import Recipient as Recipient
from clarion.journal.requests import Request as Request


class _Columns(msgspec.Struct, array_like=True):
    pass


class AcceptedFrame(_Columns, tag=1):
    """Requests that the API accepted, on `accepted.<lane>`."""

    notification_ids: list[bytes]
    tenants: list[str]
    accepted_ms: list[int]
    requests: list[Request]


class DeliverFrame(_Columns, tag=2):
    """Single deliveries to send, on `deliver.<channel>.<lane>`.

    `templates` are template keys. `users` holds the user's data that the template reads (or None). `attempts` is the
    number of the attempt to make. `chunks` is the chunk and index that a retried broadcast delivery came from, or None.
    `steps` names the workflow step that sends (or is empty). `fallbacks` is the encoded one-event `ResumeFrame` that is
    put back on `accepted.<lane>` when the delivery ends without having been sent. `trails` is the history of a
    delivery's earlier attempts, None before the first; `attachments` are those of an e-mail. Frames older than these
    four columns have none of them.
    """

    delivery_ids: list[bytes]
    tenants: list[str]
    user_ids: list[str]
    addresses: list[str]
    locales: list[str]
    templates: list[str]
    categories: list[str]
    data: list[dict[str, Any]]
    users: list[dict[str, Any] | None]
    attempts: list[int]
    expires_ms: list[int | None]
    metadata: list[dict[str, str] | None]
    ordering_keys: list[str | None]
    chunks: list[tuple[bytes, int] | None]
    steps: list[str] = []
    fallbacks: list[bytes | None] = []
    trails: list[Trail | None] = []
    attachments: list[list[Attachment] | None] = []


class ChunkFrame(_Columns, tag=3):
    """One chunk of a broadcast, on `deliver.<channel>.bulk` and on `outcomes`: shared fields once, then columns.

    `chunk_id` is 24 bytes: the broadcast id and 8 bytes of the first ordinal, channel and locale. `ordinals` are user
    ordinals, ascending. `states` and `reasons` hold one byte per delivery. `addresses` and `users` are empty where the
    channel needs none. `template` is also the key of the template that in-app `content` was rendered from. Held
    deliveries return on `accepted.bulk` in a frame of the same shape.
    """

    chunk_id: bytes
    tenant: str
    channel: str
    locale: str
    content: str | dict[str, Any]
    category: str
    data: dict[str, Any]
    planned_ms: int
    expires_ms: int | None
    metadata: dict[str, str] | None
    ordinals: list[int]
    user_ids: list[str]
    states: bytes
    reasons: bytes
    addresses: list[str]
    users: list[dict[str, Any]]
    template: str = ""


class PlannedFrame(_Columns, tag=4):
    """Decisions of planning, on `outcomes`: notifications, and their deliveries as flat columns (`of` is the index of
    the delivery's notification in `notification_ids`). The request is None where another frame records the
    notification. `reasons` is 0 where the delivery was planned; a notification with `scheduled_ms` set has no
    deliveries yet. `held_ms` is when a held delivery is decided again, `steps` the workflow step that sends it. These
    explain a decision: the `profile_ids` of recipients (0 for none) and the encoded shared facts, each once in
    `request_facts`, with their index per delivery in `request_facts_of`."""

    planned_ms: int
    notification_ids: list[bytes]
    tenants: list[str]
    accepted_ms: list[int]
    requests: list[Request | None]
    scheduled_ms: list[int | None]
    of: list[int]
    delivery_ids: list[bytes]
    user_ids: list[str]
    channels: list[str]
    addresses: list[str]
    reasons: list[int]
    details: list[str]
    held_ms: list[int | None] = []
    steps: list[str] = []
    profile_ids: list[int] = []
    request_facts: list[bytes] = []
    request_facts_of: list[int] = []


class IntentFrame(_Columns, tag=5):
    """Attempts about to be made, on `outcomes`, durable before the first byte is sent. For a broadcast, `chunk_id` is
    set and the ids are those of a slice of the chunk. `providers` are the accounts, empty where each tenant has only
    one."""

    worker: str
    fence: int
    at_ms: int
    channel: str
    chunk_id: bytes | None
    first_index: int
    delivery_ids: list[bytes]
    attempts: list[int]
    providers: list[str] = []


class AttemptedFrame(_Columns, tag=6):
    """Results of attempts, on `outcomes`. `events` are `domain.delivery_state.Event` values; `retry_ms` is when the next
    attempt is due. `dead` is the encoded one-event DeliverFrame of a delivery that became dead, for replay. `items` are
    the category and end (Unix milliseconds or None) of in-app messages; it is empty on other channels, and in older
    frames."""

    channel: str
    delivery_ids: list[bytes]
    tenants: list[str]
    user_ids: list[str]
    addresses: list[str]
    attempts: list[int]
    providers: list[str]
    vendors: list[str]
    events: list[str]
    reasons: list[int]
    outcomes: list[Outcome]
    started_ms: list[int]
    finished_ms: list[int]
    retry_ms: list[int | None]
    dead: list[bytes | None]
    chunks: list[tuple[bytes, int] | None]
    items: list[tuple[str, int | None]] = []


class ChunkAttemptedFrame(_Columns, tag=7):
    """First attempts of a slice of a chunk that were accepted, on `outcomes`: one state byte per delivery from
    `first_index` on; 0 means 'not in this frame' (an AttemptedFrame holds that delivery's result)."""

    chunk_id: bytes
    tenant: str
    channel: str
    provider: str
    vendor: str
    first_index: int
    states: bytes
    finished_ms: int


class CancelledFrame(_Columns, tag=8):
    """Notifications or broadcasts cancelled by a caller, on `outcomes`."""

    tenants: list[str]
    subject_ids: list[bytes]
    at_ms: list[int]


class ReplayedFrame(_Columns, tag=9):
    """Dead deliveries that a caller put back on the journal, on `outcomes`. `details` name the edited fields and the
    API key used, `addresses` hold the new address where it was edited, `due_ms` is when the attempt is made if not at
    once. Older frames have none of the three."""

    tenants: list[str]
    delivery_ids: list[bytes]
    at_ms: list[int]
    details: list[str] = []
    addresses: list[str | None] = []
    due_ms: list[int | None] = []


class AdvanceFrame(_Columns, tag=10):
    """Workflow instances to advance, on `accepted.<lane>` of the partition that owns their user.

    `causes` are `start`, `timer`, `fetched`, `digest` (it closes), `expire` or `forget` (a throttle); `seqs` is the
    instance's count of waits that the cause was made for: a cause for an earlier count is too late. `payloads` are
    MessagePack or keys, depending on the cause.
    """

    instance_ids: list[bytes]
    tenants: list[str]
    causes: list[str]
    seqs: list[int]
    at_ms: list[int]
    payloads: list[bytes]


class ResumeFrame(_Columns, tag=11):
    """Planning of a notification resumed for one recipient (`request.to` holds only that one, `request.channels` the
    channels left), on `accepted.<lane>`.

    `causes` are `quiet_hours`, `cap`, `local_time`, `failed` (a channel of a route was not sent) or `unmet` (it was, but
    the event that the route waits for did not happen in time). `since_ms` is when the first hold began, `steps` the
    workflow step, `routes` the encoded remaining route (or None). `tags` distinguish resumptions of one place in a
    route: only the first of those with the same tag counts. `held` are the addresses of the deliveries that were held.
    """

    notification_ids: list[bytes]
    tenants: list[str]
    accepted_ms: list[int]
    requests: list[Request]
    causes: list[str]
    since_ms: list[int]
    steps: list[str]
    routes: list[bytes | None]
    tags: list[bytes]
    held: list[list[str]]


class SignalFrame(_Columns, tag=12):
    """Events that instances wait for, on `accepted.<lane>` of each partition where one waits. `keys` are
    those of `ports.journal_cells.Wait`, `data` is the event's data."""

    tenants: list[str]
    keys: list[bytes]
    at_ms: list[int]
    data: list[dict[str, Any]]


class ProgressFrame(_Columns, tag=13):
    """Progress of workflow instances, on `outcomes`: `events` are `started`, `step`, `waiting`, `completed`, `merged`,
    `cancelled`, `expired` or `failed` (the last five end the instance)."""

    instance_ids: list[bytes]
    notification_ids: list[bytes]
    tenants: list[str]
    user_ids: list[str]
    workflows: list[str]
    versions: list[int]
    steps: list[str]
    events: list[str]
    at_ms: list[int]
    details: list[str]


class SeenFrame(_Columns, tag=14):
    """Seen receipts: users saw the messages of a notification, on `outcomes`."""

    tenants: list[str]
    notification_ids: list[bytes]
    user_ids: list[str]
    at_ms: list[int]


class OccurrenceFrame(_Columns, tag=15):
    """Due occurrences of schedules, on `accepted.bulk`. `versions` is the version of the schedule that set the
    timer."""

    tenants: list[str]
    keys: list[str]
    versions: list[int]
    due_ms: list[int]


class ChunkReleasedFrame(_Columns, tag=16):
    """Decisions about the held deliveries of a chunk, on `outcomes`: one state and reason byte per delivery; 0 means
    'not in this frame'."""

    chunk_id: bytes
    tenant: str
    channel: str
    at_ms: int
    states: bytes
    reasons: bytes


class ReceiptFrame(_Columns, tag=17):
    """Delivery receipts: a provider's later reports on deliveries it had accepted, on `outcomes`. `kinds` are those of
    `ports.receipts.Receipt`; `places` are chunk and index of broadcast deliveries, or None; `details` are the provider's
    own words."""

    channel: str
    provider: str
    vendor: str
    delivery_ids: list[bytes]
    tenants: list[str]
    places: list[tuple[bytes, int] | None]
    kinds: list[str]
    at_ms: list[int]
    details: list[str]
    user_ids: list[str]
    addresses: list[str]


class HealthFrame(_Columns, tag=18):
    """Changes of account health, on `outcomes`: `states` are those of `domain.account_health.AccountHealth`, `before`
    the previous states, `details` the reasons."""

    tenants: list[str]
    channels: list[str]
    providers: list[str]
    vendors: list[str]
    before: list[str]
    states: list[str]
    details: list[str]
    at_ms: list[int]


Event: TypeAlias = (
    AcceptedFrame
    | DeliverFrame
    | ChunkFrame
    | PlannedFrame
    | IntentFrame
    | AttemptedFrame
    | ChunkAttemptedFrame
    | CancelledFrame
    | ReplayedFrame
    | AdvanceFrame
    | ResumeFrame
    | SignalFrame
    | ProgressFrame
    | SeenFrame
    | OccurrenceFrame
    | ChunkReleasedFrame
    | ReceiptFrame
    | HealthFrame
)
