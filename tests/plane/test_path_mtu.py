"""What does not fit a tunnel (RFC 4301 section 8, RFC 1191, RFC 8201), with a router between the gateways.

::

    alice ── gw1 ──── router ──── gw2 ── bob
                              ^
                              the narrow link
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, NamedTuple

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from caponier._plane import PlaneError
from caponier.demo.capture import Frame, Tap
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LAN, LEFT, RIGHT, WIRE, Site, Topology, topology
from caponier.demo.traffic import ping, transfer
from tests.plane.test_transforms import AH, ESP_TRANSPORT, ESP_TUNNEL, Kind, each, install_inbound, protected, talkers
from tests.plane.tunnel import MTU, PORT, Tunnel, error_of, eventually
from tests.requirements import require

pytestmark = pytest.mark.privileged

NARROW = 1380  #: octets: less than the tunnels' packets have, and enough for IPv6 within every one of them
LEAST = 1280  #: what every link of IPv6 carries (RFC 8200 section 5)
OCTETS = 300_000  #: of a TCP transfer
FILLING = b"too long for the way, and cut to fit it"
IP_MTU, IPV6_MTU = 14, 24
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PMTUDISC_DONT, PMTUDISC_DO = 0, 2
DF, MF = 0x4000, 0x2000
UDP_SEGMENT = 103
NODAD = 0x02  #: an address that is used at once (IFA_F_NODAD, linux/if_addr.h)
MAIN, STATIC, RTM_F_CLONED = 254, 4, 0x200  #: a routing table, whose routes, and a flag (linux/rtnetlink.h)
UDP4_TUNNEL, UDP6_TUNNEL = ESP_TUNNEL[:2]
TUNNELS = [*ESP_TUNNEL, *AH[:2]]
TRANSPORTS = [*AH[2:], *ESP_TRANSPORT]
# Linux takes AH for an extension header, and a message about it in IPv6 for one about what follows: nobody hears of it.
HEARD = [kind for kind in (*TUNNELS, *TRANSPORTS) if not (kind.protocol == "ah" and kind.carrier.outer == 6)]
HEARD_TUNNELS = [kind for kind in HEARD if kind.mode == "tunnel"]

every_version = pytest.mark.parametrize("version", [4, 6])


# --- the network ---


class Leg(NamedTuple):
    """The link between a gateway and the router."""

    site: Site
    name: str  #: of the router's interface
    gateway: str
    router: str
    gateway6: str
    router6: str


LEGS = (
    Leg(LEFT, "left0", "198.51.100.1", "198.51.100.2", "2001:db8:1::1", "2001:db8:1::2"),
    Leg(RIGHT, "right0", "203.0.113.1", "203.0.113.2", "2001:db8:2::1", "2001:db8:2::2"),
)


@pytest.fixture(scope="module")
def router() -> Iterator[Namespace]:
    require(None if os.geteuid() == 0 else "network namespaces need root")
    made = Namespace.create(f"caponier-plane-{os.getpid()}-router")
    try:
        made.write_sysctls({"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"})
        made.write_sysctls({"net/ipv6/conf/default/accept_dad": "0"})
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def world(router: Namespace) -> Iterator[Topology]:
    """The demonstration's network, with the router in its middle."""
    with topology(f"caponier-plane-{os.getpid()}-") as made:
        with made.gw1.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname=WIRE)[0])
        left, right = LEGS
        join(made.gw1, router, left, right.site)
        join(made.gw2, router, right, left.site)
        for source, destination in (
            (made.gw1, RIGHT.outer),
            (made.gw1, RIGHT.outer6),
            (made.alice, LEFT.gateway_inner),
            (made.alice, LEFT.gateway_inner6),
            (made.bob, RIGHT.gateway_inner),
            (made.bob, RIGHT.gateway_inner6),
        ):
            assert ping(source, destination, count=10).received, f"{source.name} does not reach {destination}"
        yield made


def join(gateway: Namespace, router: Namespace, leg: Leg, there: Site) -> None:
    """Join a gateway to the router, which leads to the other one."""
    site = leg.site
    with gateway.netlink() as netlink:
        netlink.link("add", ifname=WIRE, kind="veth", peer={"ifname": leg.name, "net_ns_fd": router.name})
    ours = ((leg.gateway, 30), (leg.gateway6, 64), (site.outer, 32), (site.outer6, 128))
    with gateway.netlink() as here, router.netlink() as middle:
        for netlink, name, addresses in (
            (here, WIRE, ours),
            (middle, leg.name, ((leg.router, 30), (leg.router6, 64))),
        ):
            index = netlink.link_lookup(ifname=name)[0]
            for address, length in addresses:
                netlink.addr(
                    "add", index=index, address=address, prefixlen=length, flags=NODAD if ":" in address else 0
                )
            netlink.link("set", index=index, state="up")
        here.route("add", dst=f"{there.outer}/32", gateway=leg.router, prefsrc=site.outer)
        here.route("add", dst=f"{there.outer6}/128", gateway=leg.router6, prefsrc=site.outer6, family=socket.AF_INET6)
        middle.route("add", dst=f"{site.outer}/32", gateway=leg.gateway)
        middle.route("add", dst=f"{site.outer6}/128", gateway=leg.gateway6, family=socket.AF_INET6)


def set_mtu(namespace: Namespace, interface: str, mtu: int) -> None:
    with namespace.netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], mtu=mtu)


def forget_paths(world: Topology) -> None:
    """What hosts and gateways learned of their paths, lest one test lives on another's."""
    for namespace in world.namespaces:
        namespace.write_sysctls({"net/ipv4/route/flush": "1"})
        with namespace.netlink() as netlink:  # in IPv6 what was learned lives as long as its route
            for route in list(netlink.get_routes(family=socket.AF_INET6, table=MAIN, proto=STATIC)):
                if not route["flags"] & RTM_F_CLONED:  # which is what was learned
                    renew(netlink, route)


def renew(netlink: IPRoute, route: Any) -> None:
    known = dict(route["attrs"])
    arguments = {"family": socket.AF_INET6, "dst": f"{known.get('RTA_DST', '::')}/{route['dst_len']}"}
    for name in ("GATEWAY", "OIF", "PREFSRC"):
        if f"RTA_{name}" in known:
            arguments[name.lower()] = known[f"RTA_{name}"]
    for verb in ("del", "add"):
        netlink.route(verb, **arguments)


@contextmanager
def narrow(world: Topology, router: Namespace, mtu: int = NARROW) -> Iterator[None]:
    """The link between the router and the right gateway carries less."""
    ends = ((router, LEGS[1].name), (world.gw2, WIRE))
    forget_paths(world)
    try:
        for end in ends:
            set_mtu(*end, mtu)
        yield
    finally:
        for end in ends:
            set_mtu(*end, 1500)
        forget_paths(world)


def family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def bobs(version: int) -> str:
    return RIGHT.host if version == 4 else RIGHT.host6


def path_mtu(host: Namespace, destination: str) -> int:
    """What a host believes of the path."""
    version = ip_address(destination).version
    option = (socket.IPPROTO_IP, IP_MTU) if version == 4 else (socket.IPPROTO_IPV6, IPV6_MTU)
    with host.inside(), socket.socket(family(version), socket.SOCK_DGRAM) as probe:
        probe.connect((destination, 9))
        return probe.getsockopt(*option)


def overhead(kind: Kind) -> int:
    """Octets of the headers that a tunnel adds; more is padding."""
    ip = 20 if kind.carrier.outer == 4 else 40
    if kind.protocol == "ah":
        return ip + 12 + (16 if kind.carrier.outer == 4 else 20)
    return ip + (8 if kind.carrier.encapsulated else 0) + 8 + 8 + 2 + 16


def fitting(kind: Kind, mtu: int) -> int:
    """Octets of the longest packet that fits."""
    if kind.protocol == "ah":
        return mtu - overhead(kind)
    left = mtu - overhead(kind) + 2  # what is encrypted, with the two octets of the trailer, is whole words
    return left // 4 * 4 - 2


def too_big(pair: Tunnel) -> int:
    return pair.left.outbound()[2].get("too-big", 0)


@contextmanager
def datagrams(world: Topology, version: int, discovery: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP socket of Alice's, connected to one of Bob's."""
    option = (socket.IPPROTO_IP, IP_MTU_DISCOVER) if version == 4 else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)
    with world.alice.inside():
        source = socket.socket(family(version), socket.SOCK_DGRAM)
    with world.bob.inside():
        sink = socket.socket(family(version), socket.SOCK_DGRAM)
    with source, sink:
        source.setsockopt(*option, discovery)
        sink.bind((bobs(version), 0))
        sink.settimeout(5)
        source.connect(sink.getsockname()[:2])
        yield source, sink


def outer_packets(frames: tuple[Frame, ...], version: int) -> list[bytes]:
    """What crossed the wire, from the IP header on."""
    packets = [frame.octets[14:] for frame in frames if not frame.is_housekeeping]
    return [packet for packet in packets if packet[0] >> 4 == version]


def fragment_word(packet: bytes) -> int:
    return int.from_bytes(packet[6:8])


# --- a router says so ---


@each(HEARD)
def test_tcp_finds_out(pair: Tunnel, router: Namespace, kind: Kind) -> None:
    """RFC 4301 section 8.2.1: the router tells the gateway, and the gateway the host; then nothing is fragmented."""
    source, sink, addresses = talkers(pair, kind)
    with protected(pair, kind), narrow(pair.world, router):
        for address in addresses:
            assert transfer(source, sink, address, octets=OCTETS, filling=FILLING).intact
            expected = fitting(kind, NARROW) if kind.mode == "tunnel" else None
            told = path_mtu(source, address)
            assert expected is None or told == expected
            assert told < NARROW
        assert too_big(pair) > 0
        with Tap(pair.world.gw1, WIRE) as tap:
            assert transfer(source, sink, addresses[0], octets=OCTETS, filling=FILLING).intact
            lengths = {frame.length - 14 for frame in tap.stop().frames}
        assert max(lengths) <= NARROW or kind.carrier.encapsulated  # a train stands there as one
        assert eventually(lambda: pair.left.outbound()[0] > 0)


@every_version
@each(HEARD_TUNNELS)
def test_a_datagram_of_any_length_arrives(pair: Tunnel, router: Namespace, kind: Kind, version: int) -> None:
    """RFC 4301 section 8.2.1, case 2 and 3: without DF it is cut, or fragmented behind ESP; its sender hears nothing.

    Where a packet is IPv6, inner or outer, the first ones are lost: nobody but who sent them fragments them, and that one has
    to hear of it.
    """
    with protected(pair, kind), narrow(pair.world, router), datagrams(pair.world, version, PMTUDISC_DONT) as (a, b):
        for length in (100, 1200, MTU - 60, 3000):
            for _ in range(6):
                a.send(bytes(length))
                try:
                    b.settimeout(0.5)
                    assert b.recv(65_535) == bytes(length)
                except TimeoutError:
                    assert 6 in (version, kind.carrier.outer)  # dropped on the way, and told
                else:
                    break
            else:
                pytest.fail(f"{length} octets never arrive")


@every_version
@each(HEARD_TUNNELS)
def test_a_host_that_forbids_fragments_is_told(pair: Tunnel, router: Namespace, kind: Kind, version: int) -> None:
    """RFC 1191 section 4, RFC 8201: a sender with DF learns what fits, to the octet; that much arrives."""
    headers = 28 if version == 4 else 48
    with protected(pair, kind), narrow(pair.world, router), datagrams(pair.world, version, PMTUDISC_DO) as (a, b):
        expected = fitting(kind, NARROW)

        def knows() -> bool:
            error_of(a, bytes(MTU - headers))
            return path_mtu(pair.world.alice, bobs(version)) == expected

        assert eventually(knows), path_mtu(pair.world.alice, bobs(version))
        assert error_of(a, bytes(expected + 1 - headers)) == errno.EMSGSIZE
        assert error_of(a, bytes(expected - headers)) == 0
        assert b.recv(2000) == bytes(expected - headers)


@each([UDP4_TUNNEL, UDP6_TUNNEL, AH[0]])
def test_ipv6_is_never_told_less_than_its_minimum(pair: Tunnel, router: Namespace, kind: Kind) -> None:
    """RFC 8200 section 5: what the link carries less than 1280 octets for is fragmented below IPv6."""
    with protected(pair, kind), narrow(pair.world, router, LEAST):
        with datagrams(pair.world, 6, PMTUDISC_DO) as (a, b):

            def knows() -> bool:
                error_of(a, bytes(MTU - 48))
                return path_mtu(pair.world.alice, RIGHT.host6) == LEAST

            assert eventually(knows), path_mtu(pair.world.alice, RIGHT.host6)
            assert error_of(a, bytes(LEAST - 48)) == 0
            assert b.recv(2000) == bytes(LEAST - 48)
        assert transfer(pair.world.alice, pair.world.bob, RIGHT.host6, octets=OCTETS, filling=FILLING).intact


# --- the gateway's own interface ---


@each([*TUNNELS, *TRANSPORTS])
def test_the_interface_is_narrow(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 8.2: nobody has to say what the gateway sees for itself, trains of segments included."""
    source, sink, addresses = talkers(pair, kind)
    forget_paths(pair.world)
    with protected(pair, kind):
        try:
            set_mtu(pair.world.gw1, WIRE, NARROW)
            for address in addresses:
                assert transfer(source, sink, address, octets=OCTETS, filling=FILLING).intact
        finally:
            set_mtu(pair.world.gw1, WIRE, 1500)
        assert pair.left.plane.drops().get("send-failed", 0) == 0


# --- the control side says so ---


@each(TUNNELS)
def test_a_configured_path_mtu(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 8.2.1: the SAD's PMTU, whoever wrote it: DF is answered at once, the rest is cut (RFC 791)."""
    with protected(pair, kind):
        forget_paths(pair.world)
        pair.left.plane.set_path_mtu(pair.left.handle, LEAST)
        expected = fitting(kind, LEAST)
        with datagrams(pair.world, 4, PMTUDISC_DO) as (a, _):
            a.send(bytes(MTU - 28))
            assert eventually(lambda: path_mtu(pair.world.alice, RIGHT.host) == expected)
            assert pair.left.outbound() == (0, 0, {"too-big": 1})
        with datagrams(pair.world, 4, PMTUDISC_DONT) as (a, b), Tap(pair.world.gw1, WIRE) as tap:
            forget_paths(pair.world)
            a.send(bytes(1350))
            assert b.recv(2000) == bytes(1350)
            assert pair.left.outbound()[0] == 2
            words = {fragment_word(packet) for packet in outer_packets(tap.stop().frames, kind.carrier.outer)}
        assert kind.carrier.outer == 6 or words == {0}
        pair.left.plane.set_path_mtu(pair.left.handle, 0)
        with datagrams(pair.world, 4, PMTUDISC_DO) as (a, b):
            a.send(bytes(MTU - 28))
            assert b.recv(2000) == bytes(MTU - 28)
        forget_paths(pair.world)


def test_the_gateway_answers_by_the_address_that_the_host_knows(pair: Tunnel) -> None:
    """RFC 1812 section 4.3.2.4, RFC 4443 section 2.2: a router's message comes from the interface towards the sender."""
    for version, source, protocol in ((4, LEFT.gateway_inner, 1), (6, LEFT.gateway_inner6, 58)):
        with pair.world.alice.inside():
            listener = socket.socket(family(version), socket.SOCK_RAW, protocol)
        with (
            listener,
            protected(pair, UDP4_TUNNEL, path_mtu=1352),
            datagrams(pair.world, version, PMTUDISC_DO) as (a, _),
        ):
            forget_paths(pair.world)
            listener.settimeout(5)
            a.send(bytes(MTU - 48))
            while True:
                octets, address = listener.recvfrom(2000)
                message = octets[20:] if version == 4 else octets
                if message[0] == (3 if version == 4 else 2):
                    break
            assert address[0] == source
            told = message[6:8] if version == 4 else message[4:8]
            assert int.from_bytes(told) == fitting(UDP4_TUNNEL, 1352)
    forget_paths(pair.world)


def test_the_gateway_hears_itself(pair: Tunnel) -> None:
    """RFC 4301 section 8.2.1: also where the sender is the gateway."""
    for version, source in ((4, LEFT.gateway_inner), (6, LEFT.gateway_inner6)):
        option = (socket.IPPROTO_IP, IP_MTU_DISCOVER) if version == 4 else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)
        with pair.world.gw1.inside():
            sender = socket.socket(family(version), socket.SOCK_DGRAM)
        with sender, protected(pair, UDP4_TUNNEL, path_mtu=1352):
            sender.setsockopt(*option, PMTUDISC_DO)
            sender.bind((source, 0))
            sender.connect((bobs(version), 9))
            sender.send(bytes(MTU - 48))
            expected = fitting(UDP4_TUNNEL, 1352)
            assert eventually(lambda e=expected, v=version: path_mtu(pair.world.gw1, bobs(v)) == e)  # type: ignore[misc]
    forget_paths(pair.world)


@pytest.mark.parametrize(("kind", "mtu"), [(UDP4_TUNNEL, 575), (UDP6_TUNNEL, 1279)], ids=["ipv4", "ipv6"])
def test_a_path_mtu_that_no_path_has_is_refused(pair: Tunnel, kind: Kind, mtu: int) -> None:
    """RFC 791 section 3.1, RFC 8200 section 5."""
    with protected(pair, kind):
        handle = pair.left.handle
        with pytest.raises(PlaneError, match=f"a path MTU of {mtu} octets; it must be 0 or at least {mtu + 1}"):
            pair.left.plane.set_path_mtu(handle, mtu)
        pair.left.plane.set_path_mtu(handle, mtu + 1)
    with pytest.raises(PlaneError, match="no outbound SA"):
        pair.left.plane.set_path_mtu(handle, 1500)


# --- a stranger says so ---


def test_a_forged_message_does_not_stop_traffic(pair: Tunnel, router: Namespace) -> None:
    """RFC 4301 sections 6.1.1 and 8.2.1: what claims that the path carries next to nothing is not believed."""
    with protected(pair, UDP4_TUNNEL):
        forget_paths(pair.world)
        with router.inside():
            forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        quoted = IP(src=LEFT.outer, dst=RIGHT.outer, flags="DF") / UDP(sport=PORT, dport=PORT) / Raw(bytes(1200))
        forged = IP(src=LEGS[0].router, dst=LEFT.outer) / ICMP(type=3, code=4, nexthopmtu=68) / quoted
        with forger:
            forger.sendto(bytes(forged), (LEFT.outer, 0))
        assert eventually(lambda: path_mtu(pair.world.gw1, RIGHT.outer) < 576)
        assert transfer(pair.world.alice, pair.world.bob, RIGHT.host, octets=OCTETS, filling=FILLING).intact
        assert transfer(pair.world.alice, pair.world.bob, RIGHT.host6, octets=OCTETS, filling=FILLING).intact
        assert path_mtu(pair.world.alice, RIGHT.host6) == LEAST
        assert path_mtu(pair.world.alice, RIGHT.host) in (552, fitting(UDP4_TUNNEL, 576))
    forget_paths(pair.world)


# --- DF ---


@pytest.mark.parametrize(
    ("df", "expected"), [("copy", [DF, 0]), ("set", [DF, DF]), ("clear", [0, 0])], ids=["copy", "set", "clear"]
)
@each([kind for kind in TUNNELS if kind.carrier.outer == 4])
def test_df_of_the_outer_header(pair: Tunnel, kind: Kind, df: str, expected: list[int]) -> None:
    """RFC 4301 section 8.1: "the treatment of the DF bit (set, clear, copy from inner header) for each SA"."""
    found = []
    with protected(pair, kind, df=df):
        for discovery in (PMTUDISC_DO, PMTUDISC_DONT):
            with datagrams(pair.world, 4, discovery) as (a, b), Tap(pair.world.gw1, WIRE) as tap:
                a.send(FILLING)
                assert b.recv(2000) == FILLING
                (packet,) = outer_packets(tap.stop().frames, 4)
                found.append(fragment_word(packet))
    assert found == expected


def test_clear_fragments_and_learns_nothing(pair: Tunnel, router: Namespace) -> None:
    """RFC 4301 section 8.2.1: "configured to process (vs. ignore)": without DF no router has anything to say."""
    with protected(pair, UDP4_TUNNEL, df="clear"), narrow(pair.world, router):
        for host in (RIGHT.host, RIGHT.host6):
            assert transfer(pair.world.alice, pair.world.bob, host, octets=OCTETS, filling=FILLING).intact
            assert path_mtu(pair.world.alice, host) == MTU
        assert too_big(pair) == 0


@every_version
def test_super_packets_without_df_are_cut(pair: Tunnel, version: int) -> None:
    """RFC 4301 section 8.2.1: each datagram of a train that one send makes; IPv6 up to 1280 is sent as it is."""
    size = 1180
    with protected(pair, UDP4_TUNNEL, path_mtu=1232), datagrams(pair.world, version, PMTUDISC_DONT) as (a, b):
        forget_paths(pair.world)
        control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
        payload = os.urandom(5 * size)
        a.sendmsg([payload], control)
        found = b"".join(b.recv(2000) for _ in range(5))
        assert found == payload
        assert pair.left.outbound()[0] == (10 if version == 4 else 5)
    forget_paths(pair.world)


# --- the maximum segment size ---


@every_version
@pytest.mark.parametrize("direction", ["out", "in"])
def test_the_segment_size_is_clamped(pair: Tunnel, version: int, direction: str) -> None:
    """RFC 9293 section 3.7.1: SYN and SYN ACK say no more than the tunnel carries, on either side of it."""
    clamp = 1000
    most = clamp - (40 if version == 4 else 60)
    with protected(pair, UDP4_TUNNEL, **({"clamp": clamp} if direction == "out" else {})):
        if direction == "in":
            renew_inbound(pair, clamp)
        with Tap(pair.world.bob, LAN) as at_bob, Tap(pair.world.alice, LAN) as at_alice:
            host = bobs(version)
            assert transfer(pair.world.alice, pair.world.bob, host, octets=OCTETS, filling=FILLING).intact
            offers = [segment_sizes(tap.stop().frames, version) for tap in (at_bob, at_alice)]
        # What Alice offered reaches Bob lowered, and what Bob offered reaches Alice lowered.
        assert min(offers[0]) == min(offers[1]) == most
        assert max(max(each) for each in offers) <= 1460


def renew_inbound(pair: Tunnel, clamp: int) -> None:
    for end in pair.ends:
        end.plane.remove_inbound(end.spi_in, "esp")
        install_inbound(end, UDP4_TUNNEL, clamp=clamp)


def segment_sizes(frames: tuple[Frame, ...], version: int) -> list[int]:
    """The Maximum Segment Sizes of the SYN segments that were seen."""
    found = []
    for packet in outer_packets(frames, version):
        protocol, start = (packet[9], 20) if version == 4 else (packet[6], 40)
        segment = packet[start:]
        if protocol == socket.IPPROTO_TCP and segment[13] & 0x02:
            assert segment[20:22] == bytes((2, 4))
            found.append(int.from_bytes(segment[22:24]))
    return found
