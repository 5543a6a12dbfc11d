"""The error tree. Exceptions of drivers and vendors are translated into it where they are caught.

ClarionError
|- CallerError            the caller can correct it; its text is shown (a 4xx problem document)
|  |- InvalidField        a field of the request is wrong (400/422)
|  |- NotFound            unknown, or another tenant's (404)
|  |- Conflict            conflicts with stored data or a running request (409)
|  |- KeyReused           idempotency key seen with another body (422)
|  |- Unauthorized        no key, or a wrong or revoked one (401)
|  |- Forbidden           the caller lacks the permission (403)
|  |- TooLarge            body or list over its bound (413)
|  |- TooSlow             the body did not arrive in time (408)
|  |- RequestLimited      too many requests, or refused credentials, retry after `retry_after_s` (429)
|  |- QuotaExceeded       the quota of the tenant or key is used up, retry after `retry_after_s` (429)
|  |- Unverified          an account could not be verified with its provider (503)
|  `- Overloaded          the request cannot be accepted now, retry after `retry_after_s` (429/503)
|- OperatorError          the operator can correct it: one clear sentence, non-zero exit
|- StaleLease             the fence moved on: this holder may not write
|- DurabilityError        a commit or fsync failed: stop the process, acknowledge nothing
|  |- StoreRewound       a server went on from an earlier point of its history: start again, remember nothing
|  `- OutcomeUnknown     a server was lost during a commit: nobody was told that it took effect, and it may have
|- StoreUnavailable       a store could not be read now; try again, decide nothing
|- CorruptFrame           a journal frame is damaged: it is reported and skipped
|- UnknownFrame           a journal frame is whole, but only another build can read it: its partition stops there
`- EgressError            an outbound call failed; `sent` is whether the request can have been sent
"""

from enum import StrEnum
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class ClarionError(Exception):
    """Base class of every error that Clarion raises on purpose."""


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


class CredentialsRequired(InvalidField):
    """What decides where stored credentials are sent was to be changed without giving them again."""

    code = "credentials_required"


class Malformed(CallerError):
    """The body is not valid for its content type."""

    status = 400
    code = "malformed_body"


class UnsupportedEncoding(CallerError):
    """The body is compressed, which nothing here reads."""

    status = 415
    code = "unsupported_encoding"


class NotFound(CallerError):
    """Nothing with that id for this tenant."""

    status = 404
    code = "not_found"


def existing(found: T | None, noun: str) -> T:
    """Return what was found, or whether something was done. Raises `NotFound` for None and for False."""
    if found is None or found is False:
        raise NotFound(f"no such {noun}")
    return found


class Conflict(CallerError):
    """The request conflicts with stored data, or with the same request while it is running."""

    status = 409
    code = "conflict"

    def __init__(
        self, detail: str, *, field: str | None = None, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail, field=field, code=code)
        self.retry_after_s = retry_after_s


class Stale(CallerError):
    """The change was based on another version than the newest one; nothing was stored. `keys` are those of what was changed
    meanwhile: tenant, kind and key."""

    status = 412
    code = "stale_version"

    def __init__(
        self, detail: str, *, field: str | None = None, code: str | None = None, keys: tuple[tuple[str, ...], ...] = ()
    ) -> None:
        super().__init__(detail, field=field, code=code)
        self.keys = keys


class KeyReused(CallerError):
    """The idempotency key was used before with another body."""

    status = 422
    code = "idempotency_key_reused"


class Unauthorized(CallerError):
    """No credential, or one that is wrong, expired or revoked. `reason` is a code for the security log, by default that of
    the error; it is not shown. `counts` is whether the credential may have been guessed."""

    status = 401
    code = "unauthorized"

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        code: str | None = None,
        reason: str | None = None,
        counts: bool = True,
    ) -> None:
        super().__init__(detail, field=field, code=code)
        self.reason = reason or code or "unknown"
        self.counts = counts


class Forbidden(CallerError):
    """The credential is good but lacks the permission."""

    status = 403
    code = "forbidden"


class TooLarge(CallerError):
    """A body or list is over its bound."""

    status = 413
    code = "too_large"


class TooSlow(CallerError):
    """The body did not arrive in time."""

    status = 408
    code = "too_slow"


class Overloaded(CallerError):
    """The request cannot be accepted now; nothing was stored."""

    status = 503
    code = "overloaded"

    def __init__(self, detail: str, *, retry_after_s: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class StoreAway(Overloaded):
    """A store on a server could not be reached; nothing was stored."""


class Unverified(CallerError):
    """An account could not be verified with its provider; nothing was stored."""

    status = 503
    code = "verify_failed"


class QuotaStatus(NamedTuple):
    """The limit of a quota, what remains of it, and the seconds until none of it is used, or until a refused request fits;
    `window_s` is how long a quota that is used up takes to be whole."""

    limit: int
    remaining: int
    reset_s: int
    window_s: int


class RequestLimited(CallerError):
    """A key, tenant, user or peer made too many requests, or a peer has to wait after refused credentials.
    `request_status` is the status of the limit, None for refused credentials."""

    status = 429
    code = "request_limit_reached"

    def __init__(
        self, detail: str, *, retry_after_s: int, request_status: QuotaStatus | None = None, code: str | None = None
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s
        self.request_status = request_status
        self.is_anonymous = False
        """Whether the request had no valid credential, so that its connection is closed."""


class QuotaExceeded(CallerError):
    """A quota is used up and nothing was accepted. `quota_status` is the status of the caller's quota."""

    status = 429
    code = "quota_exceeded"

    def __init__(self, detail: str, *, code: str, retry_after_s: int, quota_status: QuotaStatus) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s
        self.quota_status = quota_status


class OperatorError(ClarionError):
    """A problem the operator has to correct, in one sentence."""


class StaleLease(ClarionError):
    """The lease was taken over; nothing of this append was stored."""


class AlreadyStored(ClarionError):
    """A delivery or chunk that was assumed to be new has a row; nothing was stored."""


class DurabilityError(ClarionError):
    """A commit failed; the process stops rather than acknowledge."""


class NoRoom(DurabilityError):
    """A store has no room: the disk is full. The process stops, and can be started again."""


class StoreRewound(DurabilityError):
    """A server goes on from an earlier point of its history, or may do so: a standby took over. What is in memory may be of a
    future that the server does not have, so the process ends and its successor reads everything anew."""


class OutcomeUnknown(DurabilityError):
    """The connection to a server was lost during a commit, which may have taken effect. Who asked for it is told that
    nothing is acknowledged; what was in memory is read again."""


class StoreUnavailable(ClarionError):
    """A store could not be read now. Nothing may be decided from missing answers."""


class CorruptFrame(ClarionError):
    """A frame does not match its header or checksum. It cannot be read."""


class UnknownFrame(ClarionError):
    """A whole frame of a version or kind that this build cannot read. To continue would drop its content, so its reader
    stops there until a build runs that can read it."""


class Sent(StrEnum):
    """Whether a failed outbound call can have reached the server."""

    NO = "no"
    MAYBE = "maybe"


class EgressError(ClarionError):
    """An outbound call got no response. `sent` is whether the body can have been sent."""

    def __init__(self, detail: str, *, sent: Sent, blocked: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.blocked = blocked
