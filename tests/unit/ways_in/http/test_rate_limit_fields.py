"""The `RateLimit` fields, read by the grammar of structured fields (RFC 9651, section 4.2)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import QuotaStatus
from clarion.ways_in.http.rate_limit_fields import rate_limit_fields

STRING = r'"(?P<{}>(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
PARAMETER = re.compile(r"; *(?P<key>[a-z*][a-z0-9_.*-]*)=(?:(?P<number>-?\d{1,15})|" + STRING.format("text") + ")")
NAME = re.compile(STRING.format("name"))
COMMA = re.compile(r"[ \t]*,[ \t]*")


def parsed(text: str) -> dict[str, dict[str, int | str]]:
    """Return the members of a list of strings with parameters. Raises `AssertionError` when it is none."""
    found: dict[str, dict[str, int | str]] = {}
    at = 0
    while True:
        name = NAME.match(text, at)
        assert name, text[at:]
        assert name["name"] not in found
        parameters = found[name["name"]] = {}
        at = name.end()
        while one := PARAMETER.match(text, at):
            parameters[one["key"]] = int(one["number"]) if one["number"] else one["text"]
            at = one.end()
        if at == len(text):
            return found
        comma = COMMA.match(text, at)
        assert comma, text[at:]
        at = comma.end()


statuses = st.none() | st.builds(QuotaStatus, *[st.integers(0, 10**12)] * 4)


@given(statuses, statuses)
def test_both_fields_name_the_same_policies(requests, events):
    fields = {name.decode(): parsed(value.decode()) for name, value in rate_limit_fields(requests, events)}
    wanted = {"requests": requests, "events": events}
    wanted = {name: status for name, status in wanted.items() if status is not None}
    if not wanted:
        assert fields == {}
        return
    assert list(fields) == ["ratelimit-policy", "ratelimit"]
    for name, status in wanted.items():
        unit = {"qu": "events"} if name == "events" else {}
        assert fields["ratelimit-policy"].pop(name) == {"q": status.limit, "w": status.window_s} | unit
        assert fields["ratelimit"].pop(name) == {"r": status.remaining, "t": status.reset_s}
    assert fields == {"ratelimit-policy": {}, "ratelimit": {}}


@pytest.mark.parametrize("text", ["", "requests;r=1", '"a" ;r=1', '"a";r=1,', '"a";R=1', '"a";r=1;', '"a";r=1.5'])
def test_the_reader_refuses_what_is_no_such_list(text):
    with pytest.raises(AssertionError):
        parsed(text)


def test_the_fields_are_those_of_the_drafts_examples():
    assert rate_limit_fields(QuotaStatus(3000, 2999, 1, 60), None) == (
        (b"ratelimit-policy", b'"requests";q=3000;w=60'),
        (b"ratelimit", b'"requests";r=2999;t=1'),
    )
