"""Templates and users of the end-to-end tests."""

from typing import Any

WELCOME: dict[str, Any] = {
    "email": {
        "subject": "Welcome, {{ name }}",
        "text": "Hello {{ name }}, your code is {{ code }}.",
        "html": "<p>Hello {{ name }}, your code is <b>{{ code }}</b>.</p>",
    },
    "sms": {"body": "{{ name }}: {{ code }}"},
    "push": {"title": "Welcome", "body": "Hello {{ name }}", "data": {"code": "{{ code }}"}},
    "webpush": {"title": "Welcome", "body": "Hello {{ name }}"},
    "whatsapp": {"body": "Hello {{ name }} ({{ code }})"},
    "chat": {"text": "{{ name }} joined with {{ code }}"},
    "inapp": {"title": "Welcome, {{ name }}", "body": "Code {{ code }} in {{ user.city }}", "url": "/codes/{{ code }}"},
    "webhook": {"type": "user.welcomed", "data": {"name": "{{ name }}", "code": "{{ code }}"}},
}
"""Content for every channel; reads `name` and `code`, and the user's city in the inbox."""
NOTE: dict[str, Any] = {"sms": {"body": "{{ text }}"}, "inapp": {"title": "{{ text }}"}}
ADA: dict[str, Any] = {
    "email": "ada@example.com",
    "phone": "+14155550101",
    "whatsapp": "+14155550102",
    "chat": "U0ADA",
    "webhook": "https://hooks.example.com/ada",
    "locale": "en-GB",
    "zone": "Europe/London",
    "attributes": {"city": "London"},
    "devices": [
        {"id": "phone", "channel": "push", "token": "token-of-ada"},
        {
            "id": "browser",
            "channel": "webpush",
            "subscription": {
                "endpoint": "https://push.example.com/ada",
                "keys": {"p256dh": "B" * 87, "auth": "A" * 22},
            },
        },
    ],
}
"""Someone who can be reached on every channel."""


def phone(number: int) -> str:
    """Return a phone number from the range reserved for fiction."""
    return f"+1415555{number:04}"
