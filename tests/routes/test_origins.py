"""Allowed origins over a real store, and the cache that requests of pages ask."""

import pytest

from clarion.domain.errors import InvalidField
from clarion.ways_in.http.origins import Origins


async def test_origins_are_replaced_and_take_effect_at_once(control_plane):
    origins = Origins(control_plane.directory, "https://notify.example.com/base")
    assert origins.own == b"https://notify.example.com"
    assert await control_plane.say("GET", "/v1/origins") == {"origins": []}
    for stored in (["https://*.example.com", "https://a.example"], ["https://b.example"], []):
        assert await control_plane.say("PUT", "/v1/origins", {"origins": stored}) == {"origins": stored}
        assert await control_plane.say("GET", "/v1/origins") == {"origins": stored}
        asked = ["https://app.example.com", "https://a.example", "https://b.example"]
        allowed = [one for one in asked if await origins.allow("acme", one)]
        assert allowed == [
            one for one in asked if one in stored or (one == asked[0] and "https://*.example.com" in stored)
        ]
        assert not await origins.allow("other", "https://a.example")


async def test_a_bad_origin_is_refused_by_its_place(control_plane):
    with pytest.raises(InvalidField) as error:
        await control_plane.call("PUT", "/v1/origins", {"origins": ["https://a.example", "*"]})
    assert error.value.field == "origins[1]"
    assert await control_plane.say("GET", "/v1/origins") == {"origins": []}
