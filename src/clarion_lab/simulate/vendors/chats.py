"""WhatsApp and Slack, bot and webhooks; their responses are copied from the pages that their vendor modules name."""

from typing import Final

from clarion_lab.simulate.faults import Answer
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import (
    TEXT,
    Account,
    Secrets,
    VendorAnswer,
    VendorCall,
    VendorScript,
    bearer,
    json_of,
    path_of,
    text_key,
    text_of,
)

PHONE_NUMBER_ID: Final = "106540352242922"
HOOK_PATH: Final = "/services/T0SIMULATOR/B0SIMULATOR/"


def _meta(status: int, code: int, words: str, details: str) -> VendorAnswer:
    body = (
        f'{{"error":{{"message":"(#{code}) {words}","type":"OAuthException","code":{code},"error_data":'
        f'{{"messaging_product":"whatsapp","details":"{details}"}},"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}}}'
    )
    return VendorAnswer(status, body)


def _slack(status: int, error: str, *, retry_after: bool = False) -> VendorAnswer:
    return VendorAnswer(status, f'{{"ok":false,"error":"{error}"}}', retry_after=retry_after)


_WHATSAPP: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200,
        '{"messaging_product":"whatsapp","contacts":[{"input":"$to","wa_id":"$to"}],"messages":[{"id":"$id"}]}',
    ),
    Answer.THROTTLE: _meta(400, 130429, "Rate limit hit", "Message failed to send: too many messages sent"),
    Answer.ERROR_500: _meta(500, 131000, "Something went wrong", "Message failed to send due to an unknown error."),
    Answer.INVALID_TOKEN: _meta(400, 131026, "Message undeliverable", "Unable to deliver message"),
    Answer.UNAUTHENTICATED: VendorAnswer(
        401,
        '{"error":{"message":"Invalid OAuth access token - Cannot parse access token","type":"OAuthException",'
        '"code":190,"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}',
    ),
    Answer.MALFORMED: _meta(400, 100, "Invalid parameter", "Parameter value is not valid"),
}
_SLACK: Final = {
    Answer.ACCEPTED: VendorAnswer(
        200, '{"ok":true,"channel":"$to","ts":"$ts","message":{"type":"message","ts":"$ts"}}'
    ),
    Answer.THROTTLE: _slack(429, "ratelimited", retry_after=True),
    Answer.ERROR_500: _slack(500, "internal_error"),
    Answer.INVALID_TOKEN: _slack(200, "is_archived"),
    Answer.UNAUTHENTICATED: _slack(200, "invalid_auth"),
    Answer.MALFORMED: _slack(200, "no_text"),
}
_HOOK: Final = {
    Answer.ACCEPTED: VendorAnswer(200, "ok", TEXT),
    Answer.THROTTLE: VendorAnswer(429, "rate_limited", TEXT, retry_after=True),
    Answer.ERROR_500: VendorAnswer(500, "rollup_error", TEXT),
    Answer.INVALID_TOKEN: VendorAnswer(404, "no_service", TEXT),
    Answer.UNAUTHENTICATED: VendorAnswer(403, "invalid_token", TEXT),
    Answer.MALFORMED: VendorAnswer(400, "invalid_payload", TEXT),
}


def _authenticate_whatsapp(request: Request, secrets: Secrets) -> VendorAnswer | None:
    if not bearer(request, _access_token(secrets)):
        return _WHATSAPP[Answer.UNAUTHENTICATED]
    return None if path_of(request).split("/")[2] == PHONE_NUMBER_ID else _NO_NUMBER


_NO_NUMBER: Final = VendorAnswer(
    400,
    '{"error":{"message":"Unsupported post request. Object does not exist or cannot be loaded due to missing permissions",'
    '"type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}',
)


def _parse_whatsapp(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    if body["messaging_product"] != "whatsapp":
        raise ValueError("another product")
    text_of(body["text"]["body"] if body["type"] == "text" else body["template"]["name"])
    return VendorCall(text_of(body["biz_opaque_callback_data"]), text_of(body["to"]))


def _access_token(secrets: Secrets) -> str:
    return f"EAA{secrets.hex('whatsapp', 96)}"


def _authenticate_slack(request: Request, secrets: Secrets) -> VendorAnswer | None:
    return None if bearer(request, _bot_token(secrets)) else _SLACK[Answer.UNAUTHENTICATED]


def _parse_slack(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    if not body.get("blocks"):
        text_of(body["text"])
    return VendorCall(text_of(body["metadata"]["event_payload"]["delivery_id"]), text_of(body["channel"]))


def _bot_token(secrets: Secrets) -> str:
    return f"xoxb-{secrets.hex('slack', 48)}"


def _authenticate_hook(request: Request, secrets: Secrets) -> VendorAnswer | None:
    own = path_of(request).startswith(HOOK_PATH + secrets.hex("slack hook", 24))
    return None if own else _HOOK[Answer.UNAUTHENTICATED]


def _parse_hook(request: Request, secrets: Secrets) -> VendorCall:
    body = json_of(request)
    content = text_of(body["text"]) if not body.get("blocks") else str(body["blocks"])
    return VendorCall(text_key("slack", path_of(request), content), path_of(request))


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


SCRIPTS: Final = (
    VendorScript(
        "whatsapp", "whatsapp", r"/v\d+\.\d/\d+/messages", _authenticate_whatsapp, _parse_whatsapp, _WHATSAPP, "wamid.$hex",
        _whatsapp_account, lambda secrets, origin: "+14155550102",
    ),
    VendorScript(
        "slack", "chat", r"/api/chat\.postMessage", _authenticate_slack, _parse_slack, _SLACK, "$to:$ts", _slack_account,
        lambda secrets, origin: "C0SIMULATOR",
    ),
    VendorScript(
        "slack", "chat", r"/services/[A-Za-z0-9/_-]+", _authenticate_hook, _parse_hook, _HOOK, "", _hook_account, _hook_url,
        name="slack-webhook",
    ),
)  # fmt: skip
