"""Every named bound. Sizes in bytes, times in the unit of the name."""

from typing import Final

BODY_BYTES_MAX: Final = 1024 * 1024
BATCH_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
LOOP_BATCH_BYTES_MAX: Final = 256 * 1024
"""Items of a batch that are read, checked and encoded on the event loop. Larger batches are worked on in a thread."""
METERED_BODY_BYTES_MIN: Final = 8 * 1024
"""Size of a request's body from which on the CPU of answering it is told."""
BULK_LINE_BYTES_MAX: Final = 256 * 1024
BULK_ERRORS_MAX: Final = 1_000
JSON_DEPTH_MAX: Final = 64
RECIPIENTS_MAX: Final = 1_000
BATCH_ITEMS_MAX: Final = 1_000
PAGE_ITEMS_MAX: Final = 200
PAGE_ITEMS_DEFAULT: Final = 50

KEY_CHARS_MAX: Final = 128
"""Keys of templates, topics, categories, providers and ids of users and devices."""
IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
IDEMPOTENCY_TTL_MS: Final = 24 * 3600 * 1000
ORDERING_KEY_CHARS_MAX: Final = 128
ADDRESS_CHARS_MAX: Final = 4_096
EMAIL_CHARS_MAX: Final = 254
DEVICES_PER_USER_MAX: Final = 50
ATTRIBUTES_BYTES_MAX: Final = 32 * 1024
DATA_BYTES_MAX: Final = 256 * 1024
METADATA_KEYS_MAX: Final = 50
METADATA_VALUE_CHARS_MAX: Final = 500
TEMPLATE_BYTES_MAX: Final = 1024 * 1024
TOPIC_MEMBERS_PER_CALL_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 200
SUBJECT_CHARS_MAX: Final = 998
SCHEDULE_AHEAD_MS_MAX: Final = 365 * 24 * 3600 * 1000

CHUNK_DELIVERIES_MAX: Final = 1_000
FRAME_RECORDS_MAX: Final = 500
FRAME_RECIPIENTS_MAX: Final = 1_000
"""Recipients of the requests in one accepted frame, as many as one request may have: what is planned at a stretch."""
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
PARTITIONS_MAX: Final = 256

RENDER_OUTPUT_BYTES_MAX: Final = 512 * 1024
RENDER_LOOP_MAX: Final = 10_000
RENDER_NAMESPACE_BYTES_MAX: Final = 1024 * 1024
RENDER_DEPTH_MAX: Final = 20

ATTEMPT_DETAIL_CHARS_MAX: Final = 500
RESPONSE_BYTES_MAX: Final = 256 * 1024
EGRESS_TIMEOUT_MS_DEFAULT: Final = 15_000
EGRESS_CONNECT_TIMEOUT_MS_DEFAULT: Final = 5_000
EGRESS_CONNECTIONS_MAX: Final = 64

USER_TOKEN_TTL_S_MAX: Final = 24 * 3600
USER_TOKEN_TTL_S_DEFAULT: Final = 3600
USER_TOKEN_CHARS_MAX: Final = 4_096

LEASE_TTL_MS_DEFAULT: Final = 10_000
INTENT_ENTRIES_PER_READ_MAX: Final = 1_000
"""Commits of a delivery worker whose open intents one read returns."""
LEASE_STEP_MS: Final = 1_000
"""How often leases are renewed and missing ones asked for."""
LEASE_LOAN_MS: Final = 30_000
"""How long a partition preferred by another worker is kept before it is offered back."""

JOURNAL_QUEUE_JOBS_MAX: Final = 1_024
"""Appends waiting for the next commit of one process."""
WAKE_PIPES_MAX: Final = 256
"""Processes of one machine that a commit wakes; more look for themselves."""
JOURNAL_READ_BYTES_MAX: Final = 16 * 1024 * 1024
CANCELLATIONS_PER_READ_MAX: Final = 10_000
TRIM_ROWS_PER_COMMIT_MAX: Final = 200
LEASE_TTL_MS_MAX: Final = 5 * 60 * 1000
"""Also how long a lease left over from before a reboot can be mistaken for a live one."""

ADDRESS_CACHE_MAX: Final = 65_536
"""Checked addresses and domains a process remembers."""
BULK_BATCH_LINES: Final = 2_000
"""Lines of a bulk import stored in one transaction."""
CATEGORIES_PER_TENANT_MAX: Final = 500
PREFERENCE_RULES_MAX: Final = 1_000
"""Category x channel entries of one user."""
TOPICS_PER_LINE_MAX: Final = 100
DIRECTORY_CACHE_MAX: Final = 10_000
"""Definitions of each kind a process keeps decoded."""
CALLERS_KEPT_MAX: Final = 10_000
"""API keys whose owners an API process knows without asking; when there are more, all are asked for again."""
DOOR_DEFINITIONS_MAX: Final = 10_000
"""Definitions the door keeps at hand for all tenants together; when there are more, all are asked for again."""
PROFILE_CACHE_MAX: Final = 50_000
REVISION_CHECK_MS: Final = 200
"""How old a cached definition may get before the store is asked whether anything changed."""
REVISION_LEARN_MS: Final = 100
"""How often a process learns, beside its work, which definitions were changed elsewhere."""
KEY_TTL_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
SCOPES_PER_KEY_MAX: Final = 32
DERIVED_KEYS_MAX: Final = 1_024
"""Keys derived from the master key that a process remembers."""

SETTINGS_MAX: Final = 10_000
"""Combinations of template, category and channels a planner keeps ready."""
GATES_MAX: Final = 500_000
"""Profile verdicts a planner keeps ready."""

EGRESS_CLIENTS_MAX: Final = 256
"""Origins an HTTP egress keeps connections to; the least recently used one goes first."""
EGRESS_INFLIGHT_MAX: Final = 1_024
"""Requests under way to one origin; more wait for a place until their own time-out."""
EGRESS_ADDRESS_TTL_MS: Final = 30_000
"""How long a checked address is connected to before its name is resolved and checked again."""
EGRESS_RESOLVE_TIMEOUT_MS: Final = 5_000
EGRESS_URL_CHARS_MAX: Final = 8_192
SMTP_SESSIONS_MAX: Final = 16
"""Open sessions per SMTP account of one process."""
SMTP_SESSION_MESSAGES_MAX: Final = 200
SMTP_SESSION_IDLE_MS: Final = 30_000
SMTP_REPLY_BYTES_MAX: Final = 32 * 1024
SMTP_POOLS_MAX: Final = 1_024
VENDOR_KEYS_MAX: Final = 1_024
"""Loaded private keys and decoded secrets of provider accounts kept in memory."""
DKIM_RSA_BITS_MIN: Final = 2_048
DKIM_RSA_BITS_MAX: Final = 4_096
"""What receivers have to verify (RFC 8301 3.2)."""
DKIM_KEY_CHARS_MAX: Final = 4_096
"""Room for the largest key in PEM."""
SLOW_BUILDS_MAX: Final = 2
"""Requests that take their time to build, such as signed mail, and slow renders, made at once by one process."""
MIME_SKELETONS_MAX: Final = 1_024
SIMULATOR_KEYS_MAX: Final = 1_000_000
"""Delivery keys whose arrivals the simulator counts; the oldest is forgotten first."""
SIMULATOR_STREAMS_MAX: Final = 256
SIMULATOR_BODY_BYTES_MAX: Final = 4 * 1024 * 1024

RENDER_CPU_MS_MAX: Final = 120
LOOP_RENDER_CPU_MS_MAX: Final = 25
"""CPU that rendering one delivery may use on an event loop. What needs more is rendered in a thread from its start."""

LOST_STARTS_MAX: Final = 10
"""Starts lost to a dying worker, beyond the retry policy, after which a delivery is parked as poison."""
COMPILED_TEMPLATES_MAX: Final = 5_000
TOKENS_MAX: Final = 10_000

DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024

REPLAY_CLAIM_MS: Final = 60_000
"""How long a dead letter claimed for replay is closed to other replays when the claimant dies on the way."""
RECORD_BATCH_EVENTS_MAX: Final = 2_000
RECORD_OPEN_ROWS_MAX: Final = 20_000
"""Open deliveries a record worker remembers between batches."""
RECORD_OPEN_CHUNKS_MAX: Final = 1_000
"""Open chunks a record worker remembers between batches."""
RECORD_DOUBT_BATCHES: Final = 100
"""Batches whose planned deliveries are looked for after one had a row already, as many may once a hold ends for all."""
RECORD_COMMIT_MS: Final = 1_000
"""How often the journal is told what has been folded, so that it can let go of it."""
CAPTURES_PER_TENANT_MAX: Final = 10_000
CAPTURE_AGE_MS_MAX: Final = 7 * 24 * 3600 * 1000
HISTORY_SCAN_MAX: Final = 2_000
"""Notifications looked at for one page of a filtered list; the page says where to go on."""
INBOX_SCAN_MAX: Final = 200
"""Broadcasts looked at for one page of an inbox."""
INBOX_COUNT_MAX: Final = 1_000
"""Items looked at, newest first, for the counts of an inbox."""
COUNTER_ROWS_MAX: Final = 10_000
JOURNAL_LOOK_BACK_MS: Final = 1_000
"""How far before an id's time the journal is searched for its frame: clocks of processes differ a little."""
JOURNAL_LOOK_AHEAD_MS: Final = 30_000
"""How long after an id's time its frame may have been appended: a full disk can hold an append up."""

BACKLOG_CHECK_MS: Final = 200
"""How old the figure may be by which a request is refused for overload."""
BACKLOG_LOW_CHECK_MS: Final = 1_000
"""How old it may be while less waits than this share of what may."""
BACKLOG_LOW_SHARE: Final = 0.5

CRASHES_IN_A_ROW_MAX: Final = 6
"""Starts of a process that may fail one after the other before `clarion up` gives up."""
RESTART_PAUSE_S_MAX: Final = 5.0
CREDENTIAL_CHARS_MAX: Final = 64 * 1024
"""Characters of one credential; a private key in PEM is the longest there is."""
BROADCAST_CHUNKS_PER_PAGE_MAX: Final = 50
"""Chunks looked at for one page of a broadcast's deliveries."""
ITEM_DEPTH_MAX: Final = 4 * JSON_DEPTH_MAX
"""Levels of a batch that are decoded at all; far enough over `JSON_DEPTH_MAX` that what was cut is still refused."""

FANOUT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Data of one request times its recipients: planning copies the data for each of them."""
BODY_WAIT_MS_MAX: Final = 30_000
"""How long a caller may take to send a body, or the next piece of a streamed one."""
ATTEMPT_TIMEOUT_MS_MAX: Final = 60_000
"""The longest a provider account may let one attempt take: a slow provider holds a sender that others wait for."""
ATTEMPT_PAUSE_MS_MAX: Final = 24 * 3600 * 1000
"""The longest pause a provider can ask for."""
VENDOR_MESSAGE_ID_CHARS_MAX: Final = 500
SUPPRESSION_TTL_MS_MAX: Final = 100 * 365 * 24 * 3600 * 1000
"""A time further off may be none that can be written."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers of one request."""
HEAD_WAIT_MS_MAX: Final = 10_000
"""How long a connection may take to send them."""
STRANGER_WARNING_MS: Final = 60_000
"""How often the log tells of requests that are none."""
BODIES_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bodies of all requests that one API process works on at a time."""
PATH_CHARS_SHOWN_MAX: Final = 200
BULK_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Lines of a bulk import stored in one transaction, by their size."""
OPERATOR_KEY_CHARS_MIN: Final = 16
