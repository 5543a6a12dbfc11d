"""WhatsApp Business Platform, Cloud API (https://developers.facebook.com/documentation/business-messaging/whatsapp).

Sending: "Messages" and "Template messages"; responses: "Error codes", by which clients should decide by `code` and
never by a title or the HTTP status: a rate limit may be a 400. The API takes no idempotency key, so a message that may
have been sent is ambiguous.
"""

import re
from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import WHATSAPP_PARAMETER_CHARS_MAX, WHATSAPP_TEXT_CHARS_MAX
from clarion.domain.limits_delivery import ATTEMPT_PAUSE_MS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Outcome, Refused, Throttled
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms
from clarion.providers.whatsapp.whatsapp_receipts import read_receipts as read_receipts

BASE_URL: Final = "https://graph.facebook.com"
API_VERSION: Final = "v23.0"
LANGUAGE: Final = "en"
TEXT: Final = ContentLimit(("body",), "chars", WHATSAPP_TEXT_CHARS_MAX, "refuse")
PARAMETER: Final = ContentLimit(
    ("template",), "chars", WHATSAPP_PARAMETER_CHARS_MAX, "refuse", "each of the template's parameters"
)
NAME: Final = ContentLimit(("template",), "chars", 512, "refuse", "the name of a parameter")

TRAITS: Final = Traits(
    vendor="whatsapp",
    channels=(Channel.WHATSAPP,),
    title="WhatsApp Cloud API",
    transport="http",
    settings=(
        Field("phone_number_id", required=True, about="id of the business phone number", pattern=r"[0-9]{1,32}"),
        Field(
            "language", about="of templates that name none", pattern="[A-Za-z]{2,3}([_-][A-Za-z]+)?", default=LANGUAGE
        ),
        Field("preview_url", kind="boolean", about="show a preview of a text's first link", default=False),
        Field("api_version", about="version of the Graph API", pattern=r"v[0-9]{1,3}\.[0-9]", default=API_VERSION),
        Field("base_url", kind="url", about="origin of the Graph API", default=BASE_URL),
    ),
    credentials=(
        Field(
            "access_token",
            required=True,
            pattern="[!-~]+",
            about="system user's token with whatsapp_business_messaging",
        ),
        Field("app_secret", pattern="[!-~]+", about="secret of the app, which signs receipts"),
        Field("verify_token", pattern="[!-~]+", about="the verify token to enter where receipts are switched on"),
    ),
    parts=("body", "template"),
    receipts=True,
    docs="https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes",
    limits=(TEXT, PARAMETER, NAME),
)

OUTCOMES: Final[dict[int, str]] = {
    # WhatsApp may still send the message.
    **dict.fromkeys((1, 2, 131000, 131016, 131057, 133004), "unknown"),
    **dict.fromkeys((4, 80007), "later"),
    130429: "throughput",
    131056: "pair",
    **dict.fromkeys((0, 3, 10, 190, *range(200, 300), 131005), "account"),
    **dict.fromkeys((368, 131031, 131042, 131048), "account"),
    **dict.fromkeys((131037, 131045, 133010), "account"),
    131026: "dead",
    **dict.fromkeys((131049, 130472), "withheld"),
    131050: "marketing_stopped",
    130497: "country_restricted",
    131021: "sender_is_recipient",
    131030: "not_a_test_recipient",
    131047: "window_closed",
    131008: "parameter_missing",
    **dict.fromkeys((33, 100, 135, 131009, 135000), "parameter_invalid"),
    131051: "type_unsupported",
    **dict.fromkeys((131052, 131053), "media"),
    **dict.fromkeys((132000, 132012, 132018), "template_parameters"),
    132001: "template_missing",
    132005: "template_too_long",
    132007: "template_policy",
    132015: "template_paused",
    132016: "template_disabled",
    132068: "flow_blocked",
    132069: "flow_throttled",
}
"""Meanings of an error's `code`; a meaning that names no outcome refuses with that reason. 131050 has opted out of
marketing only, so the number is not suppressed: transactional messages still have to reach it."""

THROUGHPUT_MS: Final = 5_000
"""The limit counts messages per second."""
LATER_MS: Final = 60_000
"""The limits count calls per hour; used when no header says how long to wait."""
PAIR_MS: Final = 6_000
"""One message every six seconds to one number ("Throughput", pair rate limits); doubled with each attempt."""
PAIR_MS_MAX: Final = 300_000
"""Attempt numbers have gaps where a delivery waited, so further doubling could be far too long."""

_NUMBER: Final = re.compile(r"\+?[1-9][0-9]{6,14}")
_NAME: Final = re.compile(r"[a-z0-9_]{1,512}")
_MISSING_OBJECT: Final = (100, 33)
"""Code and subcode of a phone number id that does not exist or that the token may not use."""


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the `messages` call: the template if there is one, else the text. Statuses carry the delivery's reference
    back. Raises `ValueError` when the address or the content is not valid."""
    settings, parts = account.settings, message.parts
    if not _NUMBER.fullmatch(message.address):
        raise ValueError("address is not a phone number in international form")
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.address,
        "biz_opaque_callback_data": message.reference or message.delivery_id,
    }
    if parts.get("template"):
        body |= {"type": "template", "template": _template(parts["template"], settings.get("language") or LANGUAGE)}
    else:
        text = _text(parts.get("body"), "body", TEXT)
        body |= {"type": "text", "text": {"body": text, "preview_url": bool(settings.get("preview_url", False))}}
    origin, version = settings.get("base_url", BASE_URL).rstrip("/"), settings.get("api_version", API_VERSION)
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {account.credentials['access_token']}",
    }
    url = f"{origin}/{version}/{settings['phone_number_id']}/messages"
    return HttpRequest("POST", url, headers, msgspec.json.encode(body))


def _text(value: Any, name: str, limit: ContentLimit) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"WhatsApp takes no empty text, which {name} is")
    limit.check(len(value), name)
    return value


def _template(given: Any, language: str) -> dict[str, Any]:
    """Return the template object of the part `{name, language, parameters, components}`, or of its JSON text. Raises
    `ValueError` when it is not valid."""
    if isinstance(given, str):
        given = object_of(given.encode(errors="replace")) or None
    if not isinstance(given, dict):
        raise ValueError("the template part is not an object")
    name, code = given.get("name"), given.get("language") or language
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("template.name is not the name of a template: lower-case letters, digits and underscores")
    if not isinstance(code, str):
        raise ValueError("template.language is not a code such as en or pt_BR")
    parameters, components = given.get("parameters") or [], given.get("components") or []
    if not isinstance(parameters, list) or not isinstance(components, list):
        raise ValueError("template.parameters and template.components have to be lists")
    if parameters:
        filled = [_parameter(value, f"template.parameters[{index}]") for index, value in enumerate(parameters)]
        components = [{"type": "body", "parameters": filled}, *components]
    # Locales are written pt-BR everywhere else; WhatsApp accepts pt_BR only.
    template: dict[str, Any] = {"name": name, "language": {"code": code.replace("-", "_")}}
    return template | {"components": components} if components else template


def _parameter(value: Any, field: str) -> dict[str, str]:
    """Return a text parameter; `{name, text}` is one of a template with named parameters."""
    named = isinstance(value, dict)
    text = value.get("text") if named else value
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = str(text)
    filled = {"type": "text", "text": _text(text, field, PARAMETER)}
    return filled | {"parameter_name": _text(value.get("name"), f"{field}.name", NAME)} if named else filled


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response, by WhatsApp's error code before the HTTP status."""
    body = object_of(response.body)
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    if 200 <= response.status < 300 and not error:
        sent = body.get("messages")
        first = sent[0] if isinstance(sent, list) and sent and isinstance(sent[0], dict) else {}
        known = isinstance(first.get("id"), str)
        return Accepted(first["id"]) if known else Ambiguous(error_detail(response, "the answer names no message"))
    code = error.get("code") if type(error.get("code")) is int else None
    words = _words(error, code)
    detail = error_detail(response, words)
    if (code, error.get("error_subcode")) == _MISSING_OBJECT:
        return Misconfigured(detail)
    after_ms = retry_after_ms(response.headers, now_ms)
    match OUTCOMES.get(code) if code is not None else None:
        case None if response.status >= 500:
            return Ambiguous(detail, after_ms)
        case None:
            return Refused("unknown_error", detail) if response.status < 300 else by_status(response, now_ms, words)
        case "unknown":
            return Ambiguous(detail, after_ms)
        case "later":
            return Throttled(after_ms or _regained_ms(response) or LATER_MS, detail)
        case "throughput":
            return Throttled(after_ms or THROUGHPUT_MS, detail)
        case "pair":
            growing_ms = min(PAIR_MS << min(message.attempt - 1, 20), PAIR_MS_MAX)
            return Throttled(max(after_ms or 0, growing_ms), detail, scope="recipient")
        case "account":
            return Misconfigured(detail)
        case "dead":
            return InvalidRecipient(detail)
        case reason:
            return Refused(reason, detail)


def _words(error: dict[str, Any], code: int | None) -> str:
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    return " ".join(str(word) for word in (code, error.get("message"), details) if word is not None)


def _regained_ms(response: HttpResponse) -> int | None:
    """Return the pause (ms) of `X-Business-Use-Case-Usage`, which maps ids to lists of usages with minutes to wait
    (https://developers.facebook.com/docs/graph-api/overview/rate-limiting)."""
    usages = object_of(response.headers.get("x-business-use-case-usage", "").encode(errors="replace")).values()
    entries = [entry for listed in usages if isinstance(listed, list) for entry in listed if isinstance(entry, dict)]
    minutes = [entry.get("estimated_time_to_regain_access") for entry in entries]
    longest = max((value for value in minutes if type(value) is int), default=0)
    return min(longest * 60_000, ATTEMPT_PAUSE_MS_MAX) if longest > 0 else None


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call that reads the business phone number."""
    settings = account.settings
    origin, version = settings.get("base_url", BASE_URL).rstrip("/"), settings.get("api_version", API_VERSION)
    headers = {"authorization": f"Bearer {account.credentials['access_token']}"}
    return HttpRequest("GET", f"{origin}/{version}/{settings['phone_number_id']}?fields=id", headers, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the token is refused, or has no such number (code 100, a 400), else None."""
    error = object_of(response.body).get("error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code") if type(error.get("code")) is int else None
    at_fault = code == 100 or response.status in (401, 403, 404)
    at_fault = at_fault or (code is not None and OUTCOMES.get(code) == "account")
    return Misconfigured(error_detail(response, _words(error, code))) if at_fault else None
