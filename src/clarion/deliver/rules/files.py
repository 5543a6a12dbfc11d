"""What the answer to the call for a file means for the e-mail it goes with."""

from typing import Final

from clarion.domain.attachment import Attachment, is_content_type
from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.limits_email import ATTACHMENT_RETRY_MS_MAX, ATTACHMENT_RETRY_MS_MIN
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Outcome, Refused, Throttled

UNAVAILABLE: Final = "attachment_unavailable"
TOO_LARGE: Final = "attachment_too_large"
_LATER: Final = frozenset({408, 425, 429})


def file_of(file: Attachment, response: HttpResponse, room_bytes: int, attempt: int) -> Attachment | Outcome:
    """Return a file with its content and type, or what becomes of the e-mail. `room_bytes` is how large it may be."""
    status = response.status
    if status >= 500 or status in _LATER:
        return later(file, f"HTTP {status}", attempt)
    if status != 200:
        return Refused(UNAVAILABLE, _said(file, f"HTTP {status}"))
    if len(response.body) > room_bytes:
        return Refused(TOO_LARGE, _said(file, "the files of an e-mail are too large together"))
    told = " ".join(response.headers.get("content-type", "").split())
    media = file.content_type or (told if is_content_type(told) else "")
    return Attachment(file.filename, media, response.body, file.url, file.cid)


def later(file: Attachment, why: str, attempt: int) -> Outcome:
    """Return the outcome of a file that cannot be had now. It is no fault of the account that would have sent it, so the
    e-mail waits by itself, ever longer: twice as long with each attempt."""
    pause_ms = min(ATTACHMENT_RETRY_MS_MIN << min(attempt - 1, 16), ATTACHMENT_RETRY_MS_MAX)
    return Throttled(pause_ms, _said(file, why), scope="recipient")


def refused(file: Attachment, why: str) -> Outcome:
    """Return the outcome of a file that may not be asked for."""
    return Refused(UNAVAILABLE, _said(file, why))


def _said(file: Attachment, why: str) -> str:
    # By name: its URL may be a secret.
    return f"attachment {file.filename}: {why}"[:ATTEMPT_DETAIL_CHARS_MAX]
