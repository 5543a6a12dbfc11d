"""The demo's sample data, created over the public API: categories, templates, a workflow, users, a topic, providers."""

import base64
import hashlib
from typing import Any, Final

import msgspec

from clarion.app.cli.remote import Remote
from clarion.domain.channel import Channel
from clarion.domain.errors import OperatorError
from clarion_lab.demo.mailbox import HOST, USER, Mailbox

TENANT: Final = "demo"
TOPIC: Final = "runners"
USERS: Final = 50
OPTED_OUT: Final = 2
SUPPRESSED: Final = 3
FAILS_ONCE: Final = 4
_NAMES: Final = ("Ada", "Björn", "Chiara", "Dmitri", "Élodie", "Femi", "Grace", "Hana", "Inés", "Jonas")
_ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Lagos", "America/Sao_Paulo")

CATEGORIES: Final[dict[str, dict[str, Any]]] = {
    "security": {"critical": True, "priority": "critical"},
    "order_update": {"priority": "high"},
    "marketing": {"priority": "bulk"},
}
TEMPLATES: Final[dict[str, dict[str, Any]]] = {
    "order_shipped": {
        "category": "order_update",
        "channels": {
            "email": {
                "subject": "Order {{ order }} is on its way",
                "text": "Hello {{ user.attributes.name | default: 'there' }}, order {{ order }} arrives {{ day }}.",
                "html": "<p>Hello {{ user.attributes.name | default: 'there' }},</p>"
                "<p>order <b>{{ order }}</b> arrives {{ day }}:</p>"
                "<ul>{% for item in items %}<li>{{ item }}</li>{% endfor %}</ul>",
            },
            "sms": {"body": "Order {{ order }} arrives {{ day }}."},
            "push": {"title": "On its way", "body": "Order {{ order }}", "data": {"order": "{{ order }}"}},
            "webpush": {"title": "On its way", "body": "Order {{ order }} arrives {{ day }}."},
            "whatsapp": {"body": "Order {{ order }} arrives {{ day }}."},
            "chat": {"text": "Order {{ order }} arrives {{ day }}."},
            "inapp": {"title": "Order {{ order }} is on its way", "body": "It arrives {{ day }}."},
            "webhook": {"type": "order.shipped", "data": {"order": "{{ order }}", "day": "{{ day }}"}},
        },
    },
    "sign_in_code": {
        "category": "security",
        "channels": {
            "sms": {"body": "{{ code }} is your sign-in code."},
            "email": {"subject": "Your sign-in code", "text": "{{ code }} is your sign-in code."},
        },
    },
    "comments": {
        "channels": {"inapp": {"title": "{{ digest.count }} comments on your run, {{ digest.items[0].name }} first"}},
    },
    "summer_sale": {
        "category": "marketing",
        "channels": {
            "inapp": {"title": "Summer sale", "body": "{{ percent }} % off until {{ day }}."},
            "push": {"title": "Summer sale", "body": "{{ percent }} % off until {{ day }}."},
        },
    },
}
WORKFLOWS: Final[dict[str, dict[str, Any]]] = {
    "comments": {
        "steps": [
            {"kind": "digest", "name": "collect", "window": {"fixed": "1s"}},
            {"kind": "send", "name": "tell", "template": "comments"},
        ],
        "variables": ["name"],
    },
}


def user_id(number: int) -> str:
    """Return the id of a user; users count from 1."""
    return f"user-{number:02}"


def zone_of(number: int) -> str:
    """Return the IANA zone of a user."""
    return _ZONES[number % len(_ZONES)]


def email_of(number: int) -> str:
    """Return the e-mail address of a user."""
    return f"user{number:02}@example.com"


def phone_of(number: int) -> str:
    """Return the phone number of a user, out of the range reserved for fiction."""
    return f"+1415555{100 + number:04}"


def seed_data(demo: Remote, mailbox: Mailbox) -> None:
    """Create the sample data, or restore it."""
    for key, category in CATEGORIES.items():
        demo.put(f"/v1/categories/{key}", category)
    for key, template in TEMPLATES.items():
        demo.put(f"/v1/templates/{key}", template)
    for key, workflow in WORKFLOWS.items():
        demo.put(f"/v1/workflows/{key}", workflow)
    demo.put(f"/v1/topics/{TOPIC}", {"name": "Runners"})
    lines = b"\n".join(msgspec.json.encode(_user(number)) for number in range(1, USERS + 1))
    report = msgspec.json.decode(demo.call("POST", "/v1/users/bulk", lines, "application/x-ndjson"))
    if report["failed"]:
        raise OperatorError(f"the demo's own users were refused: {report['errors'][:3]}")
    demo.post("/v1/suppressions", {"channel": "email", "address": email_of(SUPPRESSED), "reason": "complaint"})
    _providers(demo, mailbox)


def _providers(demo: Remote, mailbox: Mailbox) -> None:
    for channel in Channel:
        if channel is Channel.INAPP:
            continue  # has its own inbox, no account needed
        body: dict[str, Any] = {"channel": channel, "vendor": "sandbox", "priority": 100}
        if channel is Channel.SMS:
            script = [{"outcome": "transient", "detail": "scripted: fails once", "after_ms": 300}, "accepted"]
            body["settings"] = {"by_address": {phone_of(FAILS_ONCE): script}}
        demo.put(f"/v1/providers/sandbox-{channel}", body)
    settings = {"host": HOST, "port": mailbox.port, "security": "starttls", "from_email": "shop@example.com"}
    body = {"channel": "email", "vendor": "smtp", "priority": 1, "settings": settings}
    demo.put("/v1/providers/smtp", body | {"credentials": {"username": USER, "password": mailbox.password}})


def _user(number: int) -> dict[str, Any]:
    name = _NAMES[number % len(_NAMES)]
    user: dict[str, Any] = {
        "id": user_id(number),
        "email": email_of(number),
        "phone": phone_of(number),
        "whatsapp": phone_of(number),
        "chat": f"U{number:04}",
        "webhook": f"https://hooks.example.com/{user_id(number)}",
        "locale": ("en", "de", "fr")[number % 3],
        "zone": zone_of(number),
        "attributes": {"name": name, "plan": "pro" if number % 4 == 0 else "free"},
        "devices": [
            {"id": "phone", "channel": "push", "token": f"device-token-{number:04}-{'x' * 64}"},
            {"id": "browser", "channel": "webpush", "subscription": _subscription(number)},
        ],
        "preferences": {},
        "topics": [TOPIC] if number % 2 == 0 else [],
    }
    if number == OPTED_OUT:
        user["preferences"] = {"order_update": {"email": False}}
    elif number % 5 == 0:
        user["preferences"] = {"marketing": {"inapp": False, "push": False}}
    return user


def _subscription(number: int) -> dict[str, Any]:
    """Return a web-push subscription of the right shape; the sandbox accepts it and encrypts nothing."""
    bits = hashlib.sha512(str(number).encode()).digest()
    keys = {"p256dh": _base64url(b"\x04" + bits), "auth": _base64url(bits[:16])}
    return {"endpoint": f"https://push.example.com/{number}", "keys": keys}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
