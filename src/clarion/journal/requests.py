"""Requests as the journal carries them: recipients, the request itself, and the audience of a broadcast.

Fields may only be added at the end. Times are Unix milliseconds; ids are bytes.
"""

from typing import Any

import msgspec

from clarion.domain.attachment import Attachment


class Recipient(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A user by id, or an inline recipient by contact (never both). `attributes` are further data of an inline
    recipient that templates read."""

    user_id: str = ""
    contacts: dict[str, str] | None = None
    locale: str = ""
    zone: str = ""
    attributes: dict[str, Any] | None = None


class Request(msgspec.Struct, frozen=True, array_like=True):
    """An accepted request, checked and normalised: the lane is resolved, recipients are unique. `broadcast` is the id
    of the broadcast that made it, if any. `attachments` are sent with its e-mails."""

    to: list[Recipient]
    template: str
    category: str | None
    channels: list[str] | None
    lane: str
    data: dict[str, Any]
    send_at_ms: int | None = None
    expires_ms: int | None = None
    ordering_key: str | None = None
    metadata: dict[str, str] | None = None
    workflow: str = ""
    workflow_version: int = 0
    cancellation_key: str | None = None
    broadcast: bytes = b""
    attachments: list[Attachment] | None = None


class Audience(msgspec.Struct, frozen=True, array_like=True):
    """The audience of a broadcast: all users of the tenant, the members of a topic, or the users that a segment's
    filter (JSON, as of when the broadcast was accepted) matches. With `local_ms` (the wall-clock time as milliseconds
    since 1970, as if it were UTC) each recipient gets it at that time in their own time zone."""

    topic: str | None = None
    segment: str | None = None
    filter: bytes | None = None
    local_ms: int | None = None


class BroadcastJob(msgspec.Struct, frozen=True, array_like=True):
    """A cursor's payload: the request to send to each member of the audience (`request.to` is empty)."""

    audience: Audience
    request: Request
