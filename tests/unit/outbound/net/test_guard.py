"""Addresses and ports an outbound call may reach."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.outbound.net.guard import HTTP_PORTS, SMTP_PORTS, networks, port_allowed, refusal

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254",  # noqa: S104
    "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2001:10::1", "3fff::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "ff02::1", "100::1", "4000::1", "localhost", "", "127.1",
    "0x7f.0.0.1", "2130706433", "0177.0.0.1", "1.2.3", "[::1]", "8.8.8.8 ", "8.8.8.8/8",
]  # fmt: skip
ALLOWED = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "223.255.255.255", "2606:4700:4700::1111",
           "2a00:1450:4001::8a", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]  # fmt: skip
LISTED = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address):
    assert refusal(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address):
    assert refusal(address) is None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}"]))
def test_an_ipv4_address_is_judged_alike_in_any_wrapping(inner, wrapping):
    assert refusal(str(IPv6Address(wrapping.format(inner)))) == refusal(str(inner))


@given(st.ip_addresses(v=4), st.integers(0, 2**80 - 1))
def test_a_6to4_address_is_judged_by_its_embedded_address(inner, rest):
    assert refusal(str(IPv6Address(0x2002 << 112 | int(inner) << 80 | rest))) == refusal(str(inner))


@given(st.ip_addresses(v=6, network="2000::/3"))
def test_nothing_the_library_calls_private_passes(address):
    if address.is_private and address.sixtofour is None:
        assert refusal(str(address))


@given(st.ip_addresses(v=4))
def test_the_table_is_at_least_as_strict_as_the_library(address):
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(str(address))


@pytest.mark.parametrize(
    ("address", "let_in"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("64:ff9b::a01:203", True), ("127.0.0.1", False), ("fd12::1", True),
     ("fd12::1%eth0", False), ("8.8.8.8", True)],
)  # fmt: skip
def test_listed_networks_win_over_the_table(address, let_in):
    assert (refusal(address, LISTED) is None) is let_in


def test_a_network_with_host_bits_is_an_error():
    with pytest.raises(ValueError, match="host bits"):
        networks(["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("port", "http", "smtp"),
    [(80, True, False), (443, True, False), (25, False, True), (465, False, True), (587, False, True), (22, False, False),
     (0, False, False), (1024, True, True), (8443, True, True), (65_535, True, True), (65_536, False, False)],
)  # fmt: skip
def test_ports(port, http, smtp):
    assert (port_allowed(port, HTTP_PORTS), port_allowed(port, SMTP_PORTS)) == (http, smtp)


def test_every_refused_block_is_refused_to_its_edges():
    for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "224.0.0.0/4", "240.0.0.0/4"):
        block = IPv4Network(text)
        assert refusal(str(block[0]))
        assert refusal(str(block[-1]))
    assert refusal(str(IPv4Address("10.0.0.0") - 1)) is None
