"""The error tree. Drivers' and vendors' exceptions are translated into it at the edge.

ClarionError
|- CallerError            the caller can mend it; its text is shown (a 4xx problem document)
|  |- InvalidField        a field of the request is wrong (400/422)
|  |- NotFound            unknown, or another tenant's (404)
|  |- Conflict            clashes with what is stored or still running (409)
|  |- KeyReused           idempotency key seen with another body (422)
|  |- Unauthorized        no key, or a wrong or revoked one (401)
|  |- Forbidden           the key lacks the scope (403)
|  |- TooLarge            body or list over its bound (413)
|  |- TooSlow             the body did not come in time (408)
|  |- QuotaExceeded       the quota of the tenant or key is used up, come back after `retry_after_s` (429)
|  |- Unverified          a provider could not be asked about an account (503)
|  `- Overloaded          cannot be held now, come back after `retry_after_s` (429/503)
|- OperatorError          the operator can mend it: one clear sentence, non-zero exit
|- StaleLease             the fence moved on: this holder may not write
|- DurabilityError        a commit or fsync failed: stop the process, acknowledge nothing
|- StoreUnavailable       a store could not be read now; try again, decide nothing
|- CorruptFrame           a journal frame is damaged: it is told of and passed over
|- UnknownFrame           a journal frame is whole, but only another build can read it: its partition stops there
`- EgressError            an outbound call failed; says whether the request can have been sent
"""

from enum import StrEnum
from typing import NamedTuple


class ClarionError(Exception):
    """Root of every error Clarion raises on purpose."""


class CallerError(ClarionError):
    """An error whose text is meant for the caller of the API.

    `code` is stable, `field` is the path of the offending field (`to[3].email`), `status` the HTTP status.
    """

    status = 400
    code = "bad_request"

    def __init__(self, detail: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        if code is not None:
            self.code = code


class InvalidField(CallerError):
    """A field is missing, ill-typed, out of bounds or names something unknown."""

    status = 422
    code = "invalid_field"


class Malformed(CallerError):
    """The body is not what its content type says."""

    status = 400
    code = "malformed_body"


class NotFound(CallerError):
    """Nothing with that id for this tenant."""

    status = 404
    code = "not_found"


class Conflict(CallerError):
    """The request clashes with the stored state, or with the same request still running."""

    status = 409
    code = "conflict"

    def __init__(
        self, detail: str, *, field: str | None = None, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail, field=field, code=code)
        self.retry_after_s = retry_after_s


class KeyReused(CallerError):
    """The idempotency key was used before with another body."""

    status = 422
    code = "idempotency_key_reused"


class Unauthorized(CallerError):
    """No credential, or one that is wrong, expired or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(CallerError):
    """The credential is good but lacks the scope."""

    status = 403
    code = "forbidden"


class TooLarge(CallerError):
    """A body or list is over its bound."""

    status = 413
    code = "too_large"


class TooSlow(CallerError):
    """The body did not come in time."""

    status = 408
    code = "too_slow"


class Overloaded(CallerError):
    """The request cannot be held now and was not taken."""

    status = 503
    code = "overloaded"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unverified(CallerError):
    """A provider could not be asked whether an account works; nothing was stored."""

    status = 503
    code = "verify_failed"


class QuotaStanding(NamedTuple):
    """How much of a quota there is at once and is left, in events, and in how many seconds nothing of it is used any more."""

    limit: int
    remaining: int
    reset_s: int


class QuotaExceeded(CallerError):
    """A quota is used up and nothing was taken. `standing` says how the caller's quota stands."""

    status = 429
    code = "quota_exceeded"

    def __init__(self, detail: str, *, code: str, retry_after_s: int, standing: QuotaStanding) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s
        self.standing = standing


class OperatorError(ClarionError):
    """Something the operator has to mend, in one sentence."""


class StaleLease(ClarionError):
    """The lease was taken over; nothing of this append was stored."""


class AlreadyStored(ClarionError):
    """Something that was taken for new has a row; nothing was stored."""


class DurabilityError(ClarionError):
    """A commit failed; the process stops rather than acknowledge."""


class StoreUnavailable(ClarionError):
    """A store could not be read just now. Nothing may be decided from what it did not say."""


class CorruptFrame(ClarionError):
    """A frame is not what its header or checksum says. Nothing can be learned from it."""


class UnknownFrame(ClarionError):
    """A whole frame of a version or kind this build cannot read. Going on would drop what it holds, so its reader stops
    there until a build comes that reads it."""


class Sent(StrEnum):
    """Whether a failed outbound call can have reached the other side."""

    NO = "no"
    MAYBE = "maybe"


class EgressError(ClarionError):
    """An outbound call got no answer. `sent` says whether the body can have gone out."""

    def __init__(self, detail: str, *, sent: Sent, blocked: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.blocked = blocked
