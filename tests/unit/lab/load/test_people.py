from zoneinfo import ZoneInfo

import msgspec

from clarion_lab.load import people


def test_there_are_over_three_thousand_distinct_profiles_in_forty_zones() -> None:
    encoded = {msgspec.json.encode(people.preferences(n), order="deterministic") for n in range(people.PROFILES)}
    assert len(encoded) == people.PROFILES >= 3_000
    users = [people.user(n, profiles=True) for n in range(people.PROFILES)]
    zones = {user["zone"] for user in users}
    assert len(zones) == 40
    assert all(ZoneInfo(zone).key == zone for zone in zones)


def test_opted_out_users_are_in_the_preferences() -> None:
    for n in range(0, 200):
        allowed = people.user(n, profiles=True)["preferences"][people.BROADCAST_CATEGORY]["inapp"]
        assert people.opted_out(n) is not allowed


def test_users_are_one_json_object_a_line() -> None:
    lines = people.user_lines(range(3), profiles=False).splitlines()
    assert [msgspec.json.decode(line)["id"] for line in lines] == [people.user_id(n) for n in range(3)]


def test_bodies_are_single_notifications_or_batches() -> None:
    first = msgspec.json.decode(next(people.bodies(1, 1, 10, "push")))
    assert first["to"] == people.user_id(0)
    batches = [msgspec.json.decode(body)["notifications"] for body in people.bodies(2, 5, 8, "push")]
    assert [item["to"] for batch in batches for item in batch] == [people.user_id(n % 8) for n in range(10)]
