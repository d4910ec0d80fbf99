"""Internal addresses: the pools that are given from, and what a connection asks for or gives (RFC 7296 section 2.19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address, ip_address, ip_network

from caponier.daemon.config.attempts import Attempts, Complaints
from caponier.daemon.config.schema import ConnectionTable, PoolTable
from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.leases import IpNetwork, Pool
from caponier.mechanisms.negotiation.selectors import IpAddress, TrafficSelector, parse_selector

DYNAMIC = "dynamic"  #: in place of networks: the internal addresses
_ANY = {4: ip_address("0.0.0.0"), 6: ip_address("::")}  # noqa: S104 - what is asked for, not where we listen
_ALL = {4: parse_selector("0.0.0.0/0"), 6: parse_selector("::/0")}


@dataclass(frozen=True, slots=True)
class Internal:
    """What a connection has to do with internal addresses.

    Attributes:
        wanted: that we ask the peer for.
        pools: that we give from.
    """

    wanted: tuple[IpAddress, ...] = ()
    pools: tuple[Pool, ...] = ()

    @property
    def local(self) -> tuple[TrafficSelector, ...]:
        """What our internal addresses may be, until we know them."""
        return tuple(_ALL[each.version] for each in self.wanted)

    @property
    def remote(self) -> tuple[TrafficSelector, ...]:
        """What those of the peers may be."""
        return tuple(pool.selector for pool in self.pools)


def compose_pools(tables: Mapping[str, PoolTable], complaints: Complaints) -> dict[str, Pool]:
    """The pools by name; those with mistakes are left out, and ``complaints`` tell of them."""
    pools: dict[str, Pool] = {}
    for name, table in tables.items():
        attempts = Attempts(("pool", name), complaints)
        pool = _pool(attempts, name, table)
        if pool is not None:
            _check_apart(attempts, pool, pools)
            pools[name] = pool
    return pools


def _pool(attempts: Attempts, name: str, table: PoolTable) -> Pool | None:
    attempts.name(name)
    found = attempts.make(("addresses",), lambda: parse_selector(table.addresses))
    dns = attempts.each(("dns",), table.dns, _server)
    nbns = attempts.each(("nbns",), table.nbns, _server)
    subnets = attempts.each(("subnets",), table.subnets, _subnet)
    if found is None:
        return None
    if found.protocol:
        attempts.refuse(("addresses",), "a pool is of addresses, not of protocols or ports", "leave the brackets out")
    first, last, length = _span(found, table.addresses)
    names = tuple(each for each in nbns if isinstance(each, IPv4Address))
    if len(names) != len(nbns):
        attempts.refuse(("nbns",), "NetBIOS name servers have IPv4 addresses (RFC 7296 section 3.15.1)")
    return Pool(name, first, last, length, dns, names, subnets)


def _span(found: TrafficSelector, text: str) -> tuple[IpAddress, IpAddress, int]:
    """First and last address, and the prefix length: of a network its own address, and in IPv4 the broadcast address, are
    no host's."""
    most = found.start.max_prefixlen
    if "/" not in text:
        return found.start, found.end, most
    length = most - (int(found.end) - int(found.start)).bit_length()
    if most - length < 2:
        return found.start, found.end, length
    return found.start + 1, found.end - (found.start.version == 4), length


def _check_apart(attempts: Attempts, pool: Pool, others: Mapping[str, Pool]) -> None:
    for other in others.values():
        is_apart = pool.version != other.version or pool.last < other.first or other.last < pool.first  # type: ignore[operator]
        if not is_apart:
            why = f"pool {other.name} has some of these addresses too"
            attempts.refuse(("addresses",), why, "let each address be in one pool; connections may share a pool")


def _server(text: str) -> IpAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no IP address", hint='write it as "10.1.0.53" or "fd00:1::53"') from None
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise ConfigError(f"{text} is no server that a peer could reach", hint="name its address in the network")
    return address


def _subnet(text: str) -> IpNetwork:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no network: {error}", hint='write it as "10.1.0.0/16"') from None


# -- connections


def compose_internal(attempts: Attempts, table: ConnectionTable, pools: Mapping[str, Pool]) -> Internal:
    """What a connection asks for, and what it gives."""
    internal = Internal(_wanted(attempts, table.virtual_ip), _given(attempts, table.pool, pools))
    if table.virtual_ip and table.pool:
        why = "it either asks the peer for internal addresses (virtual_ip) or gives it some (pool)"
        attempts.refuse(("pool",), why, "leave one of the two out")
    for key, side, texts in (("virtual_ip", "local", table.virtual_ip), ("pool", "remote", table.pool)):
        users = [name for name, child in table.child.items() if getattr(child, side) == [DYNAMIC]]
        if texts and not users:
            why = f"no child is for the internal addresses of {key}"
            attempts.refuse((key,), why, f'write {side} = "{DYNAMIC}" for a child')
    return internal


def _wanted(attempts: Attempts, texts: Sequence[str]) -> tuple[IpAddress, ...]:
    if list(texts) == ["any"]:
        return tuple(_ANY.values())
    found = attempts.each(("virtual_ip",), texts, _wanted_address)
    for version in (4, 6):
        if sum(each.version == version for each in found) > 1:
            attempts.refuse(("virtual_ip",), f"more than one IPv{version} address", "one of each family is asked for")
    return found


def _wanted_address(text: str) -> IpAddress:
    try:
        return ip_address(text)
    except ValueError:
        hint = '"any", or "0.0.0.0" for any of IPv4, "::" for any of IPv6, or the address that you would like'
        raise ConfigError(f"{text!r} is no IP address", hint=hint) from None


def _given(attempts: Attempts, names: Sequence[str], pools: Mapping[str, Pool]) -> tuple[Pool, ...]:
    found = []
    for index, name in enumerate(names):
        if name in pools:
            found.append(pools[name])
            continue
        close = get_close_matches(name, pools, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"add a table [pool.{name}]"
        attempts.refuse(("pool", str(index)), f"there is no pool named {name!r}", hint)
    return tuple(found)


def selectors_of(
    attempts: Attempts, side: str, texts: list[str], assigned: Sequence[TrafficSelector]
) -> tuple[TrafficSelector, ...]:
    """The value of a child's ``local`` or ``remote``; in place of ``dynamic`` what the internal addresses may be."""
    if DYNAMIC not in texts:
        return attempts.selectors(side, texts)
    if texts != [DYNAMIC]:
        attempts.refuse((side,), f'"{DYNAMIC}" stands alone', "make another child for the other networks")
    elif not assigned:
        key = "virtual_ip" if side == "local" else "pool"
        attempts.refuse((side,), f'"{DYNAMIC}" needs {key}', f"set {key} for the connection")
    return tuple(assigned)
