"""WhatsApp and Slack, bot and webhooks; what they say is copied from the pages their vendor modules name."""

from typing import Final

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    TEXT,
    Account,
    Heard,
    Played,
    Says,
    Secrets,
    bearer,
    json_of,
    path_of,
    text_of,
    unnamed,
)

PHONE_NUMBER_ID: Final = "106540352242922"
HOOK_PATH: Final = "/services/T0SIMULATOR/B0SIMULATOR/"


def _meta(status: int, code: int, words: str, details: str) -> Says:
    body = (
        f'{{"error":{{"message":"(#{code}) {words}","type":"OAuthException","code":{code},"error_data":'
        f'{{"messaging_product":"whatsapp","details":"{details}"}},"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}}}'
    )
    return Says(status, body)


def _slack(status: int, error: str, *, retry_after: bool = False) -> Says:
    return Says(status, f'{{"ok":false,"error":"{error}"}}', retry_after=retry_after)


_WHATSAPP: Final = {
    Answer.ACCEPTED: Says(
        200,
        '{"messaging_product":"whatsapp","contacts":[{"input":"$to","wa_id":"$to"}],"messages":[{"id":"$id"}]}',
    ),
    Answer.THROTTLE: _meta(400, 130429, "Rate limit hit", "Message failed to send: too many messages sent"),
    Answer.ERROR_500: _meta(500, 131000, "Something went wrong", "Message failed to send due to an unknown error."),
    Answer.INVALID_TOKEN: _meta(400, 131026, "Message undeliverable", "Unable to deliver message"),
    Answer.UNAUTHENTICATED: Says(
        401,
        '{"error":{"message":"Invalid OAuth access token - Cannot parse access token","type":"OAuthException",'
        '"code":190,"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}',
    ),
    Answer.MALFORMED: _meta(400, 100, "Invalid parameter", "Parameter value is not valid"),
}
_SLACK: Final = {
    Answer.ACCEPTED: Says(200, '{"ok":true,"channel":"$to","ts":"$ts","message":{"type":"message","ts":"$ts"}}'),
    Answer.THROTTLE: _slack(429, "ratelimited", retry_after=True),
    Answer.ERROR_500: _slack(500, "internal_error"),
    Answer.INVALID_TOKEN: _slack(200, "is_archived"),
    Answer.UNAUTHENTICATED: _slack(200, "invalid_auth"),
    Answer.MALFORMED: _slack(200, "no_text"),
}
_HOOK: Final = {
    Answer.ACCEPTED: Says(200, "ok", TEXT),
    Answer.THROTTLE: Says(429, "rate_limited", TEXT, retry_after=True),
    Answer.ERROR_500: Says(500, "rollup_error", TEXT),
    Answer.INVALID_TOKEN: Says(404, "no_service", TEXT),
    Answer.UNAUTHENTICATED: Says(403, "invalid_token", TEXT),
    Answer.MALFORMED: Says(400, "invalid_payload", TEXT),
}


def _may_whatsapp(request: Request, secrets: Secrets) -> Says | None:
    if not bearer(request, _access_token(secrets)):
        return _WHATSAPP[Answer.UNAUTHENTICATED]
    return None if path_of(request).split("/")[2] == PHONE_NUMBER_ID else _NO_NUMBER


_NO_NUMBER: Final = Says(
    400,
    '{"error":{"message":"Unsupported post request. Object does not exist or cannot be loaded due to missing permissions",'
    '"type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}',
)


def _hear_whatsapp(request: Request, secrets: Secrets) -> Heard:
    body = json_of(request)
    if body["messaging_product"] != "whatsapp":
        raise ValueError("another product")
    text_of(body["text"]["body"] if body["type"] == "text" else body["template"]["name"])
    return Heard(text_of(body["biz_opaque_callback_data"]), text_of(body["to"]))


def _access_token(secrets: Secrets) -> str:
    return f"EAA{secrets.hex('whatsapp', 96)}"


def _may_slack(request: Request, secrets: Secrets) -> Says | None:
    return None if bearer(request, _bot_token(secrets)) else _SLACK[Answer.UNAUTHENTICATED]


def _hear_slack(request: Request, secrets: Secrets) -> Heard:
    body = json_of(request)
    if not body.get("blocks"):
        text_of(body["text"])
    return Heard(text_of(body["metadata"]["event_payload"]["delivery_id"]), text_of(body["channel"]))


def _bot_token(secrets: Secrets) -> str:
    return f"xoxb-{secrets.hex('slack', 48)}"


def _may_hook(request: Request, secrets: Secrets) -> Says | None:
    own = path_of(request).startswith(HOOK_PATH + secrets.hex("slack hook", 24))
    return None if own else _HOOK[Answer.UNAUTHENTICATED]


def _hear_hook(request: Request, secrets: Secrets) -> Heard:
    body = json_of(request)
    content = text_of(body["text"]) if not body.get("blocks") else str(body["blocks"])
    return Heard(unnamed("slack", path_of(request), content), path_of(request))


def _whatsapp_account(secrets: Secrets, origin: str) -> Account:
    settings = {"phone_number_id": PHONE_NUMBER_ID, "base_url": origin}
    return {"settings": settings, "credentials": {"access_token": _access_token(secrets)}}


def _slack_account(secrets: Secrets, origin: str) -> Account:
    settings = {"base_url": origin, "webhook_base_url": origin}
    return {"settings": settings, "credentials": {"bot_token": _bot_token(secrets)}}


def _hook_account(secrets: Secrets, origin: str) -> Account:
    return {"settings": {"webhook_base_url": origin}, "credentials": {}}


def _hook_url(secrets: Secrets, origin: str) -> str:
    return f"{origin}{HOOK_PATH}{secrets.hex('slack hook', 24)}"


PLAYED: Final = (
    Played(
        "whatsapp", "whatsapp", r"/v\d+\.\d/\d+/messages", _may_whatsapp, _hear_whatsapp, _WHATSAPP, "wamid.$hex",
        _whatsapp_account, lambda secrets, origin: "+14155550102",
    ),
    Played(
        "slack", "chat", r"/api/chat\.postMessage", _may_slack, _hear_slack, _SLACK, "$to:$ts", _slack_account,
        lambda secrets, origin: "C0SIMULATOR",
    ),
    Played(
        "slack", "chat", r"/services/[A-Za-z0-9/_-]+", _may_hook, _hear_hook, _HOOK, "", _hook_account, _hook_url,
        name="slack-webhook",
    ),
)  # fmt: skip
