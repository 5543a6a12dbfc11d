"""Sandbox: a vendor for every channel that sends nothing. It captures each message for inspection, and a script can
give it every outcome of a real vendor.

The script is in the account's settings. `by_address` maps glob patterns to outcomes, `by_attempt` lists the outcomes of
attempts 1, 2, ... (the last one holds for all later attempts). An outcome is a name (`transient`) or an object
(`{"outcome": "throttled", "after_ms": 2000, "detail": "slow down"}`; `"scope": "recipient"` throttles one recipient and not
the account). Without a script every message is accepted.
"""

from fnmatch import fnmatchcase
from typing import Any, Final

from clarion.domain.channel import CHANNELS
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ATTEMPT_TIMEOUT_MS_MAX
from clarion.domain.message import LocalReply, LocalRequest, Message
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
from clarion.ports.vendor import Field, Traits

TRAITS: Final = Traits(
    vendor="sandbox",
    channels=CHANNELS,
    title="Sandbox: captures messages, sends nothing",
    transport="local",
    settings=(
        Field("by_attempt", kind="list", about='outcome per attempt, such as ["transient", "accepted"]'),
        Field(
            "by_address", kind="object", about='outcome per address pattern, such as {"*@bounce.example": "refused"}'
        ),
        Field("latency_ms", kind="integer", about="how long each answer takes", default=0, most=ATTEMPT_TIMEOUT_MS_MAX),
    ),
    idempotent=True,
)

OUTCOMES: Final = frozenset(
    {"accepted", "throttled", "transient", "ambiguous", "refused", "invalid_recipient", "misconfigured"}
)


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> LocalRequest:
    """Return the captured message. Raises `ValueError` when the script names an unknown outcome."""
    _script(message, account)
    content = {
        "channel": message.channel,
        "address": message.address,
        "user_id": message.user_id,
        "attempt": message.attempt,
        "category": message.category,
        "metadata": message.metadata,
        "parts": message.parts,
    }
    if message.unsubscribe_url:
        content["unsubscribe_url"] = message.unsubscribe_url
    if message.attachments:
        content["attachments"] = [
            {"filename": file.filename, "content_type": file.media, "bytes": len(file.content or b"")}
            for file in message.attachments
        ]
    return LocalRequest(content, latency_ms=int(account.settings.get("latency_ms", 0)))


def read(response: LocalReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the scripted outcome of this address and attempt; `Accepted` carries all of the message's content."""
    script = _script(message, account)
    detail = str(script.get("detail", f"sandbox: {script['outcome']}"))
    match script["outcome"]:
        case "throttled":
            return Throttled(script.get("after_ms"), detail, script.get("scope", "account"))
        case "transient":
            return Transient(detail, script.get("after_ms"))
        case "ambiguous":
            return Ambiguous(detail, script.get("after_ms"))
        case "refused":
            return Refused(str(script.get("reason", "sandbox")), detail)
        case "invalid_recipient":
            return InvalidRecipient(detail)
        case "misconfigured":
            return Misconfigured(detail)
        case _:
            return Accepted(f"sandbox-{message.delivery_id}-{message.attempt}", response.content)


def _script(message: Message, account: Account) -> dict[str, Any]:
    """Return `{"outcome": name, ...}` for this address and attempt."""
    step: Any = account.settings.get("by_attempt") or "accepted"
    for pattern, scripted in (account.settings.get("by_address") or {}).items():
        if fnmatchcase(message.address, pattern):
            step = scripted
            break
    if isinstance(step, list):
        step = step[min(message.attempt, len(step)) - 1] if step else "accepted"
    script = step if isinstance(step, dict) else {"outcome": step}
    if str(script.get("outcome")) not in OUTCOMES:
        raise ValueError(f"sandbox script: {script.get('outcome')!r} is none of {', '.join(sorted(OUTCOMES))}")
    if not isinstance(script.get("after_ms", 0), int | None):
        raise ValueError("sandbox script: after_ms is not a whole number")
    if script.get("scope", "account") not in ("account", "recipient"):
        raise ValueError("sandbox script: scope is neither account nor recipient")
    return script
