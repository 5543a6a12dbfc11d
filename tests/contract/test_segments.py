"""Segments over the control API, and what reads audiences by them: pages of the directory and counts."""

import asyncio

import pytest

from clarion.backends.sqlite import audience_pages
from clarion.backends.sqlite.audience_pages import AudienceReader
from clarion.backends.sqlite.segment_sql import condition
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField, NotFound, Overloaded
from clarion.domain.limits_deciding import (
    AUDIENCE_COUNT_MS_MAX,
    AUDIENCE_COUNTS_MAX,
    SEGMENT_LOOK_MS,
    SEGMENT_SAMPLE_USERS,
)
from clarion.domain.segment import Filter, Segment
from clarion.domain.user import Device, UserWrite
from tests.contract.controls import House, migrated

T = "acme"
USERS = 40
LOOKED_AT = 7
PRO = {"attribute": "plan", "is": "pro"}
THIRDS = Filter(topic="thirds")
PUSH = Filter(reachable=Channel.PUSH)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def house(empty, tmp_path, monkeypatch):
    """Forty users, every third in a topic, every fifth with the plan `pro`, and as many of another tenant between them; so
    few are looked at at once that they make several pages."""
    monkeypatch.setattr(audience_pages, "SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    house = House.copy_of(empty, tmp_path)
    for tenant in (T, "other"):
        await house.control.topics.put(tenant, "thirds", "")
    for number in range(USERS):
        for tenant in (T, "other"):
            await house.control.users.put_many(tenant, [person(number)])
    yield house
    await house.close()


def person(number):
    return UserWrite(
        f"u{number}",
        attributes='{"plan":"pro"}' if number % 5 == 0 else '{"plan":"free"}',
        topics=("thirds",) if number % 3 == 0 else (),
        devices=(Device("d", "push" if number % 2 else "webpush", "t"),),
    )


def walk(house, filter_, limit, topic=None):
    """The user ids of an audience, and how many pages it took."""
    ids, after, done, pages = [], 0, False, 0
    while not done:
        rows, position, done, _ = house.directory.page(T, topic, after, limit, filter_=filter_)
        assert len(rows) <= limit
        assert position > after or done
        ids, after, pages = ids + [row[1] for row in rows], position, pages + 1
    return ids, pages


@pytest.mark.parametrize("limit", [1, 3, LOOKED_AT, USERS * 2])
@pytest.mark.parametrize("topic", [None, "thirds"])
def test_pages_hold_exactly_those_who_match_in_order(house, limit, topic):
    numbers = range(0, USERS, 3 if topic else 1)
    wanted = [f"u{number}" for number in numbers if number % 5 == 0]
    assert walk(house, Filter(attribute="plan", is_="pro"), limit, topic)[0] == wanted
    assert walk(house, PUSH, limit, topic)[0] == [f"u{number}" for number in numbers if number % 2]


def test_a_filter_that_matches_nobody_is_given_up_piece_by_piece(house):
    nobody = Filter(attribute="plan", is_="gold")
    rows, position, done, looked_at = house.directory.page(T, None, 0, 1_000, filter_=nobody)
    assert (rows, done, looked_at) == ([], False, LOOKED_AT)
    assert house.directory.ordinals(T, [f"u{LOOKED_AT - 1}"]) == {f"u{LOOKED_AT - 1}": position}
    assert walk(house, nobody, 1_000) == ([], USERS // LOOKED_AT + 1)
    assert house.directory.page("nobody's", None, 5, 9, filter_=nobody)[:3] == ([], 5, True)


def test_users_who_take_long_to_look_at_are_looked_at_few_at_a_time(house, monkeypatch):
    """Every look takes twice as long as a page may: looks halve, a page has one, and all are found still."""
    monkeypatch.setattr(audience_pages, "_FIRST_LOOK_USERS", 4)
    ticks = iter(range(0, 10**9, 2 * SEGMENT_LOOK_MS))
    reader = AudienceReader(house.directory._rows, lambda: next(ticks))
    matching = condition(PUSH, T, 0)
    sizes = [look.users for look in reader.looks(T, None, 0, matching)]
    assert sizes[:4] == [4, 2, 1, 1]
    assert sum(sizes) == USERS + 1  # the last look finds nobody left
    found, after, done, pages = [], 0, False, 0
    while not done:
        rows, after, done, _ = reader.page(T, None, after, USERS, (), matching)
        found, pages = found + [row[1] for row in rows], pages + 1
    assert found == [f"u{number}" for number in range(USERS) if number % 2]
    assert pages == USERS // 4 + 1


async def test_a_segment_is_stored_shown_listed_used_and_removed(house):
    shown = await house.say("PUT", "/v1/segments/pros", {"filter": PRO, "name": "Those who pay"})
    assert shown["filter"] == PRO
    assert (shown["key"], shown["version"], shown["name"]) == ("pros", 1, "Those who pay")
    assert await house.say("GET", "/v1/segments/pros") == shown
    assert await house.say("GET", "/v1/segments") == {"data": [shown], "next": None}
    assert house.directory.definition(T, Segment, "pros").body.filter == Filter(attribute="plan", is_="pro")
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
    assert told | {"count": LOOKED_AT, "at_least": True} == told


async def test_counting_ends_when_there_are_more_than_it_matters(house):
    count = house.control.audiences.count
    exact = [await count(T, topic, THIRDS, most=1_000) for topic in (None, "thirds")]
    assert [(one.users, one.exact) for one in exact] == [(14, True)] * 2
    assert (await count(T, None, None)).users == USERS
    assert (await count(T, "thirds", None)).users == 14
    many = await count(T, None, None, most=10)
    assert (many.users, many.exact) == (2 * LOOKED_AT, False)


async def test_only_so_many_audiences_are_counted_at_a_time(house):
    counts = [house.control.audiences.count(T, None, PUSH) for _ in range(AUDIENCE_COUNTS_MAX + 1)]
    told = await asyncio.gather(*counts, return_exceptions=True)
    assert [type(one) for one in told].count(Overloaded) == 1
    assert (await house.control.audiences.count(T, None, PUSH)).users == USERS // 2
