"""Named bounds of what e-mail APIs take. Sizes in bytes of UTF-8."""

from typing import Final

SENDGRID_CALL_BYTES_MAX: Final = 30 * 1024 * 1024
MAILGUN_MESSAGE_BYTES_MAX: Final = 25 * 1024 * 1024
POSTMARK_PART_BYTES_MAX: Final = 5 * 1024 * 1024
"""The text or the HTML of a message."""
POSTMARK_MESSAGE_BYTES_MAX: Final = 10 * 1024 * 1024
