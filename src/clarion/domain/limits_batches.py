"""Named bounds of calls that carry several messages. Times in milliseconds, sizes in characters or bytes."""

from typing import Final

BATCH_LINGER_MS: Final = 5
"""How long a message waits for others while a call for its like is under way; without one, it does not wait."""
BATCH_CHARS_MAX: Final = 4 * 1024 * 1024
"""Content of a call. No character takes more than 6 bytes of JSON or 12 of a form, so that a call stays below 50 MB."""
BATCH_MESSAGE_CHARS: Final = 1_024
"""What a message takes beside its content: addresses, ids and headers."""
BATCH_ROUNDS_MAX: Final = 3
"""How often a call is made again without the messages that the vendor named as bad; what is left goes one by one."""
BATCH_TIMEOUT_MS: Final = 30_000
"""Longer than for one message: some vendors look at each of them before they answer."""
BATCH_ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024

POSTMARK_BATCH_MAX: Final = 500
SENDGRID_BATCH_MAX: Final = 1_000
MAILGUN_BATCH_MAX: Final = 1_000
SES_BATCH_MAX: Final = 50
SES_TEMPLATE_CHARS_MAX: Final = 100_000
"""A template may have 500 KB; a character takes 4 bytes at most."""
