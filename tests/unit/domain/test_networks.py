"""Networks: what is accepted, and which addresses they hold."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.errors import InvalidField
from clarion.domain.limits import NETWORKS_PER_KEY_MAX
from clarion.domain.networks import check_networks, comparable, contain, network_of


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::/0", "::/0"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_form(text, canonical):
    assert check_networks([text, canonical]) == (canonical,)


@pytest.mark.parametrize(
    "text",
    ["", "x", "192.0.2.1/24", "2001:db8::1/32", "::ffff:192.0.2.1/120", "192.0.2.0/33", "fe80::1%eth0", "010.0.0.1", "1.2.3.4 "],
)  # fmt: skip
def test_what_is_no_network_is_refused_by_its_place(text):
    with pytest.raises(InvalidField) as refused:
        check_networks(["10.0.0.0/8", text])
    assert refused.value.field == "networks[1]"


def test_a_network_with_more_bits_gets_a_suggestion():
    with pytest.raises(InvalidField, match=r"did you mean 192\.0\.2\.0/24"):
        check_networks(["192.0.2.1/24"])


def test_the_number_of_networks_is_bounded():
    with pytest.raises(InvalidField):
        check_networks([f"10.0.0.{n}" for n in range(NETWORKS_PER_KEY_MAX + 1)])


addresses = st.one_of(
    st.builds(IPv4Address, st.integers(0, 2**32 - 1)),
    st.builds(IPv6Address, st.integers(0, 2**128 - 1)),
    st.integers(0, 2**32 - 1).map(lambda number: IPv6Address((0xFFFF << 32) + number)),
)


def plain(address):
    """Return an address, an IPv4-mapped one as IPv4."""
    return getattr(address, "ipv4_mapped", None) or address


@given(addresses, st.data())
def test_a_network_holds_what_the_standard_library_says(address, data):
    near = type(address)(int(address) ^ 1 << data.draw(st.integers(0, address.max_prefixlen - 1)))
    network = ip_network((address, data.draw(st.integers(0, address.max_prefixlen))), strict=False)
    fixed = ip_network("192.0.2.0/31")
    (canonical,) = check_networks([str(network)])
    networks = comparable([str(fixed), canonical])
    for one in (address, near):
        assert contain(networks, str(one)) == (plain(one) in ip_network(canonical) or plain(one) in fixed)


def test_an_address_of_a_dual_stack_socket_is_the_ipv4_address():
    ours = comparable(["192.0.2.0/24"])
    assert contain(ours, "192.0.2.9") and contain(ours, "::ffff:192.0.2.9")
    assert not contain(ours, "::192.0.2.9") and not contain(ours, "::ffff:192.0.3.9")
    assert not contain(comparable(["::/0"]), "::ffff:192.0.2.9"), "it is no IPv6 address"
    assert contain(comparable(["fe80::/10"]), "fe80::1%eth0")
    for nothing in ("", "x", "testclient"):
        assert not contain(comparable(["0.0.0.0/0", "::/0"]), nothing)


def test_uses_are_shown_by_network():
    shown = {host: network_of(host) for host in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8:1:2::3", "::1", "x")}
    assert list(shown.values()) == ["192.0.2.0/24", "192.0.2.0/24", "2001:db8:1::/48", "::/48", ""]
