"""Checks of requests: each bad input names its field, and a request that passes is in canonical form."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.accept.rules import check
from clarion.domain.channel import LANES, Channel, Lane
from clarion.domain.content import Category, Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import (
    DATA_BYTES_MAX,
    FANOUT_BYTES_MAX,
    FANOUT_VALUES_MAX,
    JSON_DEPTH_MAX,
    SCHEDULE_AHEAD_MS_MAX,
)

NOW_MS = 1_700_000_000_000
TEMPLATE = Template("hello", 1, None, {Channel.SMS: {"body": "x"}}, variables=("name",))


def at(offset_ms: int) -> datetime:
    return datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(milliseconds=offset_ms)


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (lambda: check.contacts({"email": "not an address"}, "to[2]"), "to[2].email"),
        (lambda: check.contacts({"email": "a@b.example\r\nBcc: x@y.example"}, "to"), "to.email"),
        (lambda: check.contacts({"phone": "12345"}, "to"), "to.phone"),
        (lambda: check.contacts({"phone": "+1 202"}, "to"), "to.phone"),
        (lambda: check.contacts({"webhook": "ftp://example.com"}, "to"), "to.webhook"),
        (lambda: check.contacts({"push": "token\nwith a line"}, "to"), "to.push"),
        (lambda: check.contacts({"chat": "x" * 5_000}, "to"), "to.chat"),
        (lambda: check.contacts({"email": None}, "to[0]"), "to[0]"),
        (lambda: check.channels(TEMPLATE, [Channel.EMAIL]), "channels"),
        (lambda: check.data({}, ["name"], "it"), "data.name"),
        (lambda: check.data({"deep": nested(JSON_DEPTH_MAX + 1)}, [], "it"), "data.deep"),
        (lambda: check.size(b"x" * (DATA_BYTES_MAX + 1), 1), "data"),
        (lambda: check.size(b"x" * (FANOUT_BYTES_MAX // 100), 101), "data"),
        (lambda: check.size(b"," * (FANOUT_VALUES_MAX // 100), 101), "data"),
        (lambda: check.metadata({"order": "7\r\n"}), "metadata.order"),
        (lambda: check.metadata({"or\u2028der": "7"}), "metadata.or\u2028der"),
        (lambda: check.times(at(SCHEDULE_AHEAD_MS_MAX + 1_000), None, NOW_MS), "send_at"),
        (lambda: check.times(None, at(0), NOW_MS), "expires_at"),
        (lambda: check.times(at(60_000), at(59_000), NOW_MS), "expires_at"),
        (lambda: check.header_text("a\nb", "ordering_key", 128), "ordering_key"),
        (lambda: check.header_text("x" * 129, "ordering_key", 128), "ordering_key"),
    ],
)
def test_a_bad_input_names_its_field(bad, field):
    with pytest.raises(InvalidField) as refusal:
        bad()
    assert refusal.value.field == field
    assert refusal.value.detail


def test_contacts_are_canonical():
    given_ = {"email": "Ana@EXAMPLE.com", "phone": "+1 (202) 555-0143", "chat": "C1", "push": None}
    assert check.contacts(given_, "to") == {"email": "Ana@example.com", "phone": "+12025550143", "chat": "C1"}


def test_a_request_within_bounds_passes():
    check.data({"name": nested(JSON_DEPTH_MAX - 1)}, ["name"], "it")
    check.size(b"x" * DATA_BYTES_MAX, 1)
    check.size(b"x" * (FANOUT_BYTES_MAX // 100), 100)
    check.size(b"," * (FANOUT_VALUES_MAX // 100), 100)
    check.metadata({"order": "7"})
    check.metadata(None)
    check.header_text(None, "ordering_key", 1)
    assert check.channels(TEMPLATE, None) is None
    assert check.channels(TEMPLATE, [Channel.EMAIL, Channel.SMS, Channel.EMAIL]) == ["email", "sms"]


@given(st.sampled_from(LANES), st.none() | st.sampled_from(LANES))
def test_a_request_may_lower_the_lane_of_its_category_but_not_raise_it(category, priority):
    chosen = check.lane(Category("c", lane=category), priority)
    assert LANES.index(chosen) >= LANES.index(category)
    assert chosen in (category, priority)
    assert check.lane(None, priority) == (priority or Lane.NORMAL)


@given(st.none() | st.integers(-(10**9), SCHEDULE_AHEAD_MS_MAX), st.none() | st.integers(-(10**9), 2 * 10**10))
def test_times_are_in_order_or_refused(send_ms, expire_ms):
    send_at = None if send_ms is None else at(send_ms)
    expires_at = None if expire_ms is None else at(expire_ms)
    try:
        times = check.times(send_at, expires_at, NOW_MS)
    except InvalidField as refusal:
        assert refusal.field == "expires_at"
        assert expire_ms <= max(send_ms or 0, 0)
        return
    assert times.send_at_ms is None or times.send_at_ms > NOW_MS
    assert times.expires_ms is None or times.expires_ms > (times.send_at_ms or NOW_MS)
