"""Attributes of Configuration payloads (RFC 7296 section 3.15.1): there and back, and whatever octets there are."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import ConfigAttributeType, ConfigType
from caponier.mechanisms.negotiation.leases import Pool
from caponier.protocols.ike.messages.attributes import SUPPORTED, read_reply, read_request, write_reply, write_request
from caponier.protocols.ike.messages.payloads import Configuration, ConfigurationAttribute

_LENGTHS = st.sampled_from([0, 1, 3, 4, 5, 8, 15, 16, 17, 18])
_ATTRIBUTES = st.builds(
    ConfigurationAttribute,
    st.sampled_from([*SUPPORTED, ConfigAttributeType(23_456)]),
    _LENGTHS.flatmap(lambda length: st.binary(min_size=length, max_size=length)),
)
_PAYLOADS = st.builds(Configuration, st.sampled_from([*ConfigType]), st.lists(_ATTRIBUTES, max_size=12).map(tuple))
_HOSTS4 = st.ip_addresses(network="10.0.0.0/8")
_HOSTS6 = st.ip_addresses(network="fd00::/8")


@given(_PAYLOADS)
def test_whatever_a_peer_says_is_read(payload: Configuration) -> None:
    """No attribute of a peer raises; no address that is taken is one of this machine alone."""
    asked, told = read_request(payload), read_reply(payload)
    assert asked.addresses.keys() <= {4, 6}
    assert len({each.version for each in told.addresses}) == len(told.addresses)
    for address in (*(each.ip for each in told.addresses), *told.dns):
        special = (address.is_loopback, address.is_multicast, address.is_unspecified, address.is_link_local)
        assert not any(special)


@given(
    four=_HOSTS4,
    six=_HOSTS6,
    lengths=st.tuples(st.integers(1, 32), st.integers(0, 128)),
    dns=st.lists(_HOSTS4 | _HOSTS6, max_size=8, unique=True),
    subnets=st.lists(st.integers(0, 32).map(lambda length: ip_network(f"0.0.0.0/{length}")), unique=True, max_size=4),
)
def test_a_reply_is_read_as_it_was_meant(
    four: IPv4Address,
    six: object,
    lengths: tuple[int, int],
    dns: list[IPv4Address],
    subnets: list[object],
) -> None:
    low, high = ip_address("10.0.0.0"), ip_address("10.255.255.255")
    first = Pool("four", low, high, lengths[0], dns=tuple(dns), subnets=tuple(subnets))  # type: ignore[arg-type]
    second = Pool("six", ip_address("fd00::"), ip_address("fdff::"), lengths[1])
    asked = read_request(write_request((ip_address("0.0.0.0"), ip_address("::")), asks_for_dns=True))
    told = read_reply(write_reply(asked, [(first, four), (second, six)], ""))  # type: ignore[list-item]
    assert [(each.ip, each.network.prefixlen) for each in told.addresses] == list(
        zip((four, six), lengths, strict=True)
    )
    assert list(told.dns) == dns
    assert list(told.subnets) == subnets


@given(_HOSTS4 | _HOSTS6)
def test_a_wish_is_read_as_it_was_meant(address: IPv4Address) -> None:
    asked = read_request(write_request((address,), asks_for_dns=False))
    assert asked.addresses == {address.version: address}
