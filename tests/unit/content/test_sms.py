"""Alphabet and segments of an SMS, against the published limits and a second implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain import sms
from clarion.domain.sms import measure, smart


def test_the_alphabet_is_that_of_the_standard():
    assert len(sms._BASIC) == 127
    assert len(sms._EXTENDED) == 10
    assert not sms._BASIC & sms._EXTENDED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("gsm-7", 0, 1)),
        ("x" * 160, ("gsm-7", 160, 1)),
        ("x" * 161, ("gsm-7", 161, 2)),
        ("x" * 306, ("gsm-7", 306, 2)),
        ("x" * 307, ("gsm-7", 307, 3)),
        ("äöüßñé¿", ("gsm-7", 7, 1)),
        ("€" * 80, ("gsm-7", 160, 1)),
        ("€" * 81, ("gsm-7", 162, 2)),
        ("x" * 152 + "€" + "x" * 20, ("gsm-7", 174, 2)),
        ("x" * 152 + "€" + "x" * 152, ("gsm-7", 306, 3)),  # the pair does not fit at the end of the first segment
        ("ж" * 70, ("ucs-2", 70, 1)),
        ("ж" * 71, ("ucs-2", 71, 2)),
        ("😀" * 35, ("ucs-2", 70, 1)),
        ("😀" * 36, ("ucs-2", 72, 2)),
        ("á", ("ucs-2", 1, 1)),
    ],
)
def test_segments_of_a_text(text, expected):
    size = measure(text)
    assert (size.encoding, size.characters, size.segments) == expected


@given(st.text(max_size=400))
def test_segments_of_a_text_follow_its_code_units(text):
    size = measure(text)
    if size.encoding == "ucs-2":
        assert size.characters == len(text.encode("utf-16-be", "surrogatepass")) // 2
    each = {"gsm-7": 153, "ucs-2": 67}[size.encoding]
    assert size.segments == 1 or (size.segments - 1) * (each - 1) < size.characters <= size.segments * each


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("It’s “here” – now…", 'It\'s "here" - now...'),
        ("10\u00a0€\u202fplus", "10 € plus"),
        ("Привет – “мир”", "Привет – “мир”"),
        ("plain", "plain"),
    ],
)
def test_typographic_characters_are_replaced_where_that_saves_segments(text, sent):
    assert smart(text) == sent


@given(st.text(alphabet="ab‘“–…é€ж😀 ", max_size=80))
def test_no_text_gets_more_segments(text):
    assert measure(smart(text)).segments <= measure(text).segments
