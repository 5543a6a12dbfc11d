"""A key with a wrong character is recognized by its checksum; scanners find keys by a pattern."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.api_key import KEY_PATTERN, is_checked, is_mistyped, key_id_of, key_of, operator_key_of
from clarion.ops.log_masking import MASK, masked_text

ID = "0190a3b4c5d6e7f8"
KEY = key_of(ID, bytes(range(32)))
BEFORE_CHECKSUMS = f"clk_{ID}_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd-_8"


def test_the_form_is_fixed():
    """Keys of installations depend on these."""
    assert KEY == "clk_0190a3b4c5d6e7f8_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0ni0ax"
    assert len(KEY) == 70
    assert len(operator_key_of(bytes(32))) == 53


@given(st.binary(min_size=32, max_size=32), st.integers(min_value=0), st.sampled_from("0123456789abcXYZ-_ "))
def test_one_wrong_character_is_found(random, at, other):
    for key in (key_of(ID, random), operator_key_of(random)):
        assert re.fullmatch(KEY_PATTERN, key) and is_checked(key) and not is_mistyped(key)
        at %= len(key)
        changed = key[:at] + other + key[at + 1 :]
        assert is_checked(changed) == (changed == key)
        assert key_id_of(changed) == (ID if changed == key and key.startswith("clk") else None)
    assert key_id_of(key_of(ID, random)) == ID


@pytest.mark.parametrize(
    "text", [KEY[:-1], KEY + "A", KEY[:20], "clk_", "clk_a_b", "clo_", KEY.replace(ID, ID.upper()), KEY + "\n"]
)
def test_what_cannot_be_a_key_is_mistyped(text):
    assert is_mistyped(text) and key_id_of(text) is None


@pytest.mark.parametrize("text", ["", "clk", "nonsense", "a.b.c", "Bearer clk_", KEY, BEFORE_CHECKSUMS])
def test_other_text_is_not_called_mistyped(text):
    assert not is_mistyped(text)


def test_keys_without_a_checksum_have_ids():
    assert key_id_of(BEFORE_CHECKSUMS) == ID


def test_a_scanner_finds_keys_and_the_log_masks_them():
    operator = operator_key_of(bytes(32))
    text = f'a="{KEY}"; b=https://u:{operator}@host/ c=x{KEY} {BEFORE_CHECKSUMS}'
    assert re.findall(KEY_PATTERN, text) == [KEY, operator]
    assert masked_text(f"{KEY} {operator} {BEFORE_CHECKSUMS}") == f"{MASK} {MASK} {MASK}"
