"""Nesting of JSON text, measured and cut without decoding it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.depth import pruned, too_deep

LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\[]{},', max_size=8)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text('"[{', max_size=3), v))


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + max((depth(v) for v in (value.values() if isinstance(value, dict) else value)), default=0)
    return 0


def cut(value: Any, limit: int) -> Any:
    """Return the specified result of `pruned`, computed on decoded values."""
    if isinstance(value, dict | list) and limit == 0:
        return 0
    if isinstance(value, dict):
        return {key: cut(member, limit - 1) for key, member in value.items()}
    return [cut(member, limit - 1) for member in value] if isinstance(value, list) else value


@given(VALUES, st.integers(0, 8))
def test_text_is_too_deep_exactly_when_its_value_is(value: Any, limit: int) -> None:
    assert too_deep(json.dumps(value).encode(), limit) == (depth(value) > limit)


@given(VALUES, st.integers(1, 8))
def test_pruned_text_is_the_value_cut_at_the_limit(value: Any, limit: int) -> None:
    assert json.loads(pruned(json.dumps(value).encode(), limit)) == cut(value, limit)


@given(st.binary(max_size=60).map(lambda noise: noise.replace(b"x", b"[")), st.integers(1, 3))
def test_text_that_is_not_json_is_cut_without_harm(text: bytes, limit: int) -> None:
    assert len(pruned(text, limit)) <= len(text)
