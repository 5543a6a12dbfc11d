"""Segments over the control API."""

import pytest

from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import SEGMENT_SAMPLE_USERS
from clarion.domain.limits_processes import AUDIENCE_COUNT_MS_MAX
from clarion.domain.segment import Filter, Segment
from tests import lookups
from tests.contract.controls import ControlPlane
from tests.contract.segments import LOOKED_AT, PRO, USERS, T, settle_in


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path, bound):
    """Return a control plane with a page size so small that the users fill several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await settle_in(control_plane)
    yield control_plane
    await control_plane.close()


async def test_a_segment_is_stored_shown_listed_used_and_removed(control_plane):
    shown = await control_plane.say("PUT", "/v1/segments/pros", {"filter": PRO, "name": "Those who pay"})
    assert shown["filter"] == PRO
    assert (shown["key"], shown["version"], shown["name"]) == ("pros", 1, "Those who pay")
    assert await control_plane.say("GET", "/v1/segments/pros") == shown
    assert await control_plane.say("GET", "/v1/segments") == {"data": [shown], "next": None}
    assert (await lookups.definition(control_plane.directory, T, Segment, "pros")).body.filter == Filter(
        attribute="plan", is_="pro"
    )
    control_plane.settle()
    changed = await control_plane.say("PUT", "/v1/segments/pros", {"filter": {"not": PRO}})
    assert (changed["version"], changed["filter"], changed.get("name", "")) == (2, {"not": PRO}, "")
    with pytest.raises(NotFound):
        await control_plane.call("GET", "/v1/segments/pros", tenant="other")
    assert (await control_plane.call("DELETE", "/v1/segments/pros")).status == 204
    for method, target in (("GET", ""), ("DELETE", ""), ("GET", "/preview")):
        with pytest.raises(NotFound):
            await control_plane.call(method, f"/v1/segments/pros{target}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, "filter"),
        ({"filter": {"all": [PRO, {"topic": "gone"}]}}, "filter.all[1].topic"),
        ({"filter": PRO, "name": "two\nlines"}, "name"),
    ],
)
async def test_a_faulty_segment_is_not_stored(control_plane, body, field):
    await control_plane.call("PUT", "/v1/segments/s", {"filter": PRO})
    for target in ("s", "fresh"):
        with pytest.raises(InvalidField) as error:
            await control_plane.call("PUT", f"/v1/segments/{target}", body)
        assert error.value.field == field
    assert (await control_plane.say("GET", "/v1/segments/s"))["version"] == 1
    assert len((await control_plane.say("GET", "/v1/segments"))["data"]) == 1
    with pytest.raises(InvalidField):
        await control_plane.call("PUT", "/v1/segments/no key", {"filter": PRO})


@pytest.mark.parametrize(
    ("filter_", "matching"),
    [
        (PRO, lambda n: n % 5 == 0),
        ({"topic": "thirds"}, lambda n: n % 3 == 0),
        ({"all": [PRO, {"reachable": "push"}]}, lambda n: n % 10 == 5),
        ({"attribute": "plan", "is": "gold"}, lambda n: False),
    ],
)
async def test_a_preview_counts_who_matches_and_names_the_first(control_plane, filter_, matching):
    wanted = [f"u{number}" for number in range(USERS) if matching(number)]
    result = await control_plane.say("POST", "/v1/segments/preview", {"filter": filter_})
    assert result == {
        "count": len(wanted),
        "at_least": False,
        "sample": wanted[:SEGMENT_SAMPLE_USERS],
        "counted_at": "2023-11-14T22:13:20Z",
    }
    await control_plane.call("PUT", "/v1/segments/s", {"filter": filter_})
    assert await control_plane.say("GET", "/v1/segments/s/preview") == result


async def test_a_preview_of_a_faulty_filter_counts_nothing(control_plane):
    with pytest.raises(InvalidField) as error:
        await control_plane.call("POST", "/v1/segments/preview", {"filter": {"not": {"zone": "Mars"}}})
    assert error.value.field == "filter.not.zone"


async def test_counting_ends_when_its_time_is_over_and_says_so(control_plane, monkeypatch):
    slow = iter(range(0, 10**9, AUDIENCE_COUNT_MS_MAX // 2))
    monkeypatch.setattr(control_plane.clock, "monotonic_ms", lambda: next(slow))
    result = await control_plane.say("POST", "/v1/segments/preview", {"filter": {"reachable": "inapp"}})
    assert result["at_least"] and 0 < result["count"] < USERS
