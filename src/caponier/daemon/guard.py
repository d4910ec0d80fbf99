"""The SPD where packets do not go through a tunnel: keeps out, and in, what may not pass in clear.

RFC 4301 section 5.2: a packet that arrives unprotected and matches a PROTECT policy is discarded. The packets that a tunnel
delivers come out of its own interface, so a table of nf_tables (netlink, family inet) drops those that match a policy and
come in anywhere else. The policies that stand before all connections are there in their order: BYPASS lets in what a
connection's policy would keep out, DISCARD drops in both directions. The table is ours alone, named after the interface;
nobody else's rules are touched.

::

    input    interfaces of ours, lo, IKE, ESP, AH: pass     then jump arriving     then connections: drop
    forward  interfaces of ours, lo: pass                   then jump leaving, arriving     then connections: drop
    output   our mark, lo, neighbour discovery: pass        then jump leaving
"""

from __future__ import annotations

import contextlib
import sys
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
from caponier.mechanisms.negotiation.spd import Action, SpdEntry
from caponier.protocols.ike.policy import Ports

_INET = 1  #: NFPROTO_INET: IPv4 and IPv6 in one table
_NFPROTO = {4: b"\x02", 6: b"\x0a"}
_HOOKS = ("input", "forward")  #: where packets arrive; those of connections are watched here
_ARRIVING, _LEAVING = "arriving", "leaving"  #: chains of the policies that stand before all connections
_JUMPS = {"input": (_ARRIVING,), "forward": (_LEAVING, _ARRIVING), "output": (_LEAVING,)}
_PRIORITY = -10  #: before the filters of most firewalls, at 0
_DROP, _ACCEPT, _JUMP, _RETURN = 0, 1, -3, -5
_NETWORK, _TRANSPORT = 1, 2  #: headers that a payload expression counts from
_ADDRESSES = {4: (12, 16, 4), 6: (8, 24, 16)}  #: offsets of source and destination, octets of each
_NAME_LENGTH = 16  #: octets of an interface's name, padded with zeros
_ICMP = (IpProtocol.ICMP, IpProtocol.IPV6_ICMP)
_DISCOVERY = (133, 137)  #: ICMPv6 types of neighbour discovery (RFC 4861), which stays on its link

Expression = dict[str, Any]
Key = tuple[object, ...]  #: names what is guarded: a connection, a child, perhaps its selectors
Rule = tuple[str, int]  #: its chain and its handle


class Guard:
    """The rules of one daemon.

    Args:
        interface: the tunnel's, whose packets pass.
        ports: IKE's and ESP's own.
        mark: fwmark of what we send, which passes.

    Raises:
        EngineError: the privilege is missing, or the kernel has no nf_tables.
    """

    def __init__(self, interface: str, ports: Ports, mark: int) -> None:
        self._table = f"caponier-{interface}"
        self._netlink = Netlink(lambda: NFTables(nfgen_family=_INET))
        self._rules: dict[Key, list[Rule]] = {}  # of each child
        self._first: list[Rule] = []  # of the policies before all of them
        self._interfaces: dict[str, list[Rule]] = {}
        self._known: set[int] = set()
        try:
            self._remove_table()  # of a run that was killed
            self._make_chains(interface, ports, mark)
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
        self._rules[key] = self._written(
            (hook, [*_matches(theirs, ours), *_counted(_DROP)])
            for theirs, ours in _pairs(remote, local)
            for hook in _HOOKS
        )
        self._delete(former)

    def release(self, key: Key) -> None:
        """Undo :meth:`protect`."""
        self._delete(self._rules.pop(key, []))

    def put_first(self, entries: Sequence[SpdEntry]) -> None:
        """Ask these before all connections, in their order; they replace those before.

        Raises:
            EngineError: nf_tables refuses.
        """
        former = self._first
        self._first = self._written(
            (chain, [*_matches(source, destination), *_counted(code)])
            for entry in entries
            for chain, sources, destinations, code in _ways(entry)
            for source, destination in _pairs(sources, destinations)
        )
        self._delete(former)

    def let_through(self, interface: str) -> None:
        """Another interface of ours: what comes out of it was protected.

        Raises:
            EngineError: nf_tables refuses.
        """
        rules = [(hook, _from_interface(interface)) for hook in _HOOKS]
        self._interfaces[interface] = self._written(rules, verb="insert")

    def forget(self, interface: str) -> None:
        """Undo :meth:`let_through`."""
        self._delete(self._interfaces.pop(interface, []))

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

    def _make_chains(self, interface: str, ports: Ports, mark: int) -> None:
        self._ask("table", "add", name=self._table)
        for chain in (_ARRIVING, _LEAVING):
            self._ask("chain", "add", table=self._table, name=chain)
        exempt = {
            "input": (*_own(interface), *_ipsec(ports)),
            "forward": tuple(_own(interface)),
            "output": tuple(_ours_that_leave(mark)),
        }
        for hook, passing in exempt.items():
            self._ask("chain", "add", table=self._table, name=hook, hook=hook, policy=_ACCEPT, priority=_PRIORITY)
            for expressions in (*passing, *map(_jump, _JUMPS[hook])):
                self._add_rule(hook, expressions)

    def _written(self, rules: Iterable[tuple[str, list[Expression]]], verb: str = "add") -> list[Rule]:
        """Write rules into their chains, and find out how the kernel calls them.

        Raises:
            EngineError: nf_tables refuses.
        """
        try:
            for chain, expressions in rules:
                self._add_rule(chain, expressions, verb)
            found = [each for each in self._handles() if each[1] not in self._known]
        except NetlinkError as error:
            raise EngineError(f"clear packets cannot be kept out: nf_tables refuses ({error})") from None
        self._known |= {handle for _, handle in found}
        return found

    def _ask(self, what: str, verb: str, **arguments: Any) -> None:
        self._netlink.ask(lambda nft: getattr(nft, what)(verb, **arguments))

    def _add_rule(self, chain: str, expressions: Iterable[Expression], verb: str = "add") -> None:
        self._ask("rule", verb, table=self._table, chain=chain, expressions=(list(expressions),))

    def _handles(self) -> list[Rule]:
        dumped = self._netlink.ask(lambda nft: list(nft.get_rules()))
        ours = [rule for rule in dumped if rule.get_attr("NFTA_RULE_TABLE") == self._table]
        return [(rule.get_attr("NFTA_RULE_CHAIN"), rule.get_attr("NFTA_RULE_HANDLE")) for rule in ours]

    def _delete(self, rules: Iterable[Rule]) -> None:
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
        yield _from_interface(name)


def _from_interface(name: str) -> list[Expression]:
    return [_load(Meta.NFT_META_IIFNAME), _equals(_padded(name)), *verdict(_ACCEPT)]


def _padded(name: str) -> bytes:
    return name.encode().ljust(_NAME_LENGTH, b"\0")


def _ours_that_leave(mark: int) -> Iterator[list[Expression]]:
    """What this machine sends and no policy is asked about: IKE and ESP of ours, and what stays on its link."""
    yield [_load(Meta.NFT_META_MARK), _equals(mark.to_bytes(4, sys.byteorder)), *verdict(_ACCEPT)]
    yield [_load(Meta.NFT_META_OIFNAME), _equals(_padded("lo")), *verdict(_ACCEPT)]
    yield _discovery()


def _ways(entry: SpdEntry) -> Iterator[tuple[str, Sequence[TrafficSelector], Sequence[TrafficSelector], int]]:
    """An entry's rules: chain, source, destination, verdict. What may leave is still asked about where it arrives."""
    is_bypass = entry.action is Action.BYPASS
    yield _ARRIVING, entry.remote, entry.local, _ACCEPT if is_bypass else _DROP
    yield _LEAVING, entry.local, entry.remote, _RETURN if is_bypass else _DROP


def _pairs(
    sources: Sequence[TrafficSelector], destinations: Sequence[TrafficSelector]
) -> list[tuple[TrafficSelector, TrafficSelector]]:
    """Those that a packet can go between: of one address family and one protocol."""
    return [
        (source, destination)
        for source in sources
        for destination in destinations
        if source.start.version == destination.start.version
        and (source.protocol == destination.protocol or 0 in (source.protocol, destination.protocol))
    ]


def _counted(code: int) -> list[Expression]:
    """A verdict; what is dropped is counted."""
    return [*([genex("counter", {})] if code == _DROP else ()), *verdict(code)]


def _jump(chain: str) -> list[Expression]:
    target = {"attrs": [("NFTA_VERDICT_CODE", _JUMP), ("NFTA_VERDICT_CHAIN", chain)]}
    return [_expression("immediate", dreg=0, data={"attrs": [("NFTA_DATA_VERDICT", target)]})]


def _ipsec(ports: Ports) -> Iterator[list[Expression]]:
    """What passes unprotected to this machine, and to none behind it: IPsec itself, and neighbour discovery."""
    for protocol in (IpProtocol.ESP, IpProtocol.AH):
        yield [*_protocol(protocol), *verdict(_ACCEPT)]
    for port in (ports.ike, ports.encapsulated):
        yield [*_protocol(IpProtocol.UDP), _payload(_TRANSPORT, 2, 2), _equals(port.to_bytes(2)), *verdict(_ACCEPT)]
    yield _discovery()


def _discovery() -> list[Expression]:
    first, last = (number.to_bytes(1) for number in _DISCOVERY)
    return [*_protocol(IpProtocol.IPV6_ICMP), _payload(_TRANSPORT, 0, 1), _within(first, last), *verdict(_ACCEPT)]


def _matches(source: TrafficSelector, destination: TrafficSelector) -> Iterator[Expression]:
    """A packet from one selector to another."""
    version = destination.start.version
    source_at, destination_at, length = _ADDRESSES[version]
    yield from (_load(Meta.NFT_META_NFPROTO), _equals(_NFPROTO[version]))
    yield from (_payload(_NETWORK, source_at, length), _within(source.start.packed, source.end.packed))
    yield from (_payload(_NETWORK, destination_at, length), _within(destination.start.packed, destination.end.packed))
    protocol = source.protocol or destination.protocol
    if not protocol:
        return
    yield from _protocol(protocol)
    # At the place of the source port an ICMP message has its type and code, which both selectors count.
    for offset, selector in ((0, source), (0 if protocol in _ICMP else 2, destination)):
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
