"""Keeps out what should have come through a tunnel: clear packets that claim to be from a protected network.

RFC 4301 section 5.2: a packet that arrives unprotected and matches a PROTECT policy is discarded. The packets that a tunnel
delivers come out of its own interface, so a table of nf_tables (netlink, family inet) drops those that match a policy and
come in anywhere else. The table is ours alone, named after the interface; nobody else's rules are touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import Meta
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from caponier.daemon.netlink import Netlink
from caponier.doi.esp_ah import IpProtocol
from caponier.errors import EngineError
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.policy import Ports

_INET = 1  #: NFPROTO_INET: IPv4 and IPv6 in one table
_NFPROTO = {4: b"\x02", 6: b"\x0a"}
_HOOKS = ("input", "forward")
_PRIORITY = -10  #: before the filters of most firewalls, at 0
_DROP, _ACCEPT = 0, 1
_NETWORK, _TRANSPORT = 1, 2  #: headers that a payload expression counts from
_ADDRESSES = {4: (12, 16, 4), 6: (8, 24, 16)}  #: offsets of source and destination, octets of each
_NAME_LENGTH = 16  #: octets of an interface's name, padded with zeros
_DISCOVERY = (133, 137)  #: ICMPv6 types of neighbour discovery (RFC 4861), which stays on its link

Expression = dict[str, Any]
Key = tuple[str, str]


class Guard:
    """The rules of one daemon.

    Args:
        interface: the tunnel's, whose packets pass.
        ports: IKE's and ESP's own.

    Raises:
        EngineError: the privilege is missing, or the kernel has no nf_tables.
    """

    def __init__(self, interface: str, ports: Ports) -> None:
        self._table = f"caponier-{interface}"
        self._netlink = Netlink(lambda: NFTables(nfgen_family=_INET))
        self._rules: dict[Key, list[tuple[str, int]]] = {}  # of each child: chain and handle
        self._known: set[int] = set()
        try:
            self._remove_table()  # of a run that was killed
            self._ask("table", "add", name=self._table)
            for hook in _HOOKS:
                self._ask("chain", "add", table=self._table, name=hook, hook=hook, policy=_ACCEPT, priority=_PRIORITY)
                exempt = [*_own(interface), *(_ipsec(ports) if hook == "input" else ())]
                for expressions in exempt:
                    self._add_rule(hook, expressions)
            self._known = {handle for _, handle in self._handles()}
        except NetlinkError as error:
            self.close()
            raise EngineError(
                f"clear packets cannot be kept out: nf_tables refuses ({error})",
                hint="the daemon needs CAP_NET_ADMIN and a kernel with nf_tables",
            ) from None

    def protect(self, key: Key, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]) -> None:
        """Drop clear packets from ``remote`` to ``local`` from now on; a second call replaces what the first said.

        Raises:
            EngineError: nf_tables refuses.
        """
        former = self._rules.get(key, [])
        try:
            for theirs in remote:
                for ours in local:
                    if theirs.start.version == ours.start.version:
                        for hook in _HOOKS:
                            self._add_rule(hook, [*_matches(theirs, ours), genex("counter", {}), *verdict(_DROP)])
            found = [each for each in self._handles() if each[1] not in self._known]
        except NetlinkError as error:
            raise EngineError(f"clear packets cannot be kept out: nf_tables refuses ({error})") from None
        self._rules[key] = found
        self._known |= {handle for _, handle in found}
        self._delete(former)

    def release(self, key: Key) -> None:
        """Undo :meth:`protect`."""
        self._delete(self._rules.pop(key, []))

    def dropped(self) -> int:
        """Clear packets that were dropped."""
        try:
            dumped = self._netlink.ask(lambda nft: list(nft.get_rules()))
        except NetlinkError:
            return 0
        return sum(_count(rule) for rule in dumped if rule.get_attr("NFTA_RULE_TABLE") == self._table)

    def close(self) -> None:
        """Remove the table; may be called twice."""
        with contextlib.suppress(NetlinkError, OSError, RuntimeError):
            self._remove_table()
        self._netlink.close()
        self._rules.clear()

    # -- the inside

    def _ask(self, what: str, verb: str, **arguments: Any) -> None:
        self._netlink.ask(lambda nft: getattr(nft, what)(verb, **arguments))

    def _add_rule(self, chain: str, expressions: Iterable[Expression]) -> None:
        self._ask("rule", "add", table=self._table, chain=chain, expressions=(list(expressions),))

    def _handles(self) -> list[tuple[str, int]]:
        dumped = self._netlink.ask(lambda nft: list(nft.get_rules()))
        ours = [rule for rule in dumped if rule.get_attr("NFTA_RULE_TABLE") == self._table]
        return [(rule.get_attr("NFTA_RULE_CHAIN"), rule.get_attr("NFTA_RULE_HANDLE")) for rule in ours]

    def _delete(self, rules: Iterable[tuple[str, int]]) -> None:
        for chain, handle in rules:
            self._known.discard(handle)
            with contextlib.suppress(NetlinkError):  # gone already, by somebody's hand
                self._ask("rule", "del", table=self._table, chain=chain, handle=handle)

    def _remove_table(self) -> None:
        with contextlib.suppress(NetlinkError):  # there is none
            self._ask("table", "del", name=self._table)


def _own(interface: str) -> Iterator[list[Expression]]:
    """What passes: the tunnel's packets, and what this machine sends to itself."""
    for name in (interface, "lo"):
        yield [_load(Meta.NFT_META_IIFNAME), _equals(name.encode().ljust(_NAME_LENGTH, b"\0")), *verdict(_ACCEPT)]


def _ipsec(ports: Ports) -> Iterator[list[Expression]]:
    """What passes unprotected to this machine, and to none behind it: IPsec itself, and neighbour discovery."""
    for protocol in (IpProtocol.ESP, IpProtocol.AH):
        yield [*_protocol(protocol), *verdict(_ACCEPT)]
    for port in (ports.ike, ports.encapsulated):
        yield [*_protocol(IpProtocol.UDP), _payload(_TRANSPORT, 2, 2), _equals(port.to_bytes(2)), *verdict(_ACCEPT)]
    first, last = (number.to_bytes(1) for number in _DISCOVERY)
    yield [*_protocol(IpProtocol.IPV6_ICMP), _payload(_TRANSPORT, 0, 1), _within(first, last), *verdict(_ACCEPT)]


def _matches(theirs: TrafficSelector, ours: TrafficSelector) -> Iterator[Expression]:
    """A packet from one selector to another."""
    version = ours.start.version
    source, destination, length = _ADDRESSES[version]
    yield from (_load(Meta.NFT_META_NFPROTO), _equals(_NFPROTO[version]))
    yield from (_payload(_NETWORK, source, length), _within(theirs.start.packed, theirs.end.packed))
    yield from (_payload(_NETWORK, destination, length), _within(ours.start.packed, ours.end.packed))
    protocol = theirs.protocol or ours.protocol
    if not protocol:
        return
    yield from _protocol(protocol)
    # At the place of the source port an ICMP message has its type and code, as a selector counts them.
    for offset, selector in ((0, theirs), (2, ours)):
        if 0 < selector.start_port <= selector.end_port or (0 == selector.start_port <= selector.end_port < 0xFFFF):
            yield from (
                _payload(_TRANSPORT, offset, 2),
                _within(selector.start_port.to_bytes(2), selector.end_port.to_bytes(2)),
            )


def _load(key: Meta) -> Expression:
    return _expression("meta", key=int(key), dreg=1)


def _protocol(number: int) -> tuple[Expression, Expression]:
    return _load(Meta.NFT_META_L4PROTO), _equals(int(number).to_bytes(1))


def _payload(base: int, offset: int, length: int) -> Expression:
    return _expression("payload", dreg=1, base=base, offset=offset, len=length)


def _equals(value: bytes) -> Expression:
    return _expression("cmp", sreg=1, op=0, data=_value(value))


def _within(first: bytes, last: bytes) -> Expression:
    return _expression("range", sreg=1, op=0, from_data=_value(first), to_data=_value(last))


def _value(octets: bytes) -> Expression:
    return {"attrs": [("NFTA_DATA_VALUE", octets)]}


def _expression(name: str, **fields: Any) -> Expression:
    made: Expression = genex(name, fields)
    return made


def _count(rule: Any) -> int:
    """What the counter of a rule says; 0 where it has none."""
    for expression in rule.get_attr("NFTA_RULE_EXPRESSIONS") or ():
        if expression.get_attr("NFTA_EXPR_NAME") == "counter":
            packets: int = expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS")
            return packets
    return 0
