"""Named bounds of what e-mail APIs take. Sizes in bytes of UTF-8."""

from typing import Final

SENDGRID_CALL_BYTES_MAX: Final = 30 * 1024 * 1024
MAILGUN_MESSAGE_BYTES_MAX: Final = 25 * 1024 * 1024
POSTMARK_PART_BYTES_MAX: Final = 5 * 1024 * 1024
"""The text or the HTML of a message."""
POSTMARK_MESSAGE_BYTES_MAX: Final = 10 * 1024 * 1024
SES_MESSAGE_BYTES_MAX: Final = 40 * 1024 * 1024
"""With attachments in base64."""
SES_HEADER_CHARS_MAX: Final = 995

ATTACHMENTS_MAX: Final = 10
ATTACHMENT_NAME_CHARS_MAX: Final = 150
CONTENT_TYPE_CHARS_MAX: Final = 127
CID_CHARS_MAX: Final = 78
ATTACHMENTS_INLINE_BYTES_MAX: Final = 768 * 1024
"""What a request may bring itself: a body of 1 MiB holds no more than this in base64."""
ATTACHMENTS_BYTES_MAX: Final = 15 * 1024 * 1024
"""All files of an e-mail together, the fetched ones included."""
ATTACHMENT_FETCH_MS_MAX: Final = 10_000
ATTACHMENT_FETCHES_MAX: Final = 4
"""E-mails of a process whose files are fetched and sent at a time: their files lie in memory."""

UNSUBSCRIBE_TOKEN_CHARS_MAX: Final = 840
"""With the installation's own URL in front, it fits a header line."""
UNSUBSCRIBE_BODY_BYTES_MAX: Final = 4 * 1024
ATTACHMENT_RETRY_MS_MIN: Final = 60_000
ATTACHMENT_RETRY_MS_MAX: Final = 3_600_000
"""Between attempts of an e-mail whose file cannot be had."""
ATTACHMENTS_QUICK_BYTES_MAX: Final = 128 * 1024
"""Files that are put into a message in no more than some milliseconds."""
