"""Names and their addresses: every result is checked, and a request to an unresolved name was certainly not sent."""

import asyncio

import pytest

from clarion.domain.errors import EgressError, Sent
from clarion.outbound.net import resolver as resolving
from clarion.outbound.net.guard import HTTP_PORTS
from clarion.outbound.net.resolver import Resolver


def answering(*addresses):
    async def lookup(host, port):
        return list(addresses)

    return lookup


async def refused(resolver, host="shop.example", port=443):
    with pytest.raises(EgressError) as caught:
        await resolver.addresses(host, port, HTTP_PORTS)
    assert caught.value.sent is Sent.NO
    return caught.value


async def test_public_addresses_come_back_in_order():
    resolver = Resolver(lookup=answering("8.8.8.8", "2606:4700::1"))
    assert await resolver.addresses("shop.example", 443, HTTP_PORTS) == ["8.8.8.8", "2606:4700::1"]


@pytest.mark.parametrize("private", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1"])
async def test_one_private_address_among_public_ones_refuses_them_all(private):
    assert (await refused(Resolver(lookup=answering("8.8.8.8", private)))).blocked
    assert (await refused(Resolver(lookup=answering(private, "8.8.8.8")))).blocked


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "0", "0x7f.1", "0177.1", "2130706433"])
async def test_the_systems_own_resolver_gets_nobody_in(host):
    assert (await refused(Resolver(), host)).blocked


async def test_a_listed_network_is_let_in():
    assert await Resolver(["127.0.0.0/8"]).addresses("127.0.0.1", 8080, HTTP_PORTS) == ["127.0.0.1"]


async def test_ports_outside_the_list_are_not_even_resolved():
    async def lookup(host, port):
        raise AssertionError

    assert (await refused(Resolver(lookup=lookup), port=22)).blocked


async def test_names_without_address():
    async def missing(host, port):
        raise OSError

    assert not (await refused(Resolver(lookup=missing))).blocked
    assert not (await refused(Resolver(lookup=answering()))).blocked


async def test_a_slow_resolver_is_given_up(monkeypatch):
    monkeypatch.setattr(resolving, "EGRESS_RESOLVE_TIMEOUT_MS", 10)

    async def slow(host, port):
        await asyncio.Event().wait()

    assert "over 10 ms" in (await refused(Resolver(lookup=slow))).detail
