"""Of what a vendor tells, and how it is put into a call."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.vendors.script import Account, Secrets

What: TypeAlias = Literal["sent", "delivered", "read", "bounced", "complained", "stop"]

STORIES: Final[dict[str, tuple[What, ...]]] = {
    "550": ("bounced",),
    "551": ("delivered", "complained"),
    "552": ("delivered", "stop"),
}
"""What becomes of a message, by the last three characters of its address (in front of the `@` of a mailbox)."""
USUAL: Final[tuple[What, ...]] = ("sent", "delivered", "read")


class Mail(msgspec.Struct, frozen=True):
    """A message a vendor has taken: to whom, its id there, and what of the request a vendor gives back."""

    vendor: str
    to: str
    id: str
    back: dict[str, Any] = {}


class Hook(msgspec.Struct, frozen=True):
    """A call to the receipts URL, or to the one that the message brought along."""

    url: str
    headers: dict[str, str]
    body: bytes


class Teller(msgspec.Struct, frozen=True):
    """How a vendor tells. `back` reads what it gives back out of the request, for the message at a place in it; `hooks`
    returns the calls that tell one thing (Unix seconds), none when the vendor never tells that. `account` returns what the
    vendor's account needs beside what sending takes."""

    back: Callable[[Request, int], dict[str, Any]]
    hooks: Callable[[Mail, What, str, float, Secrets], list[Hook]]
    account: Callable[[Secrets], Account] = lambda secrets: {}


def story(to: str) -> tuple[What, ...]:
    """Return what happens to a message, in order."""
    return STORIES.get(to.partition("@")[0][-3:], USUAL)


def hooks_of(teller: Teller, mail: Mail, url: str, at_s: float, secrets: Secrets) -> list[Hook]:
    """Return every call a vendor makes about a message, in order; each thing happens a second after the one before."""
    found: list[Hook] = []
    for index, what in enumerate(story(mail.to)):
        found += teller.hooks(mail, what, url, at_s + index, secrets)
    return found


def json_hook(url: str, value: Any, headers: dict[str, str], *, body: bytes | None = None) -> Hook:
    """Return a call with JSON, or with the bytes that were signed."""
    raw = msgspec.json.encode(value) if body is None else body
    return Hook(url, {"content-type": "application/json", **headers}, raw)


def digits(to: str) -> str:
    """Return a phone number without its plus."""
    return to.removeprefix("+")


def place(listed: Sequence[Any], index: int) -> Any:
    """Return the entry for a message, the first where one is for all."""
    return listed[index] if index < len(listed) else listed[0]
