"""Fixtures of the scenarios: an installation with a few users and templates."""

import pytest

from clarion.testing import Clarion
from tests.testing.people import put_person

START = "2026-03-02T09:00:00Z"
TEMPLATES = {
    "sale": {"push": {"title": "Sale"}, "sms": {"body": "Sale"}},
    "alert": {"push": {"title": "New login"}},
    "hello": {"push": {"title": "Hello {{ name }}"}, "sms": {"body": "Hello {{ name }}"}},
    "note": {"sms": {"body": "{{ text }}"}},
    "news": {"inapp": {"title": "News"}, "push": {"title": "News"}},
    "summary": {"sms": {"body": "{{ digest.count }}: {{ digest.first[0].text }}"}},
}


@pytest.fixture
def clarion():
    with Clarion(start=START) as clarion:
        for key, channels in TEMPLATES.items():
            clarion.put_template(key, {"channels": channels})
        put_person(clarion, "ana", "Europe/Rome")
        yield clarion
