"""Values of JSON text, counted without decoding it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain import json_values
from clarion.domain.errors import TooLarge
from clarion.domain.json_values import check_marks, check_values, marks_in

LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='e1a"\\[]{},', max_size=8)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text('"[{', max_size=3), v))


def values_of(value):
    """Return the number of values as specified: the lists and objects, and the members beyond the first of each."""
    if not isinstance(value, dict | list):
        return 0
    members = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(len(members) - 1, 0) + sum(map(values_of, members))


@given(VALUES)
def test_text_in_strings_does_not_count(value):
    text, number = json.dumps(value).encode(), values_of(value)
    assert not json_values._has_more(text, number)
    assert number == 0 or json_values._has_more(text, number - 1)
    assert marks_in(text) >= number


@pytest.mark.parametrize("number", [b"5e-324", b"1E308", b"1e+300"])
def test_numbers_that_are_slow_to_decode_count_for_many(number):
    check_values(b"[%b]" % b",".join([b"12345678"] * 5_000), 30_000, "it")
    with pytest.raises(TooLarge, match="it has more than 30000 values") as error:
        check_values(b"[%b]" % b",".join([number] * 5_000), 30_000, "it")
    assert error.value.code == "too_many_values"


def test_a_long_text_is_one_value():
    check_values(
        b'{"html":"%b"}' % (b"<p>see, there are many, many words here, [and brackets]</p>" * 15_000), 30_000, "it"
    )


def test_marks_count_in_strings_too():
    check_marks(b'"%b"' % (b"," * 100), 100, "it")
    with pytest.raises(TooLarge):
        check_marks(b'"%b"' % (b"," * 101), 100, "it")
