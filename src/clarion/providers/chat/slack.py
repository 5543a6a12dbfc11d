"""Slack: `chat.postMessage` with a bot token, or incoming webhooks when the address is the URL of one.

Web API: https://docs.slack.dev/reference/methods/chat.postMessage and .../apis/web-api/rate-limits. A refusal is HTTP
200 with `ok` false and one word in `error`. Webhooks:
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. They respond with one word of plain text and
an HTTP status. The URL of a webhook is a secret of the recipient who gave it as their address, so a refusal says
nothing about the account.
"""

import re
from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_content import SLACK_BLOCK_TEXT_CHARS_MAX, SLACK_BLOCKS_MAX, SLACK_TEXT_CHARS_MAX
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers.answers import by_status, error_detail, object_of, retry_after_ms

BASE_URL: Final = "https://slack.com"
WEBHOOK_BASE_URL: Final = "https://hooks.slack.com"
EVENT_TYPE: Final = "clarion_delivery"
TEXT: Final = ContentLimit(("text",), "chars", SLACK_TEXT_CHARS_MAX, "refuse", "with & < > escaped")
BLOCKS: Final = ContentLimit(("blocks",), "items", SLACK_BLOCKS_MAX, "refuse")
BLOCK_TEXTS: Final = {
    kind: ContentLimit(("blocks",), "chars", chars_max, "refuse", f"the text of a {kind}")
    for kind, chars_max in SLACK_BLOCK_TEXT_CHARS_MAX.items()
}

TRAITS: Final = Traits(
    vendor="slack",
    channels=(Channel.CHAT,),
    title="Slack",
    transport="http",
    settings=(
        Field("markup", kind="boolean", about="text is Slack's mrkdwn: & < > are not escaped", default=False),
        Field("base_url", kind="url", about="origin of the Web API", default=BASE_URL),
        Field(
            "webhook_base_url",
            kind="url",
            about="origin of incoming webhooks",
            default=WEBHOOK_BASE_URL,
            destination=False,  # the bot token is not sent there
        ),
    ),
    credentials=(
        Field("bot_token", pattern="[!-~]+", about="xoxb- token with chat:write; webhook addresses need none"),
    ),
    parts=("text", "blocks"),
    docs="https://docs.slack.dev/reference/methods/chat.postMessage",
    limits=(TEXT, BLOCKS, *BLOCK_TEXTS.values()),
)

THROTTLED_MS: Final = 1_000
"""One message a second to one channel, when Slack does not say how long to wait."""

OUTCOMES: Final[dict[str, str]] = {
    **dict.fromkeys(("not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired"), "account"),
    **dict.fromkeys(("missing_scope", "not_allowed_token_type", "team_access_not_granted"), "account"),
    **dict.fromkeys(("accesslimited", "ekm_access_denied", "two_factor_setup_required"), "account"),
    **dict.fromkeys(("enterprise_is_restricted", "method_deprecated", "deprecated_endpoint"), "account"),
    **dict.fromkeys(("app_access_restricted", "metadata_must_be_sent_from_app"), "account"),
    **dict.fromkeys(("ratelimited", "rate_limited", "message_limit_exceeded"), "later"),
    **dict.fromkeys(("service_unavailable", "request_timeout", "team_added_to_org", "org_login_required"), "again"),
    **dict.fromkeys(("internal_error", "fatal_error"), "unknown"),
    "is_archived": "dead",
    **dict.fromkeys(("channel_not_found", "not_in_channel", "no_permission", "access_denied"), "refused"),
    **dict.fromkeys(("restricted_action", "restricted_action_read_only_channel"), "refused"),
    **dict.fromkeys(("restricted_action_thread_only_channel", "messages_tab_disabled"), "refused"),
    **dict.fromkeys(("no_text", "msg_too_long", "msg_blocks_too_long", "too_many_attachments"), "refused"),
    **dict.fromkeys(("invalid_blocks", "invalid_blocks_format", "invalid_arguments"), "refused"),
}
"""Meanings of the `error` of `chat.postMessage`. `refused` refuses with the word itself as the reason, and a word that
is not in the table refuses with the reason `slack_error`. `channel_not_found` is also a private channel the bot was not
invited to, so it does not suppress the address. According to Slack, the operation may have succeeded after
`internal_error` and `fatal_error`."""

WEBHOOK_OUTCOMES: Final[dict[str, str]] = {
    **dict.fromkeys(("invalid_payload", "no_text", "invalid_blocks", "invalid_blocks_format"), "refused"),
    **dict.fromkeys(("too_many_attachments", "user_not_found"), "refused"),
    **dict.fromkeys(("invalid_token", "action_prohibited", "team_disabled"), "refused"),
    "posting_to_general_channel_denied": "refused",
    **dict.fromkeys(("no_service", "no_service_id", "no_active_hooks", "no_team"), "dead"),
    **dict.fromkeys(("channel_not_found", "channel_is_archived"), "dead"),
    **dict.fromkeys(("ratelimited", "rate_limited"), "later"),
    "rollup_error": "again",
}
"""Meanings of the response of a webhook. A 403 is about one webhook: it must not stop the account's other addresses."""

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_HOOK_PATH: Final = re.compile(r"/services/[A-Za-z0-9/_-]+")
_WORD: Final = re.compile(r"\s*([a-z_]{2,64})\s*")


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> HttpRequest:
    """Return the call to the Web API or to the webhook. The Web API stores the delivery id as the message's metadata.
    Raises `ValueError` when the address or the content cannot be used."""
    settings, body = account.settings, _content(message.parts, account)
    headers = {"content-type": "application/json; charset=utf-8"}
    if _is_hook(message):
        origin = settings.get("webhook_base_url", WEBHOOK_BASE_URL).rstrip("/")
        if not message.address.startswith(origin) or not _HOOK_PATH.fullmatch(message.address, len(origin)):
            raise ValueError(f"address is a URL, but not that of an incoming webhook of {origin}")
        return HttpRequest("POST", message.address, headers, msgspec.json.encode(body))
    if not (bot_token := account.credentials.get("bot_token")):
        raise ValueError("a Slack channel needs a bot_token; without one, only webhook addresses can be sent to")
    body["channel"] = message.address
    body["metadata"] = {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": message.delivery_id}}
    url = settings.get("base_url", BASE_URL).rstrip("/") + "/api/chat.postMessage"
    return HttpRequest("POST", url, headers | {"authorization": f"Bearer {bot_token}"}, msgspec.json.encode(body))


def _is_hook(message: Message) -> bool:
    return "://" in message.address


def _content(parts: dict[str, Any], account: Account) -> dict[str, Any]:
    """Return `text` and `blocks`; next to blocks, the text is what notifications show."""
    content: dict[str, Any] = {}
    if text := parts.get("text") or "":
        content["text"] = text if account.settings.get("markup") else text.translate(_ESCAPES)
        TEXT.check(len(content["text"]))
    if given := parts.get("blocks"):
        content["blocks"] = _blocks(given)
    if not content:
        raise ValueError("a Slack message needs a text or blocks")
    return content


def _blocks(given: Any) -> list[Any]:
    """Return the blocks of a list or of its JSON text, within the limits of Slack's Block Kit reference. Raises
    `ValueError` when they are not valid."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (ValueError, RecursionError):
            raise ValueError("the blocks part is not JSON") from None
    if not isinstance(given, list) or not all(isinstance(block, dict) and block.get("type") for block in given):
        raise ValueError("the blocks part is not a list of objects with a type")
    BLOCKS.check(len(given), "blocks part")
    for index, block in enumerate(given):
        text, limit = block.get("text"), BLOCK_TEXTS.get(str(block["type"]))
        words = text.get("text") if isinstance(text, dict) else None
        if limit is not None and isinstance(words, str):
            limit.check(len(words), f"blocks[{index}].text")
    return given


def read(response: HttpResponse, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a response, by Slack's error word before the HTTP status."""
    return _read_hook(response, now_ms) if _is_hook(message) else _read_api(response, now_ms)


def _read_api(response: HttpResponse, now_ms: int) -> Outcome:
    body = object_of(response.body)
    if response.status == 200 and body.get("ok") is True:
        return Accepted(":".join(str(body[name]) for name in ("channel", "ts") if body.get(name)))
    word = str(body.get("error", ""))
    further = body.get("response_metadata")
    messages = further.get("messages") if isinstance(further, dict) else None
    words = [word, f"needed {body['needed']}" if body.get("needed") else ""]
    detail = error_detail(
        response, " ".join([*words, *map(str, messages if isinstance(messages, list) else [])]).strip()
    )
    meaning = OUTCOMES.get(word)
    if meaning is None and response.status == 200:
        # A response that is not Slack's says nothing about the message.
        return Refused("slack_error", detail) if body.get("ok") is False else Ambiguous(detail)
    # One channel or the whole workspace is over its limit: the response does not say which.
    return _outcome(meaning, word, response, now_ms, detail, "account") or by_status(response, now_ms, word)


def _read_hook(response: HttpResponse, now_ms: int) -> Outcome:
    found = _WORD.fullmatch(response.body[:80].decode("utf-8", "replace"))
    word, detail = found[1] if found else "", error_detail(response)
    if response.status == 200 and word == "ok":
        return Accepted()
    if outcome := _outcome(WEBHOOK_OUTCOMES.get(word), word, response, now_ms, detail, "recipient"):
        return outcome
    if 200 <= response.status < 300:
        return Ambiguous(detail)
    outcome = by_status(response, now_ms)
    return Refused(f"http_{response.status}", detail) if isinstance(outcome, Misconfigured) else outcome


def _outcome(
    meaning: str | None, word: str, response: HttpResponse, now_ms: int, detail: str, scope: str
) -> Outcome | None:
    """Return the outcome of a word, None when the status decides; `scope` is that of a limit."""
    after_ms = retry_after_ms(response.headers, now_ms)
    match meaning:
        case "account":
            return Misconfigured(detail)
        case "later":
            return Throttled(after_ms or THROTTLED_MS, detail, scope)
        case "again":
            return Transient(detail, after_ms)
        case "unknown":
            return Ambiguous(detail, after_ms)
        case "dead":
            return InvalidRecipient(detail)
        case "refused":
            return Refused(word, detail)
        case _:
            # By the status; a 429 without a word is a pause of the same length.
            late = response.status == 429
            return Throttled(after_ms if after_ms is not None else THROTTLED_MS, detail, scope) if late else None


def verify_request(account: Account, *, now_ms: int, token: str | None) -> HttpRequest | None:
    """Return the `auth.test` call (https://docs.slack.dev/reference/methods/auth.test), None without a bot token: a
    webhook cannot be checked without posting to it."""
    if not (bot_token := account.credentials.get("bot_token")):
        return None
    url = account.settings.get("base_url", BASE_URL).rstrip("/") + "/api/auth.test"
    return HttpRequest("POST", url, {"authorization": f"Bearer {bot_token}"}, b"")


def read_verify(response: HttpResponse, account: Account) -> Misconfigured | None:
    """Return `Misconfigured` when the token is refused, else None. Slack reports errors with HTTP 200; `ratelimited` is
    not about the account."""
    body = object_of(response.body)
    error = str(body.get("error") or "")
    at_fault = body.get("ok") is False and error not in ("ratelimited", "internal_error", "fatal_error")
    return Misconfigured(error_detail(response, error)) if at_fault or response.status in (401, 403, 404) else None
