"""Numbers that no store can hold are refused at intake: later they would stop the work of other tenants."""

import asyncio

import pytest

from clarion.domain.errors import InvalidField
from clarion.domain.json_numbers import numbers

TOO_LARGE = (b"9223372036854775808", b"-9223372036854775809", b"9" * 40, b"9" * 4_000)
NOTE = b'{"to": "ada", "template": "note", "data": {"text": %b}}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/notifications", NOTE),
        ("POST", "/v1/notifications", b'{"to": "ada", "template": "note", "data": {"text": [{"deep": %b}]}}'),
        ("POST", "/v1/broadcasts", b'{"audience": {"all": true}, "template": "note", "data": {"text": %b}}'),
        ("PUT", "/v1/users/eve", b'{"attributes": {"born": %b}}'),
        ("PUT", "/v1/templates/new", b'{"channels": {"push": {"data": {"n": [%b]}}}}'),
        ("PUT", "/v1/providers/new", b'{"channel": "sms", "vendor": "sandbox", "settings": {"latency_ms": %b}}'),
        ("PUT", "/v1/providers/new", b'{"channel": "sms", "vendor": "sandbox", "settings": {"by_attempt": [%b]}}'),
        ("PUT", "/v1/providers/new", b'{"channel": "sms", "vendor": "sandbox", "priority": %b}'),
        ("POST", "/v1/users/ada/tokens", b'{"ttl_s": %b}'),
    ],
)
async def test_an_integer_of_more_than_64_bits_is_refused(api, method, path, body):
    for number in TOO_LARGE:
        answer = await api.call(method, path, body % number)
        assert (answer.status, answer.json["code"]) == (422, "invalid_field"), (number, answer)
    assert not api.failures


async def test_in_a_batch_it_costs_its_own_item_only(api):
    body = b'{"notifications": [%b, %b]}' % (NOTE % TOO_LARGE[0], NOTE % b"1")
    results = (await api.ok("POST", "/v1/notifications/batch", body)).json["results"]
    assert [result["status"] for result in results] == ["refused", "accepted"]


async def test_requests_that_share_a_commit_do_not_share_their_faults(api):
    calls = [
        api.call("POST", "/v1/notifications", NOTE % TOO_LARGE[2]),
        api.call("POST", "/v1/notifications", NOTE % b"1", key="other"),
    ]
    bad, good = await asyncio.gather(*calls)
    assert (bad.status, good.status) == (422, 202)


@pytest.mark.parametrize("number", [0, -(1 << 63), (1 << 63) - 1, True, 1.5, None, "9" * 40])
def test_everything_else_passes(number):
    numbers({"a": [number, (number,)]}, "data")


def test_a_very_deep_value_is_looked_through():
    value = 1 << 64
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidField):
        numbers(value, "data")
    while isinstance(value, list):  # dismantled step by step: deallocating it as a whole would recurse
        value = value[0]
