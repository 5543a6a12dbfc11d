"""Apprise: over a hundred services behind one URL each, by the library of that name (https://github.com/caronc/apprise/wiki).

The library is an extra of this package. It makes the calls of a service through the guarded client, and the decisive
response is read here. Services report errors in many ways, so the HTTP status decides.
"""

import re
from importlib.util import find_spec
from typing import Final
from urllib.parse import quote, unquote

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.masking import mask_secrets, secrets_of
from clarion.domain.message import AppriseReply, AppriseRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Outcome, Refused, Throttled, Transient
from clarion.ports.vendor import ContentLimit, Field, Traits
from clarion.providers.answers import by_status, error_detail, retry_after_ms
from clarion.providers.apprise_schemes import SCHEMES

ADDRESS: Final = "{address}"
"""The placeholder of a recipient's address in the path of an account's URL."""
URL_PATTERN: Final = r"(?!\w+://[^/]*\{address\})(?!.*\?.*\{address\})[A-Za-z0-9]+://[^\s\x00-\x1f\x7f]+"
NEEDED: Final = "needs the extra clarion[apprise]"

TRAITS: Final = Traits(
    vendor="apprise",
    channels=(Channel.CHAT,),
    title="Apprise",
    transport="apprise",
    settings=(
        Field("format", pattern="text|markdown|html", about="what the text is", default="text"),
        Field("overflow", pattern="refuse|split|truncate", about="for a text that is too long", default="refuse"),
        Field("url_from_address", kind="boolean", about="addresses are Apprise URLs themselves", default=False),
    ),
    credentials=(Field("url", pattern=URL_PATTERN, about="the service in Apprise's form", schemes=SCHEMES),),
    parts=("text",),
    required_parts=("text",),
    docs="https://github.com/caronc/apprise/wiki",
    limits=(
        ContentLimit(
            ("text",), "chars", 0, "refuse", "the service's limit; with `overflow`, split or shortened instead"
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
    """Return the message for the service of the account, or of the address where `url_from_address` is set. Raises
    `ValueError` when there is no text, or no URL that can be used."""
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
        raise ValueError("{address} can only be in the path of the url")
    if not _SAFE_ADDRESS.fullmatch(message.address):
        raise ValueError("the address has characters that cannot be put into the account's url")
    return f"{scheme}://{host}/{path.replace(ADDRESS, quote(message.address, safe=''))}{mark}{query}"


def _is_address(account: Account) -> bool:
    return bool(account.settings.get("url_from_address"))


def read(response: AppriseReply, message: Message, account: Account, *, now_ms: int) -> Outcome:
    """Return the outcome of a message, by the HTTP status of the decisive response."""
    answer = response.response
    if answer is None:
        return _unsent(response, message, account)
    if response.done and 200 <= answer.status < 300:
        return Accepted(detail=_fitted(response.over_chars, account))
    detail = _hidden(error_detail(answer), message, account)
    outcome = _by_answer(answer, detail, now_ms, _is_address(account))
    if not response.partly:
        return outcome
    # A retry would repeat the parts that arrived. Where one may help, the policy for ambiguous outcomes decides.
    if isinstance(outcome, Throttled | Transient):
        return Ambiguous(f"a part may have arrived: {detail}", outcome.after_ms)
    return Refused("partly_sent", f"a part may have arrived: {detail}")


def _fitted(over_chars: int, account: Account) -> str:
    """Return a note on how a text that is too long for the service was changed, "" when it was not."""
    what = "split" if account.settings.get("overflow") == "split" else "shortened"
    return f"the text was {what}: {over_chars:,} characters are what the service takes" if over_chars else ""


def _by_answer(answer: HttpResponse, detail: str, now_ms: int, is_address: bool) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        # The library reads the body too: the service refused with a 2xx status.
        return Refused("service_refused", detail)
    if status in (401, 403, 404):
        # The URL is a recipient's address, so the response says nothing about the account.
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
    """Return a text without the URL and the secrets in it: tokens, passwords, the ids of rooms."""
    url = message.address if _is_address(account) else str(account.credentials.get("url", ""))
    pieces = _BETWEEN.split(url.partition("://")[2])
    known = {str(index): piece for index, piece in enumerate([url, *pieces, *map(unquote, pieces)])}
    return mask_secrets(words, secrets_of(known))
