"""Validation of filters before they are stored or counted. Every fault has its path, such as `filter.all[2].zone`."""

from collections.abc import Container, Iterator
from typing import Any, Final

from clarion.control.users.rules import Places, locale
from clarion.domain.address import single_line
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers
from clarion.domain.limits import (
    FILTER_CONTAINS_MAX,
    FILTER_DEPTH_MAX,
    FILTER_NODES_MAX,
    FILTER_TEXT_CHARS_MAX,
    FILTER_VALUES_MAX,
    KEY_CHARS_MAX,
    SEEN_WITHIN_MS_MAX,
)
from clarion.domain.segment import COMPARISONS, KINDS, Filter, given, operand, type_name

_QUOTES: Final = frozenset('"\\')


def topics_of(filter_: Filter) -> set[str]:
    """Return the topics in a filter. Raises `InvalidField` when the filter is too large."""
    return {node.topic for node, _ in _nodes(filter_, "filter") if node.topic is not None}


def check_filter(filter_: Filter, field: str, places: Places, topics: Container[str]) -> None:
    """Raise `InvalidField` for the first node with no condition, with more than one, or with an unknown value; `topics`
    are the existing ones."""
    values = containing = 0
    for node, path in _nodes(filter_, field):
        kinds = given(node, KINDS)
        if len(kinds) != 1:
            raise InvalidField(f"needs exactly one of {', '.join(KINDS)}", field=path)
        compared = given(node, COMPARISONS)
        containing += compared == ["contains"]
        if kinds == ["attribute"]:
            values += _check_attribute(node, compared, path)
        elif compared:
            raise InvalidField("goes with an attribute", field=f"{path}.{compared[0]}")
        else:
            _check_other(kinds[0], operand(node, kinds[0]), f"{path}.{kinds[0]}", places, topics)
    if values > FILTER_VALUES_MAX:
        raise InvalidField(f"compares with more than {FILTER_VALUES_MAX} values", field=field)
    if containing > FILTER_CONTAINS_MAX:
        raise InvalidField(f"has more than {FILTER_CONTAINS_MAX} times 'contains'", field=field)


def _nodes(filter_: Filter, field: str) -> Iterator[tuple[Filter, str]]:
    """Yield every node with its path, in the order of the filter's text."""
    rest = [(filter_, field, 1)]
    count = 0
    while rest:
        node, path, depth = rest.pop()
        count += 1
        if depth > FILTER_DEPTH_MAX:
            raise InvalidField(f"is nested deeper than {FILTER_DEPTH_MAX} levels", field=path)
        if count > FILTER_NODES_MAX:
            raise InvalidField(f"has more than {FILTER_NODES_MAX} parts", field=field)
        yield node, path
        inner = [(node.not_, f"{path}.not")] if node.not_ is not None else []
        inner += [(part, f"{path}.all[{index}]") for index, part in enumerate(node.all or ())]
        inner += [(part, f"{path}.any[{index}]") for index, part in enumerate(node.any or ())]
        rest += [(part, place, depth + 1) for part, place in reversed(inner)]


def _check_attribute(node: Filter, compared: list[str], path: str) -> int:
    """Check an attribute and its comparison; return the number of values compared with."""
    name = single_line(node.attribute or "", f"{path}.attribute", KEY_CHARS_MAX)
    if not all(name.split(".")) or _QUOTES & set(name):
        raise InvalidField(
            "must be names with dots between them, such as plan or address.city", field=f"{path}.attribute"
        )
    if len(compared) != 1:
        raise InvalidField(f"an attribute needs exactly one of {', '.join(COMPARISONS)}", field=path)
    how, against = compared[0], operand(node, compared[0])
    values = against if how == "in" else (against,)
    if not values or (against == "" and how == "contains"):
        raise InvalidField("must not be empty", field=f"{path}.{how}")
    for index, value in enumerate(values):
        _check_value(value, f"{path}.in[{index}]" if how == "in" else f"{path}.{how}")
    return len(values)


def _check_value(value: Any, field: str) -> None:
    if type_name(value) in ("list", "object"):
        raise InvalidField("must be a text, a number, true, false or null", field=field)
    if isinstance(value, str) and len(value) > FILTER_TEXT_CHARS_MAX:
        raise InvalidField(f"is longer than {FILTER_TEXT_CHARS_MAX} characters", field=field)
    numbers(value, field)


def _check_other(kind: str, says: Any, field: str, places: Places, topics: Container[str]) -> None:
    match kind:
        case "all" | "any":
            if not says:
                raise InvalidField("needs at least one filter", field=field)
        case "locale":
            _check_locale(says, field, places)
        case "zone":
            if says not in places.zones:
                raise InvalidField("is not an IANA time zone", field=field)
        case "topic":
            if says not in topics:
                raise InvalidField(f"no such topic: {says[:100]}", field=field, code="unknown_topic")
        case "seen_within" | "not_seen_within":
            check_duration(says, field, most_ms=SEEN_WITHIN_MS_MAX)
        case _:
            pass


def _check_locale(text: str, field: str, places: Places) -> None:
    try:
        form = locale(text, places.languages, places.territories)
    except InvalidField as error:
        raise InvalidField(error.detail, field=field) from None
    if form != text:
        raise InvalidField(f"is written {form}", field=field)
