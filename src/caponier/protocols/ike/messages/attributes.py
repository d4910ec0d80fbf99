"""What the attributes of Configuration payloads say (RFC 7296 section 3.15.1).

"Unrecognized or unsupported attributes MUST be ignored in both requests and responses": so an attribute whose value is not
what its type wants is passed over like one that we do not know, and never ends an exchange.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from caponier.doi.ikev2 import ConfigAttributeType as Type
from caponier.doi.ikev2 import ConfigType
from caponier.mechanisms.negotiation.leases import Pool
from caponier.protocols.ike.messages.payloads import Configuration, ConfigurationAttribute

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
IpNetwork = IPv4Network | IPv6Network

_ADDRESS = {4: Type.INTERNAL_IP4_ADDRESS, 6: Type.INTERNAL_IP6_ADDRESS}
_DNS = {4: Type.INTERNAL_IP4_DNS, 6: Type.INTERNAL_IP6_DNS}
_SUBNET = {4: Type.INTERNAL_IP4_SUBNET, 6: Type.INTERNAL_IP6_SUBNET}
_MOST_DNS = 8  #: servers that we take; ours, not the RFC's

#: What we understand in a request, for SUPPORTED_ATTRIBUTES.
SUPPORTED = (
    Type.INTERNAL_IP4_ADDRESS,
    Type.INTERNAL_IP4_NETMASK,
    Type.INTERNAL_IP4_DNS,
    Type.INTERNAL_IP4_NBNS,
    Type.APPLICATION_VERSION,
    Type.INTERNAL_IP6_ADDRESS,
    Type.INTERNAL_IP6_DNS,
    Type.INTERNAL_IP4_SUBNET,
    Type.SUPPORTED_ATTRIBUTES,
    Type.INTERNAL_IP6_SUBNET,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a CFG_REQUEST asks for.

    Attributes:
        addresses: by family, what is wanted; None for any address of it. A family that is not in it is not asked for.
        types: all attributes that it has.
    """

    addresses: dict[int, IpAddress | None]
    types: frozenset[Type]


@dataclass(frozen=True, slots=True)
class Told:
    """What a CFG_REPLY tells; all of it is only what the peer says.

    Attributes:
        addresses: ours from now on, with the networks that they are of.
        dns: DNS servers.
        subnets: networks behind the peer.
    """

    addresses: tuple[IpInterface, ...]
    dns: tuple[IpAddress, ...]
    subnets: tuple[IpNetwork, ...]


# -- requests


def write_request(wanted: Iterable[IpAddress], *, asks_for_dns: bool) -> Configuration:
    """CP(CFG_REQUEST) for one address of each family.

    Args:
        wanted: the addresses that we would like; the unspecified one for any of its family.
        asks_for_dns: whether DNS servers are asked for, too.
    """
    attributes: list[ConfigurationAttribute] = []
    for address in wanted:
        value = b"" if address.is_unspecified else address.packed + (b"\x80" if address.version == 6 else b"")
        attributes.append(ConfigurationAttribute(_ADDRESS[address.version], value))
        if address.version == 4:
            attributes.append(ConfigurationAttribute(Type.INTERNAL_IP4_NETMASK))
        if asks_for_dns:
            attributes.append(ConfigurationAttribute(_DNS[address.version]))
        attributes.append(ConfigurationAttribute(_SUBNET[address.version]))
    return Configuration(ConfigType.CFG_REQUEST, tuple(attributes))


def read_request(payload: Configuration) -> Asked:
    """What is asked for; of several addresses of one family the first counts: "The responder MAY only send up to the
    number of addresses requested", and one is what a peer needs."""
    addresses: dict[int, IpAddress | None] = {}
    for attribute in payload.attributes:
        match attribute.type, len(attribute.value):
            case Type.INTERNAL_IP4_ADDRESS, 0 | 4:
                addresses.setdefault(4, _specific(attribute.value))
            case Type.INTERNAL_IP6_ADDRESS, 0 | 16 | 17:  # 16: without the prefix length, as some peers have it
                addresses.setdefault(6, _specific(attribute.value[:16]))
            case _:
                pass
    return Asked(addresses, frozenset(each.type for each in payload.attributes))


def _specific(value: bytes) -> IpAddress | None:
    """The address that is asked for; of zeros, as some peers write it, any is meant."""
    return ip_address(value) if any(value) else None


# -- replies


def write_reply(asked: Asked, lent: Sequence[tuple[Pool, IpAddress]], version: str) -> Configuration:
    """CP(CFG_REPLY): the addresses, what belongs to them, and what else was asked for.

    Args:
        asked: what it answers.
        lent: the peer's addresses, each with the pool that it is of.
        version: what we are; empty where we do not tell (RFC 7296 section 2.20).
    """
    attributes = [each for pool, address in lent for each in _of_address(asked, pool, address)]
    pools = [pool for pool, _ in lent]
    servers = dict.fromkeys(each for pool in pools for each in pool.dns)
    attributes += [ConfigurationAttribute(_DNS[each.version], each.packed) for each in servers]
    attributes = [each for each in attributes if each.type not in _DNS.values() or each.type in asked.types]
    if Type.INTERNAL_IP4_NBNS in asked.types:
        names = dict.fromkeys(each for pool in pools for each in pool.nbns)
        attributes += [ConfigurationAttribute(Type.INTERNAL_IP4_NBNS, each.packed) for each in names]
    attributes += [_subnet(each) for each in dict.fromkeys(each for pool in pools for each in pool.subnets)]
    if Type.APPLICATION_VERSION in asked.types:
        attributes.append(ConfigurationAttribute(Type.APPLICATION_VERSION, version.encode("ascii")))
    if Type.SUPPORTED_ATTRIBUTES in asked.types:
        listed = b"".join(int(each).to_bytes(2) for each in SUPPORTED)
        attributes.append(ConfigurationAttribute(Type.SUPPORTED_ATTRIBUTES, listed))
    return Configuration(ConfigType.CFG_REPLY, tuple(attributes))


def _of_address(asked: Asked, pool: Pool, address: IpAddress) -> Iterator[ConfigurationAttribute]:
    if address.version == 6:
        yield ConfigurationAttribute(Type.INTERNAL_IP6_ADDRESS, address.packed + pool.prefix_length.to_bytes(1))
        return
    yield ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS, address.packed)
    if Type.INTERNAL_IP4_NETMASK in asked.types:
        netmask = ip_interface((address, pool.prefix_length)).netmask
        yield ConfigurationAttribute(Type.INTERNAL_IP4_NETMASK, netmask.packed)


def _subnet(network: IpNetwork) -> ConfigurationAttribute:
    if isinstance(network, IPv4Network):
        value = network.network_address.packed + network.netmask.packed
        return ConfigurationAttribute(Type.INTERNAL_IP4_SUBNET, value)
    value = network.network_address.packed + network.prefixlen.to_bytes(1)
    return ConfigurationAttribute(Type.INTERNAL_IP6_SUBNET, value)


def read_reply(payload: Configuration) -> Told:
    """What the peer tells us, less what makes no sense."""
    addresses: dict[int, IpInterface] = {}
    servers: list[IpAddress] = []
    subnets: list[IpNetwork] = []
    netmask = next((each.value for each in payload.attributes if each.type == Type.INTERNAL_IP4_NETMASK), b"")
    for attribute in payload.attributes:
        value = attribute.value
        match attribute.type, len(value):
            case Type.INTERNAL_IP4_ADDRESS, 4:
                _add(addresses, ip_address(value), _length_of(netmask))
            case Type.INTERNAL_IP6_ADDRESS, 16 | 17:
                _add(addresses, ip_address(value[:16]), value[16] if len(value) == 17 else 128)
            case (Type.INTERNAL_IP4_DNS, 4) | (Type.INTERNAL_IP6_DNS, 16):
                servers.append(ip_address(value))
            case (Type.INTERNAL_IP4_SUBNET, 8) | (Type.INTERNAL_IP6_SUBNET, 17):
                subnets += _network(value)
            case _:
                pass
    usable = tuple(dict.fromkeys(each for each in servers if _is_of_a_host(each)))
    return Told(tuple(addresses.values()), usable[:_MOST_DNS], tuple(dict.fromkeys(subnets)))


def _add(addresses: dict[int, IpInterface], address: IpAddress, length: int) -> None:
    """Take the first address of each family: we ask for one."""
    if _is_of_a_host(address) and address.version not in addresses:
        addresses[address.version] = ip_interface((address, min(length, address.max_prefixlen)))


def _is_of_a_host(address: IpAddress) -> bool:
    """Whether an address can be that of a host in the peer's network. Whoever gave us 127.0.0.1 would not mean us well."""
    if int(address) == 0xFFFF_FFFF and address.version == 4:
        return False
    is_special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not is_special


def _length_of(netmask: bytes) -> int:
    """The prefix length that a netmask is; that of one address where it is none."""
    bits = int.from_bytes(netmask)
    length = bits.bit_count()
    is_netmask = len(netmask) == 4 and bits == (0xFFFF_FFFF << (32 - length)) & 0xFFFF_FFFF
    return length if is_netmask and length else 32


def _network(value: bytes) -> list[IpNetwork]:
    """The network of a subnet attribute; nothing where it is none."""
    if len(value) == 17:
        length = value[16]
        return [ip_network((value[:16], length), strict=False)] if length <= 128 else []
    length = _length_of(value[4:]) if any(value[4:]) else 0
    if length == 32 and value[4:] != b"\xff" * 4:
        return []
    return [ip_network((value[:4], length), strict=False)]
