"""Requests of one kind do not take the slots of another, nor one tenant, user or peer those of all."""

import contextlib

import pytest

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import (
    HEALTH_REQUESTS_MAX,
    HEALTH_REQUESTS_PER_PEER_MAX,
    PUBLIC_BODIES_BYTES_MAX,
    PUBLIC_BODIES_PER_PEER_BYTES_MAX,
    PUBLIC_REQUESTS_MAX,
    PUBLIC_REQUESTS_PER_PEER_MAX,
    TENANT_BODIES_BYTES_MAX,
    USER_BODIES_BYTES_MAX,
    USER_REQUESTS_MAX,
)
from clarion.domain.permissions import PUBLIC
from clarion.edge.peers import peer_of, peers_of
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.admission import ConcurrencyLimit, ConcurrencyLimits, Share

ADA, BOB = ("192.0.2.1",), ("192.0.2.2",)


async def answer(_call: Call) -> Reply:
    return Reply()


def filled(limit, owners_of, most=10_000):
    """Return a context that holds as many requests as are admitted, and their number."""
    stack = contextlib.ExitStack()
    for number in range(most):
        try:
            stack.enter_context(limit.admit(owners_of(number)))
        except Overloaded:
            return stack, number
    raise AssertionError("nothing is refused")


def is_free(limit):
    """Check that nothing is held of a limit."""
    assert (limit.requests, limit.bodies.allocated) == (0, 0)
    assert [share.slots for share in limit.shares] == [{}] * len(limit.shares)


@pytest.mark.parametrize(
    ("kind", "total", "each"),
    [
        ("public", PUBLIC_REQUESTS_MAX, PUBLIC_REQUESTS_PER_PEER_MAX),
        ("health", HEALTH_REQUESTS_MAX, HEALTH_REQUESTS_PER_PEER_MAX),
        ("authenticated", 700, 300),
    ],
)
def test_an_owner_takes_its_share_and_all_owners_no_other_kinds(kind, total, each):
    limits = ConcurrencyLimits(700, 300)
    limit = getattr(limits, kind)
    stack, number = filled(limit, lambda _: ADA)
    assert number == each
    with pytest.raises(Overloaded) as refusal:
        limit.admit(ADA)
    assert (refusal.value.code, refusal.value.retry_after_s) == ("concurrency_limit_reached", 1)
    with limit.admit(BOB):
        pass
    stack.close()
    stack, number = filled(limit, lambda number: (f"192.0.2.{number // each}",))
    assert number == total
    with pytest.raises(Overloaded) as refusal:
        limit.admit(("192.0.2.99",))
    assert refusal.value.code == "overloaded"
    for other in {limits.public, limits.health, limits.authenticated, limits.operator} - {limit}:
        with other.admit(ADA):
            pass
    stack.close()
    is_free(limit)


def test_a_user_takes_its_share_of_its_tenant():
    limit = ConcurrencyLimits(700, 300).authenticated
    stack, number = filled(limit, lambda _: ("acme", ("acme", "ria")))
    assert number == USER_REQUESTS_MAX
    for owners in (("acme",), ("acme", ("acme", "bo")), ("other", ("other", "ria"))):
        with limit.admit(owners):
            pass
    stack.close()
    is_free(limit)


@pytest.mark.parametrize(
    ("kind", "owners", "each"),
    [
        ("public", ADA, PUBLIC_BODIES_PER_PEER_BYTES_MAX),
        ("authenticated", ("acme",), TENANT_BODIES_BYTES_MAX),
        ("authenticated", ("acme", ("acme", "ria")), USER_BODIES_BYTES_MAX),
    ],
)
def test_bodies_of_one_owner_leave_room_for_others(kind, owners, each):
    limit = getattr(ConcurrencyLimits(5, 5), kind)
    with limit.admit(owners) as admitted:
        admitted.allocate(each - 1)
        admitted.allocate(1)
        with pytest.raises(Overloaded, match="too many large requests of this") as refusal, limit.admit(owners) as more:
            more.allocate(1)
        assert refusal.value.code == "concurrency_limit_reached"
        with limit.admit(("another",)) as other:
            other.allocate(each)
        assert limit.bodies.allocated == each
    with limit.admit(owners), limit.admit(owners) as second:
        second.allocate(1)
        with limit.admit(owners) as third:
            third.allocate(each - 1)
        second.allocate(each - 1)
    is_free(limit)


def test_bodies_are_bounded_together():
    limit = ConcurrencyLimits(5, 5).public
    with contextlib.ExitStack() as stack:
        for number in range(PUBLIC_BODIES_BYTES_MAX // PUBLIC_BODIES_PER_PEER_BYTES_MAX):
            stack.enter_context(limit.admit((number,))).allocate(PUBLIC_BODIES_PER_PEER_BYTES_MAX)
        with pytest.raises(Overloaded, match="too many large requests are"), limit.admit(ADA) as other:
            other.allocate(1)
    is_free(limit)


def test_a_refused_request_leaves_nothing():
    limit = ConcurrencyLimit(1, 10, Share("address", 1, 10))
    with limit.admit(ADA):
        for owners in (ADA, BOB):
            with pytest.raises(Overloaded):
                limit.admit(owners)
        assert list(limit.shares[0].slots) == list(ADA)
    is_free(limit)


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_peer_is_an_ipv4_address_or_the_network_of_an_ipv6_address(host, peer):
    assert peer_of((host, 1)) == peer


def test_a_client_without_an_address_is_a_peer():
    assert peer_of(None) == ""
    assert peers_of(None) == ("",)


def test_the_peers_of_one_customer_are_in_one_network():
    assert peers_of(("192.0.2.1", 1)) == ("192.0.2.1",)
    first, second = peers_of(("2001:db8:1:2::1", 1)), peers_of(("2001:db8:1:3::1", 1))
    assert first[0] != second[0]
    assert first[1] == second[1] == "2001:db8:1::/48"


def test_routes_are_counted_by_their_kind():
    limits = ConcurrencyLimits(5, 5)
    assert limits.of(Route("GET", "/a", answer, "tenants:read", "A")) is limits.operator
    assert limits.of(Route("GET", "/a", answer, PUBLIC, "A")) is limits.public
    assert limits.of(Route("GET", "/a", answer, PUBLIC, "A", health=True)) is limits.health
    assert limits.of(Route("GET", "/a", answer, "a:read", "A")) is limits.authenticated
