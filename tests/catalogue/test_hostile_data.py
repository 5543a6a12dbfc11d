"""Data of a template of the catalogue stays data: in HTML it is text, and nothing evaluates it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.template import Sample
from tests.catalogue.shelf import KEYS, LOCALES, built, reading, tried

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="a()">\'&{{ 7 | times: 7 }}{% t x %}'


def spoiled(value: Any) -> Iterator[Any]:
    """Yield the value once for each text in it, with that text replaced by a hostile one."""
    if isinstance(value, str):
        yield HOSTILE
    elif isinstance(value, dict):
        for name in value:
            yield from ({**value, name: other} for other in spoiled(value[name]))
    elif isinstance(value, list):
        for at in range(len(value)):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in spoiled(value[at]))


def samples(key: str) -> Iterator[Sample]:
    sample = reading().folder.templates[key].sample
    yield from (msgspec.structs.replace(sample, data=data) for data in spoiled(sample.data))
    yield from (msgspec.structs.replace(sample, user=user) for user in spoiled(sample.user))


@pytest.mark.parametrize("key", KEYS)
def test_hostile_texts_stay_texts(key: str):
    """An invalid date is an error of its channel; every other text is shown unchanged."""
    shown = 0
    for sample in samples(key):
        for locale in LOCALES:
            done = tried(built(key), sample, locale)
            html = done.parts.get(Channel.EMAIL, {}).get("html", "")
            assert "<img src=x" not in html
            assert 'onerror="a()"' not in html
            body = str(done.parts.get(Channel.SMS, {}).get("body", ""))
            assert ("onerror" in body) <= ("{{ 7 | times: 7 }}{% t x %}" in body)
            shown += "&lt;img src=x" in html
    assert shown
