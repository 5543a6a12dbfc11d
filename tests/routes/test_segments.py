"""Segments over the control API."""

import pytest

from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits_deciding import AUDIENCE_COUNT_MS_MAX, SEGMENT_SAMPLE_USERS
from clarion.domain.segment import Filter, Segment
from tests import lookups
from tests.contract.controls import House
from tests.contract.segments import LOOKED_AT, PRO, USERS, T, settle_in


@pytest.fixture
async def house(engine, empty, tmp_path, bound):
    """So few users are looked at at once that they make several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    house = House.copy_of(empty, tmp_path, engine)
    await settle_in(house)
    yield house
    await house.close()


async def test_a_segment_is_stored_shown_listed_used_and_removed(house):
    shown = await house.say("PUT", "/v1/segments/pros", {"filter": PRO, "name": "Those who pay"})
    assert shown["filter"] == PRO
    assert (shown["key"], shown["version"], shown["name"]) == ("pros", 1, "Those who pay")
    assert await house.say("GET", "/v1/segments/pros") == shown
    assert await house.say("GET", "/v1/segments") == {"data": [shown], "next": None}
    assert (await lookups.definition(house.directory, T, Segment, "pros")).body.filter == Filter(
        attribute="plan", is_="pro"
    )
    house.settle()
    changed = await house.say("PUT", "/v1/segments/pros", {"filter": {"not": PRO}})
    assert (changed["version"], changed["filter"], changed.get("name", "")) == (2, {"not": PRO}, "")
    with pytest.raises(NotFound):
        await house.call("GET", "/v1/segments/pros", tenant="other")
    assert (await house.call("DELETE", "/v1/segments/pros")).status == 204
    for method, target in (("GET", ""), ("DELETE", ""), ("GET", "/preview")):
        with pytest.raises(NotFound):
            await house.call(method, f"/v1/segments/pros{target}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, "filter"),
        ({"filter": {"all": [PRO, {"topic": "gone"}]}}, "filter.all[1].topic"),
        ({"filter": PRO, "name": "two\nlines"}, "name"),
    ],
)
async def test_a_faulty_segment_is_not_stored(house, body, field):
    await house.call("PUT", "/v1/segments/s", {"filter": PRO})
    for target in ("s", "fresh"):
        with pytest.raises(InvalidField) as error:
            await house.call("PUT", f"/v1/segments/{target}", body)
        assert error.value.field == field
    assert (await house.say("GET", "/v1/segments/s"))["version"] == 1
    assert len((await house.say("GET", "/v1/segments"))["data"]) == 1
    with pytest.raises(InvalidField):
        await house.call("PUT", "/v1/segments/no key", {"filter": PRO})


@pytest.mark.parametrize(
    ("filter_", "matching"),
    [
        (PRO, lambda n: n % 5 == 0),
        ({"topic": "thirds"}, lambda n: n % 3 == 0),
        ({"all": [PRO, {"reachable": "push"}]}, lambda n: n % 10 == 5),
        ({"attribute": "plan", "is": "gold"}, lambda n: False),
    ],
)
async def test_a_preview_counts_who_matches_and_names_the_first(house, filter_, matching):
    wanted = [f"u{number}" for number in range(USERS) if matching(number)]
    told = await house.say("POST", "/v1/segments/preview", {"filter": filter_})
    assert told == {
        "count": len(wanted),
        "at_least": False,
        "sample": wanted[:SEGMENT_SAMPLE_USERS],
        "counted_at": "2023-11-14T22:13:20Z",
    }
    await house.call("PUT", "/v1/segments/s", {"filter": filter_})
    assert await house.say("GET", "/v1/segments/s/preview") == told


async def test_a_preview_of_a_faulty_filter_counts_nothing(house):
    with pytest.raises(InvalidField) as error:
        await house.call("POST", "/v1/segments/preview", {"filter": {"not": {"zone": "Mars"}}})
    assert error.value.field == "filter.not.zone"


async def test_counting_ends_when_its_time_is_over_and_says_so(house, monkeypatch):
    slow = iter(range(0, 10**9, AUDIENCE_COUNT_MS_MAX // 2))
    monkeypatch.setattr(house.clock, "monotonic_ms", lambda: next(slow))
    told = await house.say("POST", "/v1/segments/preview", {"filter": {"reachable": "inapp"}})
    assert told["at_least"] and 0 < told["count"] < USERS
