"""Filters are checked before they are stored or counted, and every fault is reported with its path."""

import msgspec
import pytest

from clarion.control.segments.rules import check_filter, topics_of
from clarion.control.users.places import places
from clarion.domain.errors import InvalidField
from clarion.domain.limits import (
    FILTER_CONTAINS_MAX,
    FILTER_DEPTH_MAX,
    FILTER_NODES_MAX,
    FILTER_TEXT_CHARS_MAX,
    FILTER_VALUES_MAX,
    KEY_CHARS_MAX,
)
from clarion.domain.segment import Filter, UserFacts, matches

PRO = {"attribute": "plan", "is": "pro"}
DEEPEST = {"zone": "Europe/Rome"}
for _ in range(FILTER_DEPTH_MAX - 1):
    DEEPEST = {"not": DEEPEST}


def read(written):
    return msgspec.convert(written, Filter)


def check(written):
    check_filter(read(written), "filter", places(), {"news"})


@pytest.mark.parametrize(
    "written",
    [
        PRO,
        DEEPEST,
        {"all": [PRO, {"any": [{"topic": "news"}, {"locale": "pt-BR"}, {"locale": "en"}]}]},
        {"attribute": "address.city", "in": ["Rome", 7, 7.5, True, None]},
        {"attribute": "n", "is": 2**63 - 1},
        {"attribute": "x", "is": None},
        {"attribute": "x", "is": ""},
        {"attribute": "x", "exists": False},
        {"attribute": "x", "at_most": 0},
        {"reachable": "webpush"},
        {"not_seen_within": "30d"},
        {"attribute": "a", "in": list(range(FILTER_VALUES_MAX))},
        {"all": [PRO] * (FILTER_NODES_MAX - 1)},
    ],
)
def test_valid_filters(written):
    check(written)


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({}, "filter"),
        ({"zone": "Europe/Rome", "locale": "it"}, "filter"),
        ({"all": [PRO, {"not": {}}]}, "filter.all[1].not"),
        ({"all": []}, "filter.all"),
        ({"any": [PRO, {"any": []}]}, "filter.any[1].any"),
        ({"is": "pro"}, "filter"),
        ({"zone": "Europe/Rome", "is": None}, "filter.is"),
        ({"all": [PRO, PRO, {"attribute": "plan"}]}, "filter.all[2]"),
        ({"attribute": "plan", "is": "pro", "exists": True}, "filter"),
        ({"attribute": "plan", "in": []}, "filter.in"),
        ({"attribute": "plan", "in": ["x", []]}, "filter.in[1]"),
        ({"attribute": "plan", "is": {}}, "filter.is"),
        ({"attribute": "plan", "is": 2**63}, "filter.is"),
        ({"attribute": "plan", "is": "x" * (FILTER_TEXT_CHARS_MAX + 1)}, "filter.is"),
        ({"attribute": "plan", "contains": ""}, "filter.contains"),
        *(({"attribute": path, "is": 1}, "filter.attribute") for path in ("", ".", "a.", 'a"b', "a\\b", "a\nb")),
        ({"attribute": "x" * (KEY_CHARS_MAX + 1), "is": 1}, "filter.attribute"),
        ({"any": [{"zone": "Mars"}]}, "filter.any[0].zone"),
        ({"locale": "xx"}, "filter.locale"),
        ({"locale": "pt_br"}, "filter.locale"),
        ({"not": {"topic": "gone"}}, "filter.not.topic"),
        ({"seen_within": "soon"}, "filter.seen_within"),
        ({"seen_within": "0s"}, "filter.seen_within"),
        ({"not_seen_within": "522w"}, "filter.not_seen_within"),
        ({"not": DEEPEST}, "filter" + ".not" * FILTER_DEPTH_MAX),
        ({"all": [PRO] * FILTER_NODES_MAX}, "filter"),
        ({"any": [{"attribute": "a", "in": list(range(600))}] * 2}, "filter"),
        ({"any": [{"attribute": "a", "contains": "x"}] * (FILTER_CONTAINS_MAX + 1)}, "filter"),
    ],
)
def test_a_fault_is_named_by_its_path(written, field):
    with pytest.raises(InvalidField) as error:
        check(written)
    assert error.value.field == field


def test_the_topics_of_a_filter_are_known_before_it_is_checked():
    assert topics_of(read({"all": [{"topic": "a"}, {"not": {"any": [{"topic": "b"}, PRO]}}]})) == {"a", "b"}
    with pytest.raises(InvalidField):
        topics_of(read({"all": [{"topic": "a"}] * FILTER_NODES_MAX}))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"attribute": "age", "is": "30"}, False),
        ({"attribute": "age", "is": 30.0}, True),
        ({"attribute": "age", "above": 30}, False),
        ({"attribute": "pro", "is": 1}, False),
        ({"attribute": "pro", "in": [1, True]}, True),
        ({"attribute": "tags", "contains": "a"}, True),
        ({"attribute": "tags", "contains": "ab"}, False),
        ({"attribute": "name", "contains": "d"}, True),
        ({"attribute": "name", "contains": "D"}, False),
        ({"attribute": "home.city", "is": "Rome"}, True),
        ({"attribute": "home.street", "exists": False}, True),
        ({"not": {"attribute": "home.street", "is": "x"}}, True),
        ({"attribute": "nothing", "is": None}, True),
        ({"attribute": "home.street", "is": None}, False),
        ({"locale": "pt"}, True),
        ({"locale": "pt-PT"}, False),
        ({"seen_within": "1m"}, True),
        ({"seen_within": "59s"}, False),
        ({"not_seen_within": "59s"}, True),
    ],
)
def test_meaning_of_filters(written, found):
    attributes = {"age": 30, "pro": True, "tags": ["a", 1], "name": "Ada", "home": {"city": "Rome"}, "nothing": None}
    assert matches(read(written), UserFacts(attributes, locale="pt-BR", last_seen_ms=40_000), 100_000) is found
