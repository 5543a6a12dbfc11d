"""Named bounds of requests and definitions. Sizes are in bytes, times in the unit of the name."""

from typing import Final

BODY_BYTES_MAX: Final = 1024 * 1024
BATCH_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
BODY_WAIT_MS_MAX: Final = 30_000
"""How long a caller may take to send a body, or the next part of a streamed one."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers of one request."""
HEADERS_MAX: Final = 100
TARGET_BYTES_MAX: Final = 16 * 1024
"""Path and query of one request."""
HEAD_WAIT_MS_MAX: Final = 10_000
"""How long a connection may take to send the request line and headers."""
RESPONSE_WAIT_MS_MAX: Final = 30_000
"""How often a client that has not taken its whole response is checked."""
RESPONSE_BYTES_PER_S_MIN: Final = 256
"""What such a client has to take between two checks, on average."""
RESPONSE_TOTAL_MS_MAX: Final = 10 * 60 * 1000
"""How long a client may take for what was unsent at a check."""
BODY_BYTES_PER_S_MIN: Final = 256
"""How fast a body has to come, on average, after `BODY_GRACE_MS`."""
BODY_GRACE_MS: Final = 5_000
BODY_TOTAL_MS_MAX: Final = 3600 * 1000
"""How long a streamed body may take in all."""
CHUNK_OVERHEAD_BYTES_MAX: Final = 64 * 1024
"""What a chunked body may have besides its content: chunk sizes, extensions, trailers. As many bytes as it has content
are allowed in addition."""
CHUNK_TINY_BYTES_MAX: Final = 3
"""Size of a chunk that is tiny: parsing one takes as long as parsing hundreds of bytes."""
CHUNKS_TINY_MAX: Final = 4_096
"""Tiny chunks of one body."""
CHUNKED_PART_BYTES_MAX: Final = 16 * 1024
"""Bytes of a chunked body that are parsed before its chunks are checked."""
BULK_LINE_BYTES_MAX: Final = 256 * 1024
BULK_LINE_VALUES_MAX: Final = 10_000
"""Values of one line of a bulk import."""
BULK_ERRORS_MAX: Final = 1_000
BODY_VALUES_MAX: Final = 30_000
"""Values of one JSON body, and of one notification of a batch."""
BATCH_VALUES_MAX: Final = 300_000
"""Brackets and commas of the body of a batch: at least the number of its values."""
QUERY_FIELDS_MAX: Final = 100
"""Parameters in the query of one request."""
JSON_DEPTH_MAX: Final = 64
ITEM_DEPTH_MAX: Final = JSON_DEPTH_MAX + 8
"""Levels of an item of a batch that is decoded: enough for the field that exceeds `JSON_DEPTH_MAX` to be named."""
RECIPIENTS_MAX: Final = 1_000
BATCH_ITEMS_MAX: Final = 1_000
FANOUT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Data of one request times its recipients: planning copies the data for each recipient."""
FANOUT_VALUES_MAX: Final = 1_000_000
"""Brackets and commas of the data of one request times its recipients."""
PAGE_ITEMS_MAX: Final = 200
PAGE_ITEMS_DEFAULT: Final = 50
EXPLAIN_RECIPIENTS_MAX: Final = 20
"""Recipients of one explanation: the content for each of them is rendered."""

KEY_CHARS_MAX: Final = 128
"""Keys of templates, topics, categories and providers, and ids of users and devices."""
IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
IDEMPOTENCY_TTL_MS: Final = 24 * 3600 * 1000
ORDERING_KEY_CHARS_MAX: Final = 128
CANCELLATION_KEY_CHARS_MAX: Final = 255
CANCELLATION_KEY_TTL_MS: Final = 30 * 24 * 3600 * 1000
"""How long after its send time a notification can be cancelled by its key; for workflows `WAIT_MS_MAX` longer."""
CANCELLATIONS_PER_CALL_MAX: Final = 10_000
"""Notifications one call cancels by key; the response states when there are more."""
DATA_BYTES_MAX: Final = 256 * 1024
METADATA_KEYS_MAX: Final = 50
METADATA_VALUE_CHARS_MAX: Final = 500
NAME_CHARS_MAX: Final = 200
SCHEDULE_AHEAD_MS_MAX: Final = 365 * 24 * 3600 * 1000
LOCAL_LATE_MS_MAX: Final = 3600 * 1000
"""How late a notification for the recipient's local time may be sent."""
INSTANT_MS_MAX: Final = 253_402_214_400_000
"""The last day of the year 9999 in UTC: a later instant cannot be written in every zone."""
YEAR_MS: Final = 365 * 24 * 3600 * 1000

ADDRESS_CHARS_MAX: Final = 4_096
EMAIL_CHARS_MAX: Final = 254
CONTACTS_PER_CHANNEL_MAX: Final = 10
"""Additional addresses of a user on one channel."""
DEVICES_PER_USER_MAX: Final = 50
ATTRIBUTES_BYTES_MAX: Final = 32 * 1024
TOPIC_MEMBERS_PER_CALL_MAX: Final = 10_000
TOPICS_PER_LINE_MAX: Final = 100
CATEGORIES_PER_TENANT_MAX: Final = 500
PREFERENCE_RULES_MAX: Final = 1_000
"""Category x channel entries of one user."""
SUPPRESSION_TTL_MS_MAX: Final = 100 * 365 * 24 * 3600 * 1000
"""How far ahead a suppression may end; a later date may not be representable."""

TENANT_CHARS_MAX: Final = 63
KEY_TTL_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
SCOPES_PER_KEY_MAX: Final = 32
KEY_OVERLAP_S_MAX: Final = 30 * 24 * 3600
"""How long a key stays valid beside the one that replaces it."""
NETWORKS_PER_KEY_MAX: Final = 32
"""Networks that one key may be used from."""
OPERATOR_KEY_CHARS_MIN: Final = 16
OPERATOR_KEY_FILE_BYTES_MAX: Final = 4_096
USER_TOKEN_TTL_S_MAX: Final = 24 * 3600
USER_TOKEN_TTL_S_DEFAULT: Final = 3600
USER_TOKEN_LEEWAY_S: Final = 60
"""How far ahead of this process's clock a user token may have been issued."""
USER_TOKEN_CHARS_MAX: Final = 4_096
CREDENTIAL_CHARS_MAX: Final = 64 * 1024
"""Characters of one credential; the longest known is a private key in PEM."""
SECRET_REFERENCE_CHARS_MAX: Final = 512
SECRET_BYTES_MAX: Final = 64 * 1024
"""Size of a secret that is given by reference."""
VAULT_MOUNTS_MAX: Final = 1_000
"""Mounts of HashiCorp Vault whose version a process caches."""
QUOTA_FIGURE_MAX: Final = 10**12
REQUESTS_PER_S_MAX: Final = 1_000_000
REQUESTS_BURST_MAX: Final = 1_000_000
"""The largest limit on requests."""
"""The largest number in a quota."""

DEFINITIONS_PER_KIND_MAX: Final = 1_000
"""Workflows, segments, schedules or event rules of one tenant."""
DOCUMENTS_PAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Documents read at once for a list, by the size of their bodies."""
NEEDS_ROUNDS_MAX: Final = 32
"""Rounds in which the facts of one decision are gathered: each may name more documents to read."""
DECISION_TRIES_MAX: Final = 24
"""Times that a change is decided anew because other writers changed what it was based on."""
REFERRERS_SHOWN_MAX: Final = 5
"""Definitions named in the refusal to remove what they refer to."""
REASON_CHARS_MAX: Final = 500
AUDITED_TEXT_CHARS_MAX: Final = 1_000
"""A text in the audit; of a longer one, its digest is stored."""
AUDIT_ROWS_READ_MAX: Final = 10_000
"""Rows of the audit that one page looks at for those asked for."""
AUDIT_PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""What the rows of a page of the audit say of before and after, together; one row may be larger."""
DEFINITION_BYTES_MAX: Final = 256 * 1024
EXPRESSION_CHARS_MAX: Final = 1_000
EXPRESSION_WORK_MAX: Final = 20_000_000
"""Work units of one evaluation, about five nanoseconds each."""
ROUTE_DEPTH_MAX: Final = 4
ROUTE_MEMBERS_MAX: Final = 8
CAPS_PER_CATEGORY_MAX: Final = 8
CAP_PER_MS_MIN: Final = 60_000
CAP_GAP_MS_MIN: Final = 1_000
"""A cap allows at most one notification per second, because its times are stored in seconds."""
QUIET_WINDOWS_MAX: Final = 20
HOLD_MS_MAX: Final = 7 * 24 * 3600 * 1000

WORKFLOW_STEPS_MAX: Final = 100
WORKFLOW_EXPRESSIONS_MAX: Final = 300
"""Expressions of one workflow: in the worst case an instance evaluates all of them in one move."""
WORKFLOW_NAMES_MAX: Final = 100
"""Names under `variables` of a workflow, and under `data` or `values` of one of its steps."""
WAIT_MS_MAX: Final = YEAR_MS
"""The longest delay, digest window or wait of a workflow."""
INSTANCE_STEPS_MAX: Final = 1_000
"""Steps an instance may run; the graph has no cycles, so only a defect in the code reaches this number."""
INSTANCE_BYTES_MAX: Final = 1024 * 1024
"""State of one workflow instance: data, variables and results together."""
DIGEST_ITEMS_MAX: Final = 1_000
"""Events of one digest; the event that fills the digest closes it."""
DIGEST_BYTES_MAX: Final = INSTANCE_BYTES_MAX // 2
"""Data of all events of one digest together; the event that fills the digest closes it."""
THROTTLE_LIMIT_MAX: Final = 1_000
"""How often a throttle step may let a user pass in its period: the time of each pass is stored."""
FETCH_BODY_BYTES_MAX: Final = 64 * 1024
FETCH_TIMEOUT_MS_MAX: Final = 60_000
FETCH_ATTEMPTS_MAX: Final = 10
FETCH_PAUSE_MS_MAX: Final = 60_000
"""The longest pause before a failed fetch is retried."""
FETCH_HEADERS_MAX: Final = 20
FETCH_HEADER_CHARS_MAX: Final = 4_096

CRON_CHARS_MAX: Final = 200
RRULE_CHARS_MAX: Final = 500
RECURRENCE_DAYS_MAX: Final = 30 * 366
"""How far ahead the next occurrence of a rule is searched for; without one by then, the rule has ended."""
RECURRENCE_COUNT_MAX: Final = 1_000
"""Occurrences of a rule with COUNT: they are counted from its start."""
RECURRENCE_INTERVAL_MAX: Final = 1_000_000
SCHEDULE_START_YEARS: Final = range(2000, 2100)
SCHEDULE_TOO_LATE_MS_MAX: Final = 7 * 24 * 3600 * 1000
SCHEDULE_PREVIEW_TIMES: Final = 10

FILTER_DEPTH_MAX: Final = 8
FILTER_NODES_MAX: Final = 100
FILTER_VALUES_MAX: Final = 1_000
"""Values that one filter compares with, in all its `in` lists together."""
FILTER_CONTAINS_MAX: Final = 10
"""Uses of `contains` in one filter: each scans whole lists of a user."""
FILTER_TEXT_CHARS_MAX: Final = 1_000
"""Characters of a text that an attribute is compared with."""
SEEN_WITHIN_MS_MAX: Final = 10 * YEAR_MS
SEGMENT_SAMPLE_USERS: Final = 10
"""Users listed in a preview."""

EVENT_NOTIFICATIONS_MAX: Final = 100
"""Notifications that one event may create."""
EVENT_RULE_NOTIFY_MAX: Final = 50
EVENT_RULE_EXPRESSIONS_MAX: Final = 200
"""Expressions of one event rule: all of them may be evaluated before the event loop serves other requests."""
EVENT_WORK_MS_MAX: Final = 1_000
"""How long all rules for one event may take together; an event that takes longer is refused."""

ORIGINS_MAX: Final = 100
"""Origins whose pages may call the API with a tenant's user tokens."""
PREFLIGHT_S_MAX: Final = 7_200
"""How long browsers remember a preflight; it is the same for all pages and requests."""
