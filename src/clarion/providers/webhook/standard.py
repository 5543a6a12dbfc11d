"""Outgoing webhooks by the Standard Webhooks specification 1.0 (https://www.standardwebhooks.com).

The address is the endpoint's URL. The signature is `v1`: HMAC-SHA256 over `id.timestamp.body` with the decoded secret.
"""

import base64
import binascii
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ATTEMPT_TIMEOUT_MS_MAX, EGRESS_TIMEOUT_MS_DEFAULT, VENDOR_KEYS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Outcome, Throttled, Transient
from clarion.ports.vendor import Field, Traits
from clarion.providers.answers import error_detail, retry_after_ms

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of secrets
SECRET_BYTES: Final = (24, 64)
TYPE_DEFAULT: Final = "notification"

TRAITS: Final = Traits(
    vendor="webhook",
    channels=(Channel.WEBHOOK,),
    title="Standard Webhooks",
    transport="http",
    settings=(
        Field(
            "timeout_ms",
            kind="integer",
            about="how long an endpoint may take",
            default=EGRESS_TIMEOUT_MS_DEFAULT,
            least=100,
            most=ATTEMPT_TIMEOUT_MS_MAX,
        ),
    ),
    credentials=(
        Field("secret", required=True, about="whsec_ and 24-64 bytes in base64", pattern=r"whsec_[A-Za-z0-9+/]+=*"),
        Field("previous_secret", about="signs too while the secret is rotated", pattern=r"whsec_[A-Za-z0-9+/]+=*"),
    ),
    parts=("type", "data"),
    idempotent=True,
    docs="https://www.standardwebhooks.com",
)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the signed POST. Body and `webhook-id` are the same on each attempt, `webhook-timestamp` is of this
    attempt. Raises `ValueError` when the address is not a URL or the secret is not valid."""
    if not message.address.startswith(("https://", "http://")) or not message.address.isprintable():
        raise ValueError("the address of a webhook is an http(s) URL")
    parts = message.parts
    body = msgspec.json.encode(
        {
            "type": parts.get("type") or TYPE_DEFAULT,
            "timestamp": datetime.fromtimestamp(message.created_ms / 1000, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "data": parts["data"] if "data" in parts else {k: v for k, v in parts.items() if k != "type"},
        }
    )
    timestamp_s = str(now_ms // 1000)
    secrets = [account.credentials["secret"], account.credentials.get("previous_secret")]
    headers = {
        "content-type": "application/json",
        "webhook-id": message.delivery_id,
        "webhook-timestamp": timestamp_s,
        "webhook-signature": " ".join(sign(s, message.delivery_id, timestamp_s, body) for s in secrets if s),
    }
    return HttpRequest(
        "POST", message.address, headers, body, int(account.settings.get("timeout_ms", EGRESS_TIMEOUT_MS_DEFAULT))
    )


def sign(secret: str, id_: str, timestamp_s: str, body: bytes) -> str:
    """Return the `v1` signature of a message. Raises `ValueError` when the secret is not valid."""
    signed = b"%s.%s.%s" % (id_.encode(), timestamp_s.encode(), body)
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]:
        raise ValueError("a webhook secret is whsec_ followed by 24 to 64 bytes in base64")
    return key


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of the endpoint's status; every status but 2xx and 410 may be retried."""
    status, detail = response.status, error_detail(response)
    after_ms = retry_after_ms(response.headers, now_ms)
    if 200 <= status < 300:
        return Accepted(message.delivery_id)
    if status == 410:
        return InvalidRecipient(detail)
    if status in (429, 502, 504) or (status == 503 and after_ms is not None):
        # Each endpoint is a separate server.
        return Throttled(after_ms, detail, scope="recipient")
    if 300 <= status < 400:
        return Transient(f"HTTP {status}: a redirect is a failure and is not followed")
    return Transient(detail)
