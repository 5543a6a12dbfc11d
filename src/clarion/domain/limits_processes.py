"""Named bounds of the caches, reads and waits of processes. Sizes are in bytes, times in the unit of the name."""

from typing import Final

CHUNK_DELIVERIES_MAX: Final = 1_000
FRAME_RECORDS_MAX: Final = 500
FRAME_RECIPIENTS_MAX: Final = 1_000
"""Recipients of the requests in one accepted frame, which is planned without interruption; as many as one request may
have."""
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
PARTITIONS_MAX: Final = 64
"""A partition holds one slot of ids at least."""
REGROUP_ROWS_PER_READ_MAX: Final = 1_000
"""Rows in memory at once while the number of partitions changes."""
REGROUP_FRAMES_PER_READ_MAX: Final = 64
REGROUP_RECORD_S_MAX: Final = 30
"""How long nothing at all may be recorded before such a change is given up."""
PARTITIONS_OF_A_DATABASE: Final = 8
"""Partitions of a new journal on a database server, unless they are set."""
LEASE_TTL_MS_DEFAULT: Final = 10_000
LEASE_TTL_MS_MAX: Final = 5 * 60 * 1000
"""Also how long a lease from before a reboot can be mistaken for a live one."""
LEASE_STEP_MS: Final = 1_000
"""How often leases are renewed and missing ones are requested."""
LEASE_LOAN_MS: Final = 30_000
"""How long a borrowed partition, preferred by another worker, is held before it is released."""
ENROLLED_MS: Final = 60_000
"""How long a process counts as at work after it last said so."""
ENROLLMENT_MS: Final = 20_000
"""How often a process says that it is at work, and asks up to which level all read."""
ROLE_MISSING_MS: Final = 10_000
"""How long nobody does a role before it is missing: a process that starts again takes less."""
ROLES_LOOK_MS: Final = 5_000
"""How often an API process looks who is at work."""
CARRIED_ROWS_MAX: Final = 2_000
"""Rows that one transaction of a migration to another store holds."""
CARRIED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of texts and values from which such a transaction takes no more rows."""
JOURNAL_QUEUE_JOBS_MAX: Final = 1_024
"""Appends waiting for the next commit of one process."""
JOURNAL_READ_BYTES_MAX: Final = 16 * 1024 * 1024
JOURNAL_LOOK_BACK_MS: Final = 1_000
"""How far before an id's time the journal is searched for its frame: the clocks of processes differ slightly."""
JOURNAL_LOOK_AHEAD_MS: Final = 30_000
"""How long after an id's time its frame may have been appended: a full disk can delay an append."""
WAKE_PIPES_MAX: Final = 256
"""Processes of one machine that a commit wakes; further ones poll."""
TRIM_ROWS_PER_COMMIT_MAX: Final = 200
INTENT_ENTRIES_PER_READ_MAX: Final = 1_000
"""Commits of a delivery worker whose open intents one read returns."""
CANCELLATIONS_PER_READ_MAX: Final = 10_000
CANCELLATIONS_PER_APPEND_MAX: Final = 1_000

SECURITY_LINES_MAX: Final = 60
"""Lines of the security log that one process writes of one event in `SECURITY_LINES_MS`."""
SECURITY_LINES_MS: Final = 60_000
BODIES_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bodies of all requests with a credential that one API process handles at the same time."""
TENANT_BODIES_BYTES_MAX: Final = 128 * 1024 * 1024
"""Those of one tenant."""
USER_REQUESTS_MAX: Final = 50
"""Requests of one user token's user that one API process handles at the same time."""
USER_BODIES_BYTES_MAX: Final = 4 * 1024 * 1024
OPERATOR_REQUESTS_MAX: Final = 100
"""Requests with the operator key that one API process handles at the same time, besides `api.max_requests`."""
OPERATOR_BODIES_BYTES_MAX: Final = 16 * 1024 * 1024
REQUEST_RATES_KEPT_MAX: Final = 10_000
"""Keys, tenants, users and peers, each, whose use of a limit on requests a process keeps."""
PEERS_KEPT_MAX: Final = 10_000
"""Addresses whose networks a process caches."""
HEADER_LINES_KEPT_MAX: Final = 1_024
"""Lines of headers of responses that an API process caches."""
REQUEST_POLICIES_KEPT_MAX: Final = 128
"""Limits on requests whose header an API process caches."""
NETWORK_PEERS: Final = 8
"""Limits of one peer that all peers of an IPv6 /48 have together."""
CREDENTIAL_DELAY_MS_MIN: Final = 1_000
"""How long a peer waits after the first refused credential that is not free; each further one doubles it."""
CREDENTIAL_DELAY_MS_MAX: Final = 60_000
CREDENTIAL_QUIET_MS: Final = 15 * 60 * 1000
"""How long after its last wait a peer's refused credentials are forgiven."""
CREDENTIAL_PEERS_KEPT_MAX: Final = 10_000
"""Peers whose refused credentials a process keeps."""
CREDENTIALS_KNOWN_MAX: Final = 20_000
"""API keys, and user tokens, that a process knows to have been valid: at least as many, and at most twice."""
CREDENTIAL_CHECKS_MAX: Final = 100
"""Credentials not yet known that a process looks up at the same time."""
TOKENS_REFUSED_PER_S: Final = 20
"""User tokens of one peer that are refused a second before its unknown tokens have to wait."""
TOKENS_REFUSED_AT_ONCE: Final = 200
PUBLIC_REQUESTS_MAX: Final = 1_000
"""Requests to routes that need no credential that one API process handles at the same time, besides `api.max_requests`."""
PUBLIC_REQUESTS_PER_PEER_MAX: Final = 250
"""Those of one peer: an IPv4 address, or the first 64 bits of an IPv6 address."""
PUBLIC_BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bodies of all requests to routes that need no credential that one API process handles at the same time."""
PUBLIC_BODIES_PER_PEER_BYTES_MAX: Final = 8 * 1024 * 1024
HEALTH_REQUESTS_MAX: Final = 100
"""Requests for health and metrics that one API process handles at the same time, besides all others."""
HEALTH_REQUESTS_PER_PEER_MAX: Final = 20
PIPELINED_BYTES_MAX: Final = 256 * 1024
"""Bytes that one connection holds of requests sent ahead of the response under way: one read of the event loop."""
PIPELINED_TOTAL_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes that all connections of one API process hold of requests sent ahead."""
CONNECTIONS_MAX: Final = 4_096
"""Connections to one API process, if it may open as many files."""
CONNECTIONS_PER_PEER_MAX: Final = 2_048
"""Those of one IPv4 address or IPv6 /64."""
CONNECTIONS_CLOSED_SHARE: Final = 1 / 32
"""Share of a peer's connections that are closed at a time, idle ones, to make room for new ones."""
NONE_IDLE_MS: Final = 100
"""How long no idle connection is sought again after none was found; new ones are refused meanwhile."""
HEALTH_CONNECTIONS_MAX: Final = 100
"""Connections to the listener for health."""
OPEN_FILES_BESIDE_CONNECTIONS: Final = 512
"""Files that an API process may open besides its connections: databases, calls to providers, pipes."""
KEEP_ALIVE_MS_MAX: Final = 75_000
"""How long a connection may be idle between two requests."""
LINGER_MS_MAX: Final = 30_000
"""How long the API reads what a client still sends after its request was refused: a connection that is closed with
unread data is reset, and the client would not see the response."""
LINGER_SILENCE_MS_MAX: Final = 5_000
"""How long it waits for more of that."""
LINGER_AT_STOP_MS_MAX: Final = 500
"""How long it does either while the process stops."""
LINGER_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much of that it reads, or of a body whose request is answered already."""
LINGERING_PER_PEER_MAX: Final = 32
"""Connections of one peer for which it does so at a time; others are closed at once."""
INTERPRETER_SWITCH_MS: Final = 0.5
"""How long a thread of the API that computes keeps the interpreter's lock while another one waits for it. At Python's 5
ms, each system call of the event loop would wait as long beside a thread that reads a large batch."""
ACCEPTS_PER_TURN_MAX: Final = 16
"""Connections that are accepted in one turn of the event loop."""
ARRIVALS_PER_TURN_MAX: Final = 2
"""Connections that are begun in one turn of the event loop."""
ARRIVAL_PEERS_KEPT_MAX: Final = 10_000
"""Peers whose new connections a process counts."""
ARRIVAL_PAUSE_MS: Final = 10
"""How long new connections of a peer wait that has too many TLS handshakes under way."""
LATE_SHARE_OF_PEER: Final = 8
"""The part of the connections above the rates of their peers that may be of one peer: one in so many. A peer from which a
valid credential came lately may have all of them."""
HELD_SHARE_OF_PEER: Final = 2
"""The same for a peer within its rate that has too many TLS handshakes under way."""
VOUCHED_MS: Final = 60_000
"""How long an address has a higher rate of new connections after one of them brought a valid credential."""
VOUCHED_RATE_FACTOR: Final = 8
"""How many times as high it is."""
CONNECTIONS_WAITING_SHARE: Final = 1 / 2
"""Connections that wait for their turn, and those above the rate of their peers that wait for longer, as a share of those
that a process may have."""
TLS_CONNECTION_COST: Final = 4
"""New TLS connections count as so many others: a handshake takes as much time."""
STOPPING_RETRY_S: Final = 1
"""When a client may repeat a request that was refused because the process stops."""
STOP_SHARE: Final = 0.7
"""Share of `workers.drain_timeout_ms` that responses under way get when the API process stops."""
STORE_WAIT_MS_MAX: Final = 2_000
"""The longest pause of a loop between two tries to use a store that does not answer."""
UNSENT_BYTES_MAX: Final = 64 * 1024
"""Bytes of responses that a connection may have unsent when its next request begins."""
TLS_HANDSHAKE_MS_MAX: Final = 60_000
"""The longest time that may be configured for a TLS handshake."""
TLS_HANDSHAKES_MAX: Final = 250
"""TLS handshakes under way in an API process; a further one waits, or ends the oldest after `TLS_HANDSHAKE_GRACE_MS`. The
event loop may have to do a step of all of them at once."""
TLS_HANDSHAKES_PER_PEER_MAX: Final = 125
"""Those of one IPv4 address or IPv6 /64; a further one waits, or ends the oldest of these."""
TLS_HANDSHAKE_GRACE_MS: Final = 1_000
"""How long a handshake may take before it can be ended for another one."""
TLS_HANDSHAKE_VOUCHED_GRACE_MS: Final = 5_000
"""The same for a vouched address: many honest clients that connect at once take longer."""
TLS_CLOSE_MS_MAX: Final = 5_000
"""How long a client may take to confirm the end of a TLS connection."""
TLS_CONTEXT_MS_MAX: Final = 24 * 3600 * 1000
"""How long the keys that encrypt TLS session tickets are used."""
ACCEPT_PAUSE_MS: Final = 1_000
"""How long no connection is accepted after one could not be: mostly too many files are open."""
PEM_FILE_BYTES_MAX: Final = 1024 * 1024
"""Size of a certificate, key or CA file."""
CERTIFICATE_WARNING_MS: Final = 14 * 24 * 3600 * 1000
"""How long before its end a certificate is reported daily."""
TRUSTED_PROXIES_MAX: Final = 100
PROXY_ADDRESSES_MAX: Final = 10_000
"""Addresses in `X-Forwarded-For` that a process caches."""
PROXY_HOPS_MAX: Final = 20
"""Trusted proxies that one request may have passed; further entries of `X-Forwarded-For` are not read."""
LOOP_BATCH_BYTES_MAX: Final = 256 * 1024
"""Items of a batch that are read, checked and encoded on the event loop. Larger batches are processed in a thread."""
LOOP_SLICE_MS_MAX: Final = 5
"""CPU time of work on many items before other work of the process gets its turn."""
LOOP_RECIPIENTS_MAX: Final = 100
"""Recipients of one notification that are checked on the event loop. More are checked in a thread."""
LOOP_BODY_BYTES_MAX: Final = 16 * 1024
"""Bodies that are decoded and handled without a pause, and parsed on the event loop where that is slow (TOML,
templates)."""
LOOP_RULE_BYTES_MAX: Final = 64 * 1024
"""Data of an event times the expressions of an event rule that are evaluated on the event loop; more are evaluated in
a thread."""
METERED_BODY_BYTES_MIN: Final = 8 * 1024
"""The smallest request body for which the CPU time of the request is measured."""
LOG_REPEATS_MS: Final = 60_000
"""The time in which `LOG_REPEATS_MAX` lines of one kind are logged."""
LOG_REPEATS_MAX: Final = 10
"""Warnings or errors of one kind that a process logs in `LOG_REPEATS_MS`; of further ones only the number."""
LOG_REPEATS_KEPT_MAX: Final = 1_000
"""Kinds of warnings and errors whose repeats a process counts."""
PATH_CHARS_SHOWN_MAX: Final = 200
ORIGIN_TENANTS_MAX: Final = 10_000
"""Tenants whose allowed origins an API process caches; the cache is cleared when there are more."""
CALLERS_KEPT_MAX: Final = 10_000
"""API keys whose owners an API process caches; the cache is cleared when there are more."""
OPERATOR_KEY_CHECK_MS: Final = 1_000
"""How often an API process looks whether the files of the operator's key changed."""
KEY_EXPIRES_SOON_MS: Final = 7 * 24 * 3600 * 1000
"""How long before its end a key is said to expire soon."""
KEY_EXPIRY_CHECK_MS: Final = 3600 * 1000
"""How often a process looks for keys that expire soon; each is reported once a day, by one process."""
KEY_WARNINGS_MAX: Final = 1_000
"""Keys that expire soon reported at one look."""
KEY_USES_STORE_MS: Final = 5_000
"""How often a process stores the noted uses of keys."""
KEY_USE_EVERY_MS: Final = 60_000
"""The shortest interval between two stored uses of one key by one process."""
KEY_USES_NOTED_MAX: Final = 10_000
"""Keys with the addresses they were used from that a process notes until it stores them."""
CLIENT_ADDRESSES_MAX: Final = 10_000
"""Addresses of clients, as numbers, that a process caches."""
KEY_NETWORKS_KEPT_MAX: Final = 16
"""Networks that each API key was last used from, which are stored; a network that fell out counts as new again."""
INTAKE_DEFINITIONS_MAX: Final = 10_000
"""Definitions that intake caches for all tenants together; the cache is cleared when there are more."""
ADDRESS_CACHE_MAX: Final = 65_536
"""Checked addresses and domains that a process caches."""
BULK_BATCH_LINES: Final = 2_000
"""Lines of a bulk import stored in one transaction."""
BULK_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of the lines of a bulk import stored in one transaction."""
BULK_BATCH_VALUES_MAX: Final = 20_000
"""Brackets and commas of the lines of a bulk import stored in one transaction: their values are freed at once,
and SQLite takes 32,766 parameters of a statement."""
BACKLOG_CHECK_MS: Final = 200
"""How old the backlog count may be by which a request is refused for overload."""
BACKLOG_LOW_CHECK_MS: Final = 1_000
"""How old the count may be while it is below `BACKLOG_LOW_SHARE` of the limit."""
BACKLOG_LOW_SHARE: Final = 0.5
QUOTA_CLOCK_STEP_MS: Final = 1_000
"""How far the clocks of two processes may differ; a time further ahead is from before a restart of the machine."""
QUOTA_DAILY_AHEAD_MAX: Final = 1_000
"""Events of a daily quota that a process draws ahead; unused ones are lost when it ends."""
QUOTA_STORE_WAIT_MS: Final = 50
"""How long a request waits for the shared quota store; the event loop waits with it."""
QUOTA_METERS_MAX: Final = 10_000
"""Callers with a quota that a process caches, and buckets of them; the cache is cleared when there are more."""

DIRECTORY_CACHE_MAX: Final = 10_000
"""Decoded definitions of each kind that a process caches."""
PROFILE_CACHE_MAX: Final = 50_000
REVISION_CHECK_MS: Final = 200
"""How old a cached definition may be before the store is checked for changes."""
REVISION_LEARN_MS: Final = 100
"""How often a process reads in the background which definitions other processes changed."""
DERIVED_KEYS_MAX: Final = 1_024
"""Keys derived from the master key that a process caches."""
DURATION_TEXTS_MAX: Final = 10_000
"""Parsed texts of durations that a process caches."""
EXPRESSIONS_MAX: Final = 10_000
"""Compiled expressions that a process caches."""
ZONES_MAX: Final = 2_048
"""Time zones that a process caches by name."""

SETTINGS_MAX: Final = 10_000
"""Combinations of template, category and channels that a planner caches."""
GATES_MAX: Final = 500_000
"""Profile verdicts that a planner caches."""
QUIET_SPANS_MAX: Final = 10_000
"""Computed quiet hours of a zone and day that a process caches."""
CAP_BLOCK_USERS: Final = 64
"""Users whose cap times share one row of the store."""
CAP_BLOCKS_MAX: Final = 65_536
"""Blocks of cap times that a process caches, 256 bytes each."""
CANCELLED_KEPT_MAX: Final = 200_000
"""Cancelled ids that a planner caches, so that work that starts after its cancellation ends at once."""
SIGNAL_WAITS_MAX: Final = 10_000
"""Instances that one signal can wake."""
FETCHES_UNDER_WAY_MAX: Final = 64
"""Fetch steps one worker process runs at the same time; further ones wait for a slot."""
FETCHES_WAITING_MAX: Final = 10_000
"""Fetch steps that wait for a slot in one worker process; further ones are retried when their grace period ends."""
FETCH_GRACE_MS: Final = 30_000
"""How long after its time-out a fetch step waits for a response before it considers the call lost and repeats it."""
FETCH_LOST_MAX: Final = 10
"""Calls of one fetch step that may be lost to worker crashes before the step fails."""
SCHEDULE_REPAIR_MS: Final = 10 * 60 * 1000
"""How often schedules without a timer are searched for: a schedule has none when the process crashed after storing the
schedule and before setting its timer."""
SCHEDULE_CLOCK_BACK_MS_MAX: Final = 24 * 3600 * 1000
"""How far a clock may go back without an occurrence being fired again."""
SEGMENT_SCAN_USERS_MAX: Final = 10_000
"""Users scanned for one page of a filtered audience; the page contains the cursor for the next one."""
SEGMENT_LOOK_MS: Final = 20
"""How long the scan for one such page lasts; users with large attributes are slow to scan."""
AUDIENCE_COUNT_MS_MAX: Final = 5_000
"""How long an audience is counted; the count reached by then is reported as `at_least`."""
AUDIENCE_COUNTS_MAX: Final = 8
"""Counts of audiences under way or waiting in one process; more are refused."""
SEEN_EVERY_MS: Final = 3600 * 1000
"""The shortest interval between two stored times of a user's last activity."""
SEEN_USERS_MAX: Final = 100_000
"""Recently active users that a process caches."""
SEEN_RECHECK_MS: Final = 2_000
"""How long after a wait for a seen receipt began the receipt is looked up again: one may have been under way."""

RECORD_BATCH_EVENTS_MAX: Final = 2_000
RECORD_OPEN_ROWS_MAX: Final = 20_000
"""Open deliveries a record worker caches between batches."""
RECORD_OPEN_CHUNKS_MAX: Final = 1_000
"""Open chunks a record worker caches between batches."""
RECORD_DOUBT_BATCHES: Final = 100
"""Batches whose planned deliveries are looked up after one of them had a row already: holds tend to end together."""
RECORD_COMMIT_MS: Final = 1_000
"""How often the folded offsets are committed to the journal, so that it can delete the frames."""
CAPTURES_PER_TENANT_MAX: Final = 10_000
CAPTURE_AGE_MS_MAX: Final = 7 * 24 * 3600 * 1000
HISTORY_SCAN_MAX: Final = 2_000
"""Notifications scanned for one page of a filtered list; the page contains the cursor for the next one."""
NOTIFICATIONS_PER_READ_MAX: Final = 50
"""Notifications whose deliveries are read together for a list."""
BROADCAST_CHUNKS_PER_PAGE_MAX: Final = 50
"""Chunks scanned for one page of a broadcast's deliveries."""
COUNTER_ROWS_MAX: Final = 10_000
INBOX_SCAN_MAX: Final = 200
"""Broadcasts scanned for one page of an inbox."""
INBOX_COUNT_MAX: Final = 1_000
"""Items of an inbox that are counted, or marked by one call."""
INBOX_ITEMS_EXAMINED_MAX: Final = 10_000
"""Items, newest first, that are examined for the counts of an inbox, or to mark all of a list."""
INBOX_COLLAPSES_MAX: Final = 20
"""Broadcasts with one collapse key, newest first, among which the newest one of a user is looked for."""
INBOX_MISSED_MAX: Final = 200
"""Items, marks, broadcasts and withdrawals that a client may have missed, each; one that missed more reads its list again."""
INBOX_WAIT_MS_MAX: Final = 25_000
"""For how long a request may wait for an inbox to change."""
INBOX_WAITS_MAX: Final = 500
"""Requests of one process that wait so; those of one tenant, and of one user, are below."""
INBOX_WAITS_PER_TENANT_MAX: Final = 250
INBOX_WAITS_PER_USER_MAX: Final = 4
INBOX_CHECK_MS: Final = 5_000
"""How often a gateway looks at all inboxes that it follows, as a signal may be lost."""
INBOX_SIGNAL_USERS_MAX: Final = 2_000
"""Users that the signals of one commit name; of more, all inboxes may have changed."""
READ_ALL_SEEN_MAX: Final = FRAME_RECORDS_MAX
"""Items, newest first, that are marked as seen when a user marks everything as read."""

DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024
DISK_LOW_BYTES: Final = 1024 * 1024 * 1024
"""Free bytes below which `clarion doctor` warns."""
CLOCK_APART_MS_MAX: Final = 2_000
"""How far the clock of a machine may be from that of its store."""
CRASHES_IN_A_ROW_MAX: Final = 6
"""Consecutive failed starts of a process after which `clarion up` exits."""
RESTART_PAUSE_S_MAX: Final = 5.0

SECRET_FRESH_MS: Final = 30_000
"""How old a secret given by reference may be when it is used, as long as its store can be read."""
SECRET_AHEAD_MS: Final = 15_000
"""Age at which a secret in use is read again while its value is still used."""
SECRET_KEPT_MS: Final = 15 * 60 * 1000
"""How long the last value of a secret is used while it cannot be read."""
SECRET_RETRY_MS: Final = 5_000
"""Pause between two reads of a secret that cannot be read."""
SECRET_REREAD_MS: Final = 1_000
"""The least time between two reads of a secret because its vendor refused it."""
SECRET_READ_MS_MAX: Final = 5_000
"""How long a read of a secret may take."""
SECRET_READS_MAX: Final = 8
"""Threads of one process that read secrets of one store."""
VAULT_CALL_S_MAX: Final = 2
"""How long one call of HashiCorp Vault may take; a read takes up to four."""
CLOUD_CALL_S_MAX: Final = 2
"""How long connecting to the secret manager of a cloud may take, and then each wait for its response. A read is one
call, and one or two more when the installation's access has ended."""
SECRETS_HELD_MAX: Final = 10_000
"""Secrets that one process caches."""
