"""Apple Push Notification service, HTTP/2 with provider tokens.

Pages below https://developer.apple.com/documentation/usernotifications: `sending-notification-requests-to-apns`,
`establishing-a-token-based-connection-to-apns`, `generating-a-remote-notification`,
`handling-notification-responses-from-apns`. The address is the device token in hexadecimal.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import PUSH_PAYLOAD_BYTES_MAX
from clarion.domain.limits_delivery import VENDOR_KEYS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers import es256
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms

BASE_URL: Final = "https://api.push.apple.com"
PUSH_TYPES: Final = (
    "alert|background|voip|location|complication|fileprovider|mdm|liveactivity|pushtotalk|widgets|controls"
)
PAYLOAD: Final = ContentLimit(
    ("body", "title"), "bytes", PUSH_PAYLOAD_BYTES_MAX, "shorten", "the payload, with what APNs needs around it"
)
VOIP: Final = ContentLimit(("data",), "bytes", 5_120, "refuse", "the payload of the push type voip")
COLLAPSE_BYTES_MAX: Final = 64
TOKEN_PERIOD_S: Final = 40 * 60
TOKEN_LAG_S: Final = 5 * 60
"""A token is 5 minutes old at its first use and 45 at its last: never in the future of a clock that is a little behind,
a quarter of an hour before the end of the 60 minutes for which it is valid, and changed less often than the permitted
once in 20 minutes."""
TOKEN_UPDATES_MS: Final = 20 * 60_000

TRAITS: Final = Traits(
    vendor="apns",
    channels=(Channel.PUSH,),
    title="Apple Push Notification service",
    transport="http",
    settings=(
        Field("team_id", required=True, about="id of the developer team", pattern=r"[A-Z0-9]{10}"),
        Field("key_id", required=True, about="id of the signing key", pattern=r"[A-Z0-9]{10}"),
        Field("topic", required=True, about="the app's bundle id", pattern=r"[A-Za-z0-9.-]{1,255}"),
        Field("push_type", about="alert when there is a title or body, else background", pattern=PUSH_TYPES),
        Field("priority", about="10 at once, 5 and 1 as the battery allows", pattern="10|5|1", default="10"),
        Field("sound", about="sound of an alert; empty for none", default="default"),
        Field("base_url", kind="url", about="https://api.sandbox.push.apple.com for development", default=BASE_URL),
    ),
    credentials=(Field("private_key", required=True, about="the signing key: the content of the .p8 file"),),
    parts=("title", "body", "image", "url", "actions", "data", "collapse_key"),
    docs="https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns",
    limits=(PAYLOAD,),
)

OUTCOMES: Final[dict[str, str]] = {
    "BadDeviceToken": "dead",
    "DeviceTokenNotForTopic": "dead",
    "Unregistered": "dead",
    "ExpiredToken": "dead",
    "BadTopic": "account",
    "MissingTopic": "account",
    "TopicDisallowed": "account",
    "InvalidPushType": "account",
    "InvalidProviderToken": "account",
    "MissingProviderToken": "account",
    "Forbidden": "account",
    "BadCertificate": "account",
    "BadCertificateEnvironment": "account",
    "BadEnvironmentKeyInToken": "account",
    "BadEnvironmentKeyIdInToken": "account",
    "UnrelatedKeyIdInToken": "account",
    "ExpiredProviderToken": "stale",
    "TooManyRequests": "later",
    "TooManyProviderTokenUpdates": "much_later",
    "IdleTimeout": "again",
    "ServiceUnavailable": "again",
    "Shutdown": "again",
    "InternalServerError": "again",
    "BadCollapseId": "bad_collapse_id",
    "BadExpirationDate": "bad_expiration_date",
    "BadMessageId": "bad_message_id",
    "BadPriority": "bad_priority",
    "DuplicateHeaders": "duplicate_headers",
    "MissingDeviceToken": "missing_device_token",
    "PayloadEmpty": "payload_empty",
    "PayloadTooLarge": "payload_too_large",
    "BadPath": "bad_path",
    "MethodNotAllowed": "method_not_allowed",
}
"""Meanings of APNs' `reason`; a meaning that names no outcome refuses with that reason."""

_TOKEN: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){8,100}")
_PLAIN: Final = re.compile(r"[!-~]+(?: [!-~]+)*")


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call. `delivery_id`, `url`, `image`, `actions` and the keys of `data` are next to `aps`, where the app
    finds them. Raises `ValueError` when the address is no device token, or the payload exceeds the limit of APNs."""
    settings, parts = account.settings, message.parts
    if not _TOKEN.fullmatch(message.address):
        raise ValueError("the address is not an APNs device token, which is hexadecimal")
    alert = {name: parts[name] for name in ("title", "body") if parts.get(name)}
    kind = settings.get("push_type") or ("alert" if alert else "background")
    body = msgspec.json.encode(_payload(message, kind, alert, settings.get("sound", "default")))
    (VOIP if kind == "voip" else PAYLOAD).check(len(body), "push")
    headers = {
        "authorization": "bearer " + _provider_token(
            settings["team_id"], settings["key_id"], account.credentials["private_key"], _issued_s(now_ms)
        ),
        "apns-topic": settings["topic"],
        "apns-push-type": kind,
        "apns-priority": "5" if kind == "background" else settings.get("priority", "10"),
        "apns-id": str(uuid5(NAMESPACE_URL, message.delivery_id)),
        "content-type": "application/json",
    }  # fmt: skip
    if message.expires_ms is not None:
        headers["apns-expiration"] = str(message.expires_ms // 1000)
    if collapse := parts.get("collapse_key"):
        headers["apns-collapse-id"] = _collapse_id(collapse)
    # A connection takes the tokens of one team only, and APNs limits how often they change.
    connection = f"{settings['team_id']} {settings['key_id']}"
    url = f"{settings.get('base_url', BASE_URL).rstrip('/')}/3/device/{message.address}"
    return HttpRequest("POST", url, headers, body, connection=connection)


def _payload(message: Message, kind: str, alert: dict[str, Any], sound: str) -> dict[str, Any]:
    parts = message.parts
    data = parts.get("data") or {}
    if not isinstance(data, dict):
        raise ValueError("push data is not an object")
    if "aps" in data:
        raise ValueError("push data key 'aps' is reserved by APNs")
    aps: dict[str, Any] = {"content-available": 1} if kind == "background" else {}
    if alert and kind != "background":
        aps = {"alert": alert} | ({"sound": sound} if sound else {})
        if parts.get("image"):
            aps["mutable-content"] = 1  # only a service extension of the app can fetch and attach it
    own = {name: parts[name] for name in ("url", "image", "actions") if parts.get(name)}
    return own | data | {"aps": aps, "delivery_id": message.delivery_id}


def _collapse_id(key: str) -> str:
    """Return the key unchanged, or its digest when no header can hold it: equal keys still collapse."""
    fits = len(key) <= COLLAPSE_BYTES_MAX and _PLAIN.fullmatch(key)
    return key if fits else sha256(key.encode(errors="surrogatepass")).hexdigest()


def _issued_s(now_ms: int) -> int:
    used_s = now_ms // 1000 - TOKEN_LAG_S
    return used_s - used_s % TOKEN_PERIOD_S


@lru_cache(maxsize=VENDOR_KEYS_MAX)
def _provider_token(team_id: str, key_id: str, private_key: str, issued_s: int) -> str:
    return es256.jwt({"kid": key_id}, {"iss": team_id, "iat": issued_s}, es256.key_of(private_key, "private_key"))


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response, by APNs' reason before the status. A 410 without a readable reason is a dead
    token."""
    if response.status == 200:
        return Accepted(response.headers.get("apns-id", ""))
    body = object_of(response.body)
    reason, since = body.get("reason"), body.get("timestamp")
    words = reason if isinstance(reason, str) else ""
    after_ms = retry_after_ms(response.headers, now_ms)
    detail = error_detail(response, f"{words} since {since}" if words and isinstance(since, int) else words)
    if response.status >= 500:
        return Transient(detail, after_ms)
    match OUTCOMES.get(words, "dead" if response.status == 410 else ""):
        case "":
            return by_status(response, now_ms, words)
        case "dead":
            return InvalidRecipient(detail)
        case "account":
            return Misconfigured(detail)
        case "stale" if message.attempt == 1:
            return Transient(detail, (_issued_s(now_ms) + TOKEN_LAG_S + TOKEN_PERIOD_S) * 1000 - now_ms)
        case "stale":
            return Misconfigured(f"{detail} (is this machine's clock right?)")
        case "later":  # too many to one device
            return Throttled(after_ms, detail, scope="recipient")
        case "much_later":
            return Throttled(after_ms or TOKEN_UPDATES_MS, detail)
        case "again":
            return Transient(detail, after_ms)
        case refusal:
            return Refused(refusal, detail)


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return a push to a device that does not exist: APNs checks the provider token and the topic before the device."""
    message = Message("dlv_verify", "", account.tenant, Channel.PUSH, "", "0" * 64, {"data": {}}, 1, now_ms)
    return build(message, account, now_ms=now_ms, token=None)


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the token or the topic is refused, else None. The response to a valid account is that
    the device token is bad."""
    reason = object_of(response.body).get("reason")
    words = reason if isinstance(reason, str) else ""
    at_fault = OUTCOMES.get(words) in ("account", "stale") or (not words and response.status in (401, 403, 404))
    return Misconfigured(error_detail(response, words)) if at_fault else None
