"""Limits of the gateway: sockets and event streams of users."""

from typing import Final

FRAME_BYTES_MAX: Final = 8_192
"""The largest frame of a client. A token is the largest thing that one holds."""
FRAMES_PER_S_MAX: Final = 20
"""Frames that a client may send in a second, on average; a burst may have twice as many."""
HANDSHAKE_WAIT_S_MAX: Final = 5
HELLO_WAIT_MS_MAX: Final = 10_000
"""How long a connection may exist before its client says who it is."""
PING_INTERVAL_MS: Final = 25_000
"""After how long without a frame a client is asked whether it is there."""
PONG_WAIT_MS_MAX: Final = 20_000
"""How long it may take to answer; then the connection is closed."""
SOCKETS_PER_USER_MAX: Final = 20
SOCKETS_PER_TENANT_MAX: Final = 50_000
UNSENT_SOCKET_BYTES_MAX: Final = 262_144
"""What may wait for a client that does not read; then the connection is closed, and the client catches up by its position."""
SLOW_READER_MS_MAX: Final = 30_000
"""How long something may wait for a client that does not read."""
TICKET_TTL_S: Final = 60
TICKET_CHARS_MAX: Final = 1_024
TICKET_FORGET_MS: Final = 120_000
"""For how long it is known that a ticket was used; longer than it is valid."""
REVOKED_CHECK_MS: Final = 2_000
"""How often the credentials of open connections are checked again."""
JOINS_MAX: Final = 20_000
"""Clients that wait for their first answer; further ones are told to come back later."""
BATCH_USERS_MAX: Final = 1_000
"""Users whose news are read in one call."""
JOINING_USERS_MAX: Final = 200
"""Users among them who join: their counts are read, so more of them would wait long for all."""
COUNTED_AT_ONCE_MAX: Final = 8
"""Users whose counts are read concurrently."""
TIMED_CHECK_MS: Final = 1_000
"""How often it is looked for users of whose items one has come back from a snooze or expired."""
TIMED_ITEMS_MAX: Final = 100
"""Items of a connected user whose next times are kept, the earliest. Where more change at once, its clients reload."""
CHECKED_USERS_MAX: Final = 500
"""Users who are looked at in the same round although nothing is known to be new."""
ROUND_MS: Final = 50
"""How long such a call and what follows take at least, so that more users share the next one."""
DRAIN_RETRY_MS_MAX: Final = 10_000
"""Over how long clients of a gateway that stops are spread: each waits for a random part of it before it comes back."""
PRESENCE_TTL_MS: Final = 15_000
"""How long the users of a gateway that says nothing any more count as connected."""
PRESENCE_RENEW_MS: Final = 5_000
"""How often a gateway says that it is at work, and asks for connections of its users at others."""
PRESENCE_ROUND_MS: Final = 100
"""Within which time users who connect or leave are recorded together."""
PRESENCE_USERS_MAX: Final = 1_000
"""Users who are recorded, or told how many connections they have, in one round."""
PRESENCE_LOOK_MS: Final = 1_000
"""How often a worker asks whether anyone is connected at all."""
ONLOOKERS_CHECKED_MAX: Final = 100
"""Users of a batch of results who are looked for among those connected."""
HURRY_MS_MIN: Final = 50
"""How soon after the last recording another one may begin because a user is looking."""
TOKENS_KNOWN_MAX: Final = 10_000
"""Tokens that were valid and are looked at even while their peer has to wait."""
