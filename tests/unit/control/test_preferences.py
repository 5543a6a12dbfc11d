"""Preferences as the API writes them: equal ones are stored alike, and invalid ones are refused by their field."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.users.preferences import Preferences, TimedChoice, canonical, view
from clarion.domain.channel import CHANNELS
from clarion.domain.errors import InvalidField
from clarion.domain.limits import PREFERENCE_RULES_MAX
from clarion.domain.user import Profile

CATEGORIES = {"marketing": False, "orders": False, "security": True}
SOON = datetime(2026, 1, 1, tzinfo=UTC)

untils = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
values = st.booleans() | st.builds(TimedChoice, st.booleans(), untils)
rows = st.dictionaries(st.sampled_from([*CHANNELS, "*"]), values, max_size=4)
matrices = st.dictionaries(st.sampled_from(["marketing", "orders", "*"]), rows)


def refused(matrix, **more):
    with pytest.raises(InvalidField) as error:
        canonical(matrix, CATEGORIES, **more)
    return error.value.field, error.value.code


@given(matrices, st.randoms())
def test_equal_preferences_are_equal_text_and_round_trip(matrix, chance):
    def shuffled(mapping):
        items = list(mapping.items())
        chance.shuffle(items)
        return dict(items)

    text = canonical(matrix, CATEGORIES)
    assert canonical(shuffled({key: shuffled(row) for key, row in matrix.items()}), CATEGORIES) == text
    stored = msgspec.json.decode(text, type=Profile.__annotations__["preferences"])
    assert view(stored) == {key: row for key, row in matrix.items() if row}


def test_a_choice_is_stored_in_milliseconds_and_shown_in_utc():
    there = SOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    text = canonical({"orders": {"sms": TimedChoice(False, there)}}, CATEGORIES)
    assert json.loads(text) == {"orders": {"sms": {"allowed": False, "until_ms": 1_767_225_600_000}}}
    stored = msgspec.json.decode(text, type=Profile.__annotations__["preferences"])
    assert msgspec.json.encode(view(stored)) == (b'{"orders":{"sms":{"allowed":false,"until":"2026-01-01T00:00:00Z"}}}')


@pytest.mark.parametrize(
    ("matrix", "field", "code"),
    [
        ({"spam": {"sms": True}}, "spam", "unknown_category"),
        ({"orders": {"fax": True}}, "orders.fax", "unknown_channel"),
        ({"security": {"sms": False}}, "security.sms", "critical_category"),
        ({"security": {"*": TimedChoice(False, SOON)}}, "security.*", "critical_category"),
        (
            {"orders": {"sms": TimedChoice(False, datetime.max.replace(tzinfo=UTC))}},
            "orders.sms.until",
            "invalid_field",
        ),
        ({"orders": {"sms": TimedChoice(True, datetime.min.replace(tzinfo=UTC))}}, "orders.sms.until", "invalid_field"),
    ],
)
def test_an_invalid_preference_is_refused_by_its_field(matrix, field, code):
    assert refused(matrix, field="") == (field, code)
    assert refused(matrix) == (f"preferences.{field}", code)


def test_a_critical_category_may_be_wanted_and_everything_else_refused():
    matrix = {"security": {"sms": True}, "*": {"*": False}}
    assert json.loads(canonical(matrix, CATEGORIES)) == matrix


def test_preferences_are_bounded():
    categories = {f"c{number}": False for number in range(PREFERENCE_RULES_MAX + 1)}
    with pytest.raises(InvalidField):
        canonical({category: {"*": False} for category in categories}, categories)


@pytest.mark.parametrize(
    "text",
    [
        b'{"*": {"*": {"allowed": true}}}',
        b'{"*": {"*": {"allowed": true, "until": "2026-01-01T00:00:00"}}}',
        b'{"*": {"*": {"allowed": true, "until": "soon"}}}',
        b'{"*": {"*": {"allowed": true, "until": "2026-01-01T00:00:00Z", "why": ""}}}',
        b'{"*": {"*": 1}}',
        b'{"*": true}',
    ],
)
def test_shapes_are_the_declared_ones(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Preferences)
