"""Named bounds of taking what providers tell afterwards. Times in the unit of the name."""

from typing import Final

RECEIPTS_REMEMBERED_MAX: Final = 100_000
"""Receipts an API process remembers, so that a repeated one costs nothing."""
RECEIPT_ONCE_MS: Final = 24 * 3600 * 1000
"""How long is remembered durably which body a token that covers none came with; older calls are refused."""
WORD_ONCE_MS: Final = 30 * 24 * 3600 * 1000
"""How long is remembered durably what somebody said: a START told again would undo a STOP."""
RECEIPT_MATCH_WAIT_MS: Final = 2_000
"""How long a receipt waits for the delivery it is about to be recorded; a provider can be that quick."""
RECEIPT_MATCH_PAUSE_MS: Final = 100
"""The first pause between two looks; each one is twice as long."""
RECEIPT_WAITERS_MAX: Final = 100
"""Calls with receipts that wait like this at a time; others are taken as they are."""
RECEIPT_CHUNKS_MAX: Final = 64
"""Chunks of broadcasts whose members are kept to match receipts by."""
RECEIPT_KEYS_MAX: Final = 64
"""Keys (certificates) of providers that are kept."""
RECEIPT_KEY_TTL_MS: Final = 24 * 3600 * 1000
RECEIPT_KEY_BYTES_MAX: Final = 16 * 1024
RECEIPT_KEY_FETCHES_MAX: Final = 4
"""Fetches of such keys, and confirmations, under way at a time."""
RECEIPT_FETCH_TIMEOUT_MS: Final = 5_000
RECEIPT_WARNING_MS: Final = 60_000
"""How often one account's refused calls are logged."""
RECEIPT_WARNINGS_MAX: Final = 1_000
"""Accounts whose last warning is remembered."""
MAILGUN_RECEIPT_AGE_MS_MAX: Final = 9 * 3600 * 1000
"""Mailgun repeats a call for eight hours with the same signature."""
RECEIPTS_TOLD_MAX: Final = 100
"""How often one kind of receipt stands in the story of one delivery: who opens a mail can do so without end."""
