"""A rendered message, and the requests and responses of vendors. Plain data: nothing here uses a socket."""

from typing import Any, TypeAlias

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.limits_delivery import APPRISE_TIMEOUT_MS, EGRESS_TIMEOUT_MS_DEFAULT, RESPONSE_BYTES_MAX


class Message(msgspec.Struct, frozen=True):
    """A rendered delivery. `parts` are the rendered parts of the channel's template.

    `delivery_id` is its public text form and is sent as idempotency key to providers that accept one;
    `attempt` counts from 1; `expires_ms` is Unix milliseconds or None.
    """

    delivery_id: str
    notification_id: str
    tenant: str
    channel: Channel
    user_id: str
    address: str
    parts: dict[str, Any]
    attempt: int
    created_ms: int
    category: str = ""
    expires_ms: int | None = None
    metadata: dict[str, str] = {}
    reference: str = ""
    """The text that a provider returns in its receipts: the delivery id and, of a broadcast, its place in the chunk."""
    unsubscribe_url: str = ""
    """An https link that unsubscribes by one POST (RFC 8058), empty where there is none."""
    attachments: tuple[Attachment, ...] = ()
    """Files of an e-mail, each with its content."""


class HttpRequest(msgspec.Struct, frozen=True):
    """An HTTP request of a vendor; `timeout_ms` bounds the whole call. Calls to one origin that differ in `connection`
    never share one: some vendors tie a connection to the first account that uses it. The response body is cut at
    `answer_bytes_max`."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int = EGRESS_TIMEOUT_MS_DEFAULT
    connection: str = ""
    answer_bytes_max: int = RESPONSE_BYTES_MAX

    def __repr__(self) -> str:
        # The origin only: a path may be a secret, as in a chat vendor's webhook.
        origin = "/".join(self.url.split("/", 3)[:3]).split("?", 1)[0].rpartition("@")[2]
        return f"HttpRequest({self.method} {origin}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct, frozen=True):
    """An HTTP response; header names are lower-case, the body is cut at the request's `answer_bytes_max`."""

    status: int
    headers: dict[str, str]
    body: bytes


class SmtpRequest(msgspec.Struct, frozen=True):
    """An SMTP transaction. `security` is `starttls`, `tls` or `none`; `payload` is the whole RFC 5322 message. With
    `utf8`, an address or header has characters beyond ASCII, so the server has to offer SMTPUTF8 (RFC 6531)."""

    host: str
    port: int
    security: str
    username: str | None
    password: str | None
    sender: str
    recipient: str
    payload: bytes
    timeout_ms: int = 30_000
    utf8: bool = False

    def __repr__(self) -> str:
        return f"SmtpRequest({self.host}:{self.port}, {len(self.payload)} bytes)"


class SmtpReply(msgspec.Struct, frozen=True):
    """The decisive SMTP reply: `stage` is `connect`, `auth`, `mail`, `rcpt` or `data` (the final dot)."""

    stage: str
    code: int
    text: str


class LocalRequest(msgspec.Struct, frozen=True):
    """A message that is not sent over a network: the vendor's `read` gets its content as a `LocalReply` after
    `latency_ms`."""

    content: dict[str, Any]
    latency_ms: int = 0


class LocalReply(msgspec.Struct, frozen=True):
    """The response to a `LocalRequest`: its content."""

    content: dict[str, Any]


class AppriseRequest(msgspec.Struct, frozen=True):
    """A message that the Apprise library turns into HTTP calls. `url` names the service and holds its secrets; `format` is
    `text`, `markdown` or `html`; `overflow` is the treatment of a text that is too long: `refuse`, `split` or
    `truncate`."""

    url: str
    text: str
    format: str = "text"
    overflow: str = "refuse"
    timeout_ms: int = APPRISE_TIMEOUT_MS

    def __repr__(self) -> str:
        return f"AppriseRequest({self.url.partition('://')[0]}, {len(self.text)} characters)"


class AppriseReply(msgspec.Struct, frozen=True):
    """The result of an `AppriseRequest`: `done` is the library's result; `reason` is set when nothing was sent
    (`unknown_url`, `too_long:<most>`, `no_call`, `fenced`, `missing`); otherwise `response` is the decisive response.
    With `partly`, an earlier call may have delivered. `detail` is the library's own words. `over_chars` is the
    service's limit if the text was longer and made to fit."""

    done: bool
    reason: str = ""
    response: HttpResponse | None = None
    partly: bool = False
    detail: str = ""
    over_chars: int = 0


Request: TypeAlias = HttpRequest | SmtpRequest | LocalRequest | AppriseRequest
Response: TypeAlias = HttpResponse | SmtpReply | LocalReply | AppriseReply
