"""What the response to a download of an attachment means for its e-mail."""

from typing import Final

from clarion.domain.attachment import Attachment, is_content_type
from clarion.domain.limits_delivery import ATTACHMENT_RETRY_MS_MAX, ATTACHMENT_RETRY_MS_MIN, ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Outcome, Refused, Throttled

UNAVAILABLE: Final = "attachment_unavailable"
TOO_LARGE: Final = "attachment_too_large"
_LATER: Final = frozenset({408, 425, 429})


def file_of(file: Attachment, response: HttpResponse, room_bytes: int, attempt: int) -> Attachment | Outcome:
    """Return the file with its content and type, or the outcome of the e-mail. `room_bytes` is the largest allowed
    size."""
    status = response.status
    if status >= 500 or status in _LATER:
        return retry_later(file, f"HTTP {status}", attempt)
    if status != 200:
        return Refused(UNAVAILABLE, _detail(file, f"HTTP {status}"))
    if len(response.body) > room_bytes:
        return Refused(TOO_LARGE, _detail(file, "the files of an e-mail are too large together"))
    response_text = " ".join(response.headers.get("content-type", "").split())
    media = file.content_type or (response_text if is_content_type(response_text) else "")
    return Attachment(file.filename, media, response.body, file.url, file.cid)


def retry_later(file: Attachment, cause: str, attempt: int) -> Outcome:
    """Return the outcome of a file that is not available now. The sending account is not at fault, so the e-mail alone
    waits, twice as long after each attempt."""
    pause_ms = min(ATTACHMENT_RETRY_MS_MIN << min(attempt - 1, 16), ATTACHMENT_RETRY_MS_MAX)
    return Throttled(pause_ms, _detail(file, cause), scope="recipient")


def refuse(file: Attachment, cause: str) -> Outcome:
    """Return the outcome of a file that must not be requested."""
    return Refused(UNAVAILABLE, _detail(file, cause))


def _detail(file: Attachment, cause: str) -> str:
    # By name: its URL may be a secret.
    return f"attachment {file.filename}: {cause}"[:ATTEMPT_DETAIL_CHARS_MAX]
