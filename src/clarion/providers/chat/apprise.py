"""Apprise: over a hundred services behind one URL each, by the library of that name (https://github.com/caronc/apprise/wiki).

The library is an extra of this package. It makes the calls of a service; they go through the guarded client, and the decisive
answer comes here. Services say what is wrong in many ways, so the HTTP status decides.
"""

import re
from importlib.util import find_spec
from typing import Final
from urllib.parse import quote, unquote

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.masking import secrets_of, unsaid
from clarion.domain.message import AppriseReply, AppriseRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers.answers import by_status, retry_after_ms, said
from clarion.providers.apprise_schemes import SCHEMES

ADDRESS: Final = "{address}"
"""In the path of an account's URL, the place of a person's address."""
URL_PATTERN: Final = r"(?!\w+://[^/]*\{address\})(?!.*\?.*\{address\})[A-Za-z0-9]+://[^\s\x00-\x1f\x7f]+"
NEEDED: Final = "needs the extra clarion[apprise]"

TRAITS: Final = Traits(
    vendor="apprise",
    channels=(Channel.CHAT,),
    title="Apprise",
    transport="apprise",
    settings=(
        Field("format", pattern="text|markdown|html", about="what the text is", default="text"),
        Field("overflow", pattern="refuse|split|truncate", about="what becomes of a text too long", default="refuse"),
        Field("url_from_address", kind="boolean", about="addresses are Apprise URLs themselves", default=False),
    ),
    credentials=(Field("url", pattern=URL_PATTERN, about="the service in Apprise's form", schemes=SCHEMES),),
    parts=("text",),
    required_parts=("text",),
    docs="https://github.com/caronc/apprise/wiki",
    limits=(
        ContentLimit(
            ("text",), "chars", 0, "refuse", "as the service says; `overflow` has it split or shortened instead"
        ),
    ),
    missing="" if find_spec("apprise") else NEEDED,
)

REASONS: Final[dict[str, str]] = {
    "unknown_url": "the service cannot read its URL",
    "no_call": "the service made no call",
    "missing": NEEDED,
    "fenced": "the service tried something other than a call over HTTP",
}
"""Why nothing was sent."""

_SAFE_ADDRESS: Final = re.compile(r"[A-Za-z0-9@#+._:!=~-]+")
"""No white space, comma or slash: the library would read several targets from one address."""
_NAMED: Final = re.compile(r"[A-Za-z0-9]+://[^\s\x00-\x1f\x7f]+")
_BETWEEN: Final = re.compile(r"[/?&=@:,+#;]+")


def build(message: Message, account: Account, *, now_ms: int, token: str | None) -> AppriseRequest:
    """Return the message for the service of the account, or of the address where the account says so."""
    text = message.parts.get("text") or ""
    if not text.strip():
        raise ValueError("an Apprise message needs a text")
    settings = account.settings
    return AppriseRequest(
        _url(message, account), text, settings.get("format", "text"), settings.get("overflow", "refuse")
    )


def _url(message: Message, account: Account) -> str:
    if _is_address(account):
        if not _NAMED.fullmatch(message.address) or message.address.partition("://")[0].lower() not in SCHEMES:
            raise ValueError("the address is not the URL of a service that can be used")
        return message.address
    url = str(account.credentials.get("url", ""))
    if not url:
        raise ValueError("the account has no url, and url_from_address is off")
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        raise ValueError("the account's url is not one of a service that can be used")
    if ADDRESS not in url:
        return url
    place, mark, query = rest.partition("?")
    host, _, path = place.partition("/")
    if ADDRESS in host or ADDRESS in query:
        raise ValueError("{address} can only stand in the path of the url")
    if not _SAFE_ADDRESS.fullmatch(message.address):
        raise ValueError("the address has characters that cannot be put into the account's url")
    return f"{scheme}://{host}/{path.replace(ADDRESS, quote(message.address, safe=''))}{mark}{query}"


def _is_address(account: Account) -> bool:
    return bool(account.settings.get("url_from_address"))


def read(response: AppriseReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return what became of a message."""
    answer = response.response
    if answer is None:
        return _unsent(response, message, account)
    if response.done and 200 <= answer.status < 300:
        return Accepted(detail=_fitted(response.over_chars, account))
    detail = _hidden(said(answer), message, account)
    outcome = _by_answer(answer, detail, now_ms, _is_address(account))
    if not response.partly:
        return outcome
    # Another try would send again what arrived. Where it may help at all, the policy for doubt decides.
    if isinstance(outcome, Throttled | Transient):
        return Ambiguous(f"a part may have arrived: {detail}", outcome.after_ms)
    return Refused("partly_sent", f"a part may have arrived: {detail}")


def _fitted(over_chars: int, account: Account) -> str:
    """Return what was done to a text that is longer than the service takes."""
    what = "split" if account.settings.get("overflow") == "split" else "shortened"
    return f"the text was {what}: {over_chars:,} characters are what the service takes" if over_chars else ""


def _by_answer(answer: HttpResponse, detail: str, now_ms: int, is_address: bool) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        # The library reads the body too: the service says no with a good status.
        return Refused("service_refused", detail)
    if status in (401, 403, 404):
        # What a person gave as their address says nothing about the account.
        return Refused(f"http_{status}", detail) if is_address else Misconfigured(detail)
    if status == 429:
        return Throttled(retry_after_ms(answer.headers, now_ms), detail, "recipient" if is_address else "account")
    return by_status(answer, now_ms, detail.partition(": ")[2])


def _unsent(reply: AppriseReply, message: Message, account: Account) -> Outcome:
    word, _, most = reply.reason.partition(":")
    if word == "too_long":
        return Refused("too_long", f"the text is longer than the {most} characters the service takes")
    words = REASONS.get(word, "nothing was sent")
    detail = _hidden(f"{words}: {reply.detail}" if reply.detail else words, message, account)
    return Refused(word or "no_call", detail) if _is_address(account) else Misconfigured(detail)


def _hidden(words: str, message: Message, account: Account) -> str:
    """Return words without the URL and without what stands in it: tokens, passwords, the ids of rooms."""
    url = message.address if _is_address(account) else str(account.credentials.get("url", ""))
    pieces = _BETWEEN.split(url.partition("://")[2])
    known = {str(index): piece for index, piece in enumerate([url, *pieces, *map(unquote, pieces)])}
    return unsaid(words, secrets_of(known))
