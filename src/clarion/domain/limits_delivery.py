"""Named bounds of delivery: calls, accounts, health, pace, retries, receipts. Sizes are in bytes, times in the unit of
the name."""

from typing import Final

ATTEMPT_DETAIL_CHARS_MAX: Final = 500
ATTEMPT_TIMEOUT_MS_MAX: Final = 60_000
"""The longest time-out of one attempt that a provider account may set: a slow provider occupies a sender that other
deliveries wait for."""
ATTEMPT_PAUSE_MS_MAX: Final = 24 * 3600 * 1000
"""The longest pause a provider can ask for."""
LOST_STARTS_MAX: Final = 10
"""Starts in a row lost to worker crashes, besides the retry policy, after which a delivery is parked as poison."""
RETRY_PAUSES_MAX: Final = 32
"""Steps of a retry schedule."""
AGE_MS_MAX: Final = 30 * 24 * 3600 * 1000
"""The longest period in which a delivery may be attempted."""
FALLBACK_TRIES_MAX: Final = 3
"""Failed passes after which a route falls back to its next channel instead of waiting for this one."""
PARK_MS_MIN: Final = 1_000
PARK_MS_MAX: Final = 5 * 60 * 1000
"""How long a delivery may be deferred at once when no account can take it."""
PARK_GROWTH: Final = 20
"""Above `PARK_GROWTH * PARK_MS_MAX` of waiting, a delivery may be deferred for `1 / PARK_GROWTH` of its wait."""
PARK_URGENT_MS_MAX: Final = 30 * 1000
"""`PARK_MS_MAX` for the lanes critical and high."""
VENDOR_MESSAGE_ID_CHARS_MAX: Final = 500
TOKENS_MAX: Final = 10_000
SLOW_BUILDS_MAX: Final = 2
"""Requests that are slow to build, such as signed mail, and slow renders that one process runs concurrently."""
MIME_SKELETONS_MAX: Final = 1_024
ATTACHMENT_FETCH_MS_MAX: Final = 10_000
ATTACHMENT_FETCHES_MAX: Final = 4
"""E-mails of a process whose files are fetched and sent at the same time: the files are held in memory."""
ATTACHMENT_RETRY_MS_MIN: Final = 60_000
ATTACHMENT_RETRY_MS_MAX: Final = 3_600_000
"""The pause between attempts of an e-mail whose file cannot be fetched."""
ATTACHMENTS_QUICK_BYTES_MAX: Final = 128 * 1024
"""Files that are encoded into a message within a few milliseconds."""

EGRESS_TIMEOUT_MS_DEFAULT: Final = 15_000
EGRESS_CONNECT_TIMEOUT_MS_DEFAULT: Final = 5_000
EGRESS_RESOLVE_TIMEOUT_MS: Final = 5_000
EGRESS_CONNECTIONS_MAX: Final = 64
EGRESS_CLIENTS_MAX: Final = 256
"""Origins an HTTP egress holds connections to; the least recently used one is closed first."""
EGRESS_INFLIGHT_MAX: Final = 1_024
"""Requests under way to one origin; further ones wait for a slot until their own time-out."""
EGRESS_ADDRESS_TTL_MS: Final = 30_000
"""How long connections use a checked address before its name is resolved and checked again."""
EGRESS_URL_CHARS_MAX: Final = 8_192
RESPONSE_BYTES_MAX: Final = 256 * 1024
SMTP_SESSIONS_MAX: Final = 16
"""Open sessions per SMTP account of one process."""
SMTP_SESSION_MESSAGES_MAX: Final = 200
SMTP_SESSION_IDLE_MS: Final = 30_000
SMTP_REPLY_BYTES_MAX: Final = 32 * 1024
SMTP_POOLS_MAX: Final = 1_024
VENDOR_KEYS_MAX: Final = 1_024
"""Loaded private keys and decoded secrets of provider accounts that are cached."""
DKIM_RSA_BITS_MIN: Final = 2_048
DKIM_RSA_BITS_MAX: Final = 4_096
"""Key sizes that receivers have to verify (RFC 8301 3.2)."""
DKIM_KEY_CHARS_MAX: Final = 4_096
"""Characters of the largest key in PEM."""

BATCH_LINGER_MS: Final = 5
"""How long a message waits for other messages while a call of the same kind is under way; without one, not at all."""
BATCH_CHARS_MAX: Final = 4 * 1024 * 1024
"""Content of a call. A character takes at most 6 bytes of JSON or 12 of a form, so a call stays below 50 MB."""
BATCH_MESSAGE_CHARS: Final = 1_024
"""Characters counted for a message in addition to its content: addresses, ids and headers."""
BATCH_ROUNDS_MAX: Final = 3
"""How often a call is repeated without the messages that the vendor rejected; the remaining ones are sent singly."""
BATCH_TIMEOUT_MS: Final = 30_000
"""Longer than for one message: some vendors check every message before they answer."""
BATCH_ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
POSTMARK_BATCH_MAX: Final = 500
SENDGRID_BATCH_MAX: Final = 1_000
MAILGUN_BATCH_MAX: Final = 1_000
SES_BATCH_MAX: Final = 50
SES_TEMPLATE_CHARS_MAX: Final = 100_000
"""A template may have 500 KB; a character takes at most 4 bytes."""

APPRISE_TIMEOUT_MS: Final = 30_000
"""The time-out of a whole message, regardless of the number of calls."""
APPRISE_CALLS_MAX: Final = 16
"""Calls a service may make for one message: sign-in, room lookup, one call for each target."""
APPRISE_THREADS_MAX: Final = 8
"""Threads that send: the library blocks, so each message occupies a thread until it is sent."""
APPRISE_ANSWER_BYTES_MAX: Final = 1 << 20
"""Size of one response. A list of rooms is longer than the response to a send."""
APPRISE_WORDS_MAX: Final = 8
"""Log lines of the library that are stored for one message."""
APPRISE_PROBE_CHARS: Final = 24
"""Length of the piece of a text by which a call is recognized as one that carries the text."""
APPRISE_CLOSING_MS: Final = 2_000
"""How long a message may take after its time-out to stop by itself."""

ACCOUNT_WEIGHT_MAX: Final = 1_000
ACCOUNTS_PER_CHANNEL_MAX: Final = 32
"""Accounts of one channel of a tenant that a delivery may try."""
VERIFY_TIMEOUT_MS: Final = 10_000
"""How long a provider may take to verify an account."""
OVERFLOW_WAIT_MS: Final = 10_000
"""The longest a delivery waits for an account's pace while another account has room."""
PACE_FIGURE_MAX: Final = 1_000_000_000
PACE_BURST_MS: Final = 500
"""The burst of `per_second`: the messages of half a second, at least one. So no second carries more than one and a half
times the limit."""
PACE_AHEAD_MS: Final = 50
"""Time whose share of `per_second` a worker draws ahead while half of the burst is left."""
PACE_DAY_AHEAD_MAX: Final = 100
"""Messages of `per_day` a worker draws ahead; when it crashes, the account loses the unused ones for that day."""
PACE_DAY_AHEAD_DIVISOR: Final = 100
"""At most this fraction of the day's remaining messages is drawn ahead."""
PACE_URGENT_SHARE: Final = 0.2
"""Share of the burst that the lanes normal and bulk leave to critical and high."""
PACE_PROMISED_SHARE: Final = 0.5
"""Share of the burst that new deliveries leave to deferred ones that return at their promised time."""
PACE_CALLS_FRESH_MS: Final = 200
"""How long a worker reuses ended calls of `concurrent` before it reports them, in case other workers need them."""
PACE_SPARE_DIVISOR: Final = 16
"""A worker with no call under way may hold on to up to this fraction of `concurrent`."""
PACE_CALLS_SPAN_MS: Final = 60_000
PACE_CALLS_SPANS: Final = 4
"""Calls under way are counted for three to four spans after their worker last reported; those of a dead worker occupy
slots for that time. Longer than any call takes, so no call is forgotten while it lasts."""
PACE_CALL_MS_DEFAULT: Final = 250
PACE_CALL_MS_MIN: Final = 10
PACE_CALL_MS_MAX: Final = 60_000
"""The assumed duration of calls: before one has ended, at least and at most."""
PACE_TURN_MS: Final = 2_000
"""How long `1 / PACE_TURN_DIVISOR` of `concurrent` is reserved for a worker that got no call."""
PACE_TURN_DIVISOR: Final = 4
PACE_LOCAL_MS: Final = 1_000
"""How long a worker applies limits alone before it retries a store that failed."""
PACE_LOCAL_DIVISOR: Final = 4
"""The fraction of each limit that a worker without the store uses."""
PACE_LOCAL_LOG_MS: Final = 60_000
PACE_LOCAL_BUCKETS_MAX: Final = 100_000
"""Recipients that a worker without the store remembers."""
PACE_ACCOUNTS_MAX: Final = 10_000
"""Accounts with limits that a process caches."""
PACE_SWEEP_MS: Final = 1_000
"""How often recipients whose interval has passed are deleted, one of 256 parts at a time."""
PACE_LOOK_MIN: Final = 16
"""Recipients of a batch that are looked up at least, even when `per_second` has room for fewer."""

HEALTH_CHECK_MS: Final = 200
"""How old a worker's cached account health may be."""
ACCOUNT_HEALTH_MAX: Final = 10_000
"""Accounts whose health a process caches."""
HEALTH_CHANGES_SHOWN_MAX: Final = 50
"""Changes of an account's health that the API returns."""
HEALTH_STORE_WAIT_MS: Final = 20
"""How long a worker waits for the account health store; it waits on its event loop."""
HEALTH_CLEAN_MS: Final = 1_000
"""How long a worker may delay the report of calls that all succeeded."""
HEALTH_EARLY_MS: Final = 100
"""How often a worker reads the health of accounts in use ahead, before the cached health is too old."""
HEALTH_USED_MS: Final = 2_000
"""How long after its last call an account counts as in use."""
HEALTH_FAILURES_UNREPORTED_MAX: Final = 5
"""Number of failures that a worker reports at once, without delay."""
HEALTH_CHANGES_MAX: Final = 1_000
"""Changes of account health that were not collected yet; the oldest are dropped."""
HEALTH_LOG_MS: Final = 60_000
"""How often a worker logs that the account health store fails."""
HEALTH_AHEAD_MS_MAX: Final = 5_000
"""Times further ahead than this date from an earlier boot of the machine."""
BREAKER_CALLS_MAX: Final = 1_000_000
BREAKER_WINDOW_MS_MAX: Final = 3_600_000
WINDOW_SLOTS: Final = 10
"""Slots of a window over which failures are counted."""
WINDOW_SLOT_MS_MIN: Final = 100
DEGRADED_SLOTS: Final = 30
"""Slots of the longer window over which an account counts as degraded."""
DEGRADED_UNTIL_SHARE: Final = 0.5
"""An account is degraded until its failures, or its calls, are below this share of the figure that made it degraded."""
OPENS_DOUBLED_MAX: Final = 20
"""How often the time before the next probe may double."""
PROBE_MS_MAX: Final = 60_000
"""How long a probe may be under way: longer than any call. After that another probe is made."""
PROBE_WAIT_MS: Final = 1_000
"""How long other deliveries are deferred while a probe is under way."""
THROTTLE_PAUSE_MS: Final = 1_000
"""The pause when a provider asks for one without a duration."""
THROTTLES_TO_PAUSE: Final = 3
"""Number of throttled calls in a row that pauses the account; fewer delay only their own messages."""
RECOVERY_SHARE: Final = 1.4
"""The pace of a recovering account, as a share of its pace before the failure."""
RECOVERY_PACE_M_MIN: Final = 10_000
"""The lowest such pace, in thousandths of a message per second."""
RECOVERY_BURST_MS: Final = 500
"""The burst of a recovering account: the messages that its pace allows in this time."""
RECOVERY_DOUBLING_MS: Final = 20 * 60 * 1000
"""The pace doubles after each such period, so that a backlog of hours is sent too."""
RECOVERY_DOUBLINGS_MAX: Final = 20
RECOVERY_QUIET_MS: Final = 60_000
"""An account has recovered when its pace delayed nothing for this time."""
MEASURE_MS_MIN: Final = 10_000
"""The shortest span over which the pace of calls is measured."""
MEASURE_MEMORY_MS: Final = 120_000
"""Calls older than this count less and less in the measured pace."""
RETRY_BUDGET_WAIT_MS: Final = 5_000
"""How long a retry waits when an account's budget for retries is spent."""
RETRY_BUDGET_SHARE: Final = 0.2
"""Retries per fresh attempt at an account."""
RETRY_BUDGET_MIN: Final = 100
"""The capacity for retries that an account has at least."""
RETRY_BUDGET_UNREPORTED_MAX: Final = 100
"""Number of fresh attempts of an account that are added to its budget at once."""
RETRY_BUDGET_MEMORY_MS: Final = 10_000
"""The span whose fresh attempts, with those of the span before it, set the capacity of an account's budget."""

RECEIPT_BODY_BYTES_MAX: Final = 1024 * 1024
RECEIPT_VALUES_MAX: Final = 100_000
"""Values of a provider's call; SendGrid sends about 20 per event, in calls of up to 768 KiB."""
RECEIPT_AGE_MS_MAX: Final = 3 * 24 * 3600 * 1000
"""How long a provider may repeat a receipt; older signed ones are refused."""
RECEIPT_AHEAD_MS_MAX: Final = 10 * 60 * 1000
"""How far a provider's clock may be ahead of the local clock."""
CALL_FIELDS_MAX: Final = 200
"""Fields of a form or query in a provider's call; the longest known has about forty."""
CALL_FORM_BYTES_MAX: Final = 64 * 1024
"""Bytes of such a form or query. It is parsed before its signature can be checked, which is slow for large ones; the
longest text of a person has 20 KB."""
INBOUND_TEXT_CHARS_MAX: Final = 4_096
"""Characters stored of a person's message: the longest text WhatsApp accepts."""
HANDSHAKE_CHARS_MAX: Final = 200
"""The longest challenge that is echoed; those of Meta have ten digits."""
SECONDS_DIGITS_MAX: Final = 11
"""Digits of Unix seconds; a number with more digits is in milliseconds, or invalid."""
RECEIPTS_REMEMBERED_MAX: Final = 100_000
"""Receipts an API process caches, so that a repeated one costs nothing."""
RECEIPTS_KEPT_MAX: Final = 100
"""Receipts of one kind stored in the timeline of one delivery: a recipient can open a mail any number of times."""
RECEIPT_ONCE_MS: Final = 24 * 3600 * 1000
"""How long a call's body digest is stored when the signature does not cover the body; older calls are refused."""
WORD_ONCE_MS: Final = 30 * 24 * 3600 * 1000
"""How long a person's STOP or START is stored durably: a repeated START would undo a STOP."""
RECEIPT_MATCH_WAIT_MS: Final = 2_000
"""How long a receipt waits for its delivery to be recorded; a provider can be faster than that."""
RECEIPT_MATCH_PAUSE_MS: Final = 100
"""The first pause between two lookups; each following one is twice as long."""
RECEIPT_WAITERS_MAX: Final = 100
"""Calls with receipts that wait for a delivery at the same time; further ones are processed without waiting."""
RECEIPT_CHUNKS_MAX: Final = 64
"""Chunks of broadcasts whose members are cached to match receipts."""
RECEIPT_KEYS_MAX: Final = 64
"""Keys (certificates) of providers that are cached."""
RECEIPT_KEY_TTL_MS: Final = 24 * 3600 * 1000
RECEIPT_KEY_BYTES_MAX: Final = 16 * 1024
RECEIPT_KEY_FETCHES_MAX: Final = 4
"""Fetches of such keys, and confirmations, under way at the same time."""
RECEIPT_FETCH_TIMEOUT_MS: Final = 5_000
RECEIPT_WARNING_MS: Final = 60_000
"""How often refused calls of one account are logged."""
RECEIPT_WARNINGS_MAX: Final = 1_000
"""Accounts whose last warning is remembered."""
MAILGUN_RECEIPT_AGE_MS_MAX: Final = 9 * 3600 * 1000
"""Mailgun repeats a call for eight hours with the same signature."""

REPLAY_CLAIM_MS: Final = 60_000
"""How long a dead letter claimed for a replay is unavailable to other replays when the claimant crashes."""
REPLAY_EDIT_BYTES_MAX: Final = 256 * 1024
"""An edit of a replay, as JSON."""
REPLAY_LETTERS_MAX: Final = 10_000
"""Dead letters that one call examines; its response contains the cursor for the next call."""
REPLAY_PAGE_LETTERS: Final = 200
"""Dead letters that are claimed and appended to the journal together."""
REPLAY_LEFT_MAX: Final = 100_000
"""Dead letters that are counted after the last one a replay examined."""
REPLAY_AHEAD_MS_MAX: Final = 366 * 24 * 3600 * 1000
"""How far ahead a continued replay may begin."""
REPLAY_RATE_MAX: Final = 10_000
REPLAY_RATE_MIN: Final = 0.01
"""Bounds of the rate of a replay, in deliveries per second."""
