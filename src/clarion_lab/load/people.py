"""The users, templates, categories and request bodies of the load, all derived from numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

ZONES: Final = (
    "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Anchorage", "America/Argentina/Buenos_Aires",
    "America/Bogota", "America/Chicago", "America/Denver", "America/Halifax", "America/Lima", "America/Los_Angeles",
    "America/Mexico_City", "America/New_York", "America/Phoenix", "America/Santiago", "America/Sao_Paulo", "America/Toronto",
    "Asia/Bangkok", "Asia/Dhaka", "Asia/Dubai", "Asia/Hong_Kong", "Asia/Jakarta", "Asia/Karachi", "Asia/Kolkata",
    "Asia/Manila", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Tehran", "Asia/Tokyo", "Australia/Perth",
    "Australia/Sydney", "Europe/Berlin", "Europe/Istanbul", "Europe/London", "Europe/Madrid", "Europe/Moscow",
    "Europe/Paris", "Pacific/Auckland",
)  # fmt: skip
"""Forty zones."""
CATEGORIES: Final = tuple(f"bench_{n:02}" for n in range(12))
BROADCAST_CATEGORY: Final = CATEGORIES[0]
PROFILES: Final = 3_400
OPTED_OUT_EVERY: Final = 25
"""One in this number of profiles opts out of broadcasts in-app."""
TEMPLATE: Final = "bench"
PUSH_PARTS: Final = {
    "title": "Order {{ order }}",
    "body": "It arrives at {{ time }}.",
    "data": {"order": "{{ order }}"},
}
EMAIL_PARTS: Final = {
    "subject": "Order {{ order }}",
    "text": "It arrives at {{ time }}.",
    "html": "<p>Order <b>{{ order }}</b> arrives at {{ time }}.</p>",
}
INAPP_PARTS: Final = {"title": "Order {{ order }}", "body": "It arrives at {{ time }}."}
SMS_PARTS: Final = {"body": "Order {{ order }} arrives at {{ time }}."}
PARTS: Final[dict[str, dict[str, Any]]] = {
    "push": PUSH_PARTS,
    "email": EMAIL_PARTS,
    "inapp": INAPP_PARTS,
    "webpush": PUSH_PARTS,
    "sms": SMS_PARTS,
}


class VendorAddress(NamedTuple):
    """The name of a vendor of the simulator and an example of its addresses."""

    vendor: str
    address: str


def user_id(number: int) -> str:
    """Return the id of a user."""
    return f"user-{number:07}"


def preferences(profile: int) -> dict[str, dict[str, bool]]:
    """Return the preferences of a profile; different profiles below 2**11 x 2 differ in some category."""
    chosen = {BROADCAST_CATEGORY: {"inapp": profile % OPTED_OUT_EVERY != 0, "push": True}}
    for bit, category in enumerate(CATEGORIES[1:]):
        if profile >> bit & 1:
            chosen[category] = {"inapp": False}
    if profile >> len(CATEGORIES[1:]) & 1:
        chosen[CATEGORIES[1]] = {"email": False, **chosen.get(CATEGORIES[1], {})}
    return chosen


def contacts(number: int, reach: VendorAddress) -> dict[str, Any]:
    """Return the contacts of a user that a vendor can reach: a device of the vendor's kind, or a phone number."""
    if reach.vendor == "apns":
        return {"devices": [{"id": "phone", "channel": "push", "token": f"{number:064x}"}]}
    if reach.vendor == "webpush":
        given = msgspec.json.decode(reach.address)
        endpoint = f"{given['endpoint'].rpartition('/')[0]}/{user_id(number)}"
        return {"devices": [{"id": "browser", "channel": "webpush", "subscription": given | {"endpoint": endpoint}}]}
    return {"phone": f"+49151{number:08}"} if reach.vendor == "twilio" else {}


def user(number: int, *, profiles: bool, reach: VendorAddress | None = None) -> dict[str, Any]:
    """Return a user with an e-mail address and one push device, or with the contacts for `reach`; with `profiles` also
    one of the distinct preferences and one of forty zones."""
    body: dict[str, Any] = {
        "id": user_id(number),
        "email": f"user-{number}@example.com",
        "locale": "en",
        "devices": [{"id": "phone", "channel": "push", "token": f"token-{number:07}-{'x' * 120}"}],
    }
    if reach is not None:
        body |= contacts(number, reach)
    if profiles:
        profile = number % PROFILES
        body |= {"zone": ZONES[profile % len(ZONES)], "preferences": preferences(profile)}
    return body


def opted_out(number: int) -> bool:
    """Return whether a user with a profile gets no in-app broadcast."""
    return number % PROFILES % OPTED_OUT_EVERY == 0


def user_lines(numbers: Iterable[int], *, profiles: bool, reach: VendorAddress | None = None) -> bytes:
    """Return users as NDJSON."""
    encode = msgspec.json.Encoder().encode
    return b"\n".join(encode(user(number, profiles=profiles, reach=reach)) for number in numbers) + b"\n"


def data(number: int) -> dict[str, str]:
    """Return the data of a request."""
    return {"order": f"A-{number:06}", "time": f"{number % 24:02}:{number % 60:02}"}


def single(number: int, users: int, channel: str) -> dict[str, Any]:
    """Return a notification for one user on one channel."""
    return {"to": user_id(number % users), "template": TEMPLATE, "channels": [channel], "data": data(number)}


def bodies(requests: int, items: int, users: int, channel: str) -> Iterator[bytes]:
    """Yield request bodies: one notification each, or batches of `items`."""
    encode = msgspec.json.Encoder().encode
    for request in range(requests):
        numbers = range(request * items, (request + 1) * items)
        found = [single(number, users, channel) for number in numbers]
        yield encode({"notifications": found} if items > 1 else found[0])
