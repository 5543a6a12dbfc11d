"""Clients behind trusted proxies: what an untrusted peer writes changes nothing, whatever it is."""

import asyncio
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import PROXY_HOPS_MAX
from clarion.edge.forwarded import TrustedProxies, parsed_address, trusted_networks

PROXIES = trusted_networks(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])
STRANGERS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).filter(
    lambda one: (
        not any(one in network for network in PROXIES if network.version == one.version)
        and getattr(one, "ipv4_mapped", None) is None
    )
)
TRUSTED = st.one_of(
    st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="fd00::/8"), st.just(ip_address("192.0.2.1"))
)
VALUES = st.one_of(
    st.binary(max_size=80),
    st.lists(st.one_of(st.ip_addresses().map(str), st.text("0123456789abcdef.:[]%, ", max_size=30)), max_size=5).map(
        lambda parts: ", ".join(parts).encode("latin-1")
    ),
)
NAMES = st.sampled_from([b"x-forwarded-for", b"forwarded", b"x-forwarded-proto", b"x-real-ip"])


def seen(peer, headers, scheme="http", port=4711):
    """Return client and scheme that the application gets."""
    got = {}

    async def app(scope, receive, send):
        got.update(scope)

    scope = {"type": "http", "client": (peer, port), "scheme": scheme, "headers": list(headers)}
    asyncio.run(TrustedProxies(app, PROXIES)(scope, None, None))
    return got["client"], got["scheme"]


def forwarded(*values):
    return [(b"x-forwarded-for", value.encode()) for value in values]


@given(STRANGERS, st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_headers_of_a_stranger_change_nothing(peer, headers):
    assert seen(str(peer), headers) == ((str(peer), 4711), "http")


@given(TRUSTED, STRANGERS, st.lists(TRUSTED, max_size=PROXY_HOPS_MAX - 1), st.lists(VALUES, max_size=4), st.data())
def test_what_a_client_writes_before_its_own_address_is_not_read(peer, client, proxies, forged, data):
    own = [str(client), *map(str, proxies)]
    cut = data.draw(st.integers(0, len(own)))
    values = [*forged, ", ".join(own[:cut]).encode(), ",".join(own[cut:]).encode()]
    headers = [(b"x-forwarded-for", value) for value in values if value]
    assert seen(str(peer), headers)[0] == (str(client), 0)


@given(TRUSTED, st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_anything_behind_a_proxy_gives_an_address(peer, headers):
    (host, _), scheme = seen(str(peer), headers)
    assert ip_address(host)
    assert scheme in ("http", "https")


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], "10.0.0.1"),
        (["198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7:4242"], "198.51.100.7"),
        (["[2001:db8::7]:4242"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["2001:DB8::7"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["::ffff:10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9", "198.51.100.7, 10.0.0.2", "10.0.0.3"], "198.51.100.7"),
        (["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.9,"], "10.0.0.1"),
        (["unknown"], "10.0.0.1"),
        (["198.51.100.7:port"], "10.0.0.1"),
        (["fe80::1%eth0"], "10.0.0.1"),
        (["[198.51.100.7]"], "10.0.0.1"),
        (["198.51.100.007"], "10.0.0.1"),
    ],
)
def test_entries(values, client):
    assert seen("10.0.0.1", forwarded(*values))[0][0] == client


def test_a_peer_keeps_its_port_and_a_mapped_one_is_ipv4():
    assert seen("::ffff:10.0.0.1", forwarded("198.51.100.7"))[0] == ("198.51.100.7", 0)
    assert seen("10.0.0.1", [])[0] == ("10.0.0.1", 4711)


def test_only_the_last_hops_of_a_huge_list_are_read():
    entries = ["198.51.100.7"] + ["10.0.0.2"] * 5_000
    assert seen("10.0.0.1", forwarded(", ".join(entries)))[0][0] == "10.0.0.2"
    assert seen("10.0.0.1", forwarded(*entries[: PROXY_HOPS_MAX + 1]))[0][0] == "10.0.0.2"
    assert seen("10.0.0.1", forwarded(*entries[:PROXY_HOPS_MAX]))[0][0] == "198.51.100.7"


@pytest.mark.parametrize(
    ("values", "scheme"),
    [([b"https"], "https"), ([b"https", b"HTTP"], "http"), ([b"http, https"], "https"), ([b"x"], "http")],
)
def test_the_scheme_is_what_the_nearest_proxy_reports(values, scheme):
    assert seen("10.0.0.1", [(b"x-forwarded-proto", value) for value in values])[1] == scheme


def test_forwarded_of_rfc_7239_is_ignored():
    assert seen("10.0.0.1", [(b"forwarded", b"for=198.51.100.7;proto=https")]) == (("10.0.0.1", 4711), "http")


@pytest.mark.parametrize("text", ["", "proxy", "10.0.0.1/8", "0.0.0.0/0", "::/0"])
def test_a_setting_that_names_no_network_or_everybody_is_refused(text):
    with pytest.raises(OperatorError, match=r"api\.trusted_proxies"):
        trusted_networks([text])


@given(st.text(max_size=70))
def test_reading_an_address_never_fails(text):
    assert parsed_address(text) is None or ip_address(str(parsed_address(text)))
