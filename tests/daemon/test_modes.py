"""ESP and AH, each in tunnel and in transport mode, negotiated by two daemons and carrying packets (RFC 4301 section 3.2)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from caponier.demo.capture import Kind, Tap
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE
from caponier.demo.traffic import ping, transfer
from tests.daemon.kernel import routes
from tests.daemon.site import FILLING, Pair, Text, eventually, left, right

pytestmark = pytest.mark.privileged

OUTER = {4: (LEFT.outer, RIGHT.outer), 6: (LEFT.outer6, RIGHT.outer6)}


def hosts(family: int, child: str = "", lines: str = "") -> tuple[Text, Text]:
    """Both gateways as two hosts that speak with each other in transport mode."""
    ours, theirs = OUTER[family]
    made = [
        make(family=family, lines=lines, child=f'local = "{here}"\nremote = "{there}"\nmode = "transport"\n{child}')
        for make, here, there in ((left, ours, theirs), (right, theirs, ours))
    ]
    return made[0], made[1]


def sites(child: str, lines: str = "") -> tuple[Text, Text]:
    """Both gateways with a tunnel between their networks."""
    made = [make(lines=lines, child=f"{make().child}\n{child}") for make in (left, right)]
    return made[0], made[1]


def up(pair: Pair, texts: tuple[Text, Text]) -> None:
    pair.configure(*texts)
    pair.start("gw1", "gw2")
    pair.up()
    assert eventually(pair.is_up)


@pytest.mark.parametrize("proposal", ["sha256", "sha1-esn", "sha512-esn", "aescmac", "aes256gmac-esn"])
def test_ah_between_two_networks(pair: Pair, proposal: str) -> None:
    """RFC 4302: what it carries can be read on the way, and not be changed."""
    up(pair, sites(f'protocol = "ah"\nproposals = ["{proposal}"]'))
    child = pair.child("gw1")
    assert child is not None
    assert (child.protocol, child.mode, child.suite) == ("ah", "tunnel", proposal)
    with Tap(pair.world.gw1, WIRE) as tap:
        pair.carries(1 << 18)
        assert tap.stop().contains(FILLING)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_transport_mode_between_two_hosts(pair: Pair, protocol: str, family: int) -> None:
    """RFC 4301 section 4.1: the hosts' own addresses are the packets' only ones; IKE goes on beside."""
    ours, theirs = OUTER[family]
    up(pair, hosts(family, f'protocol = "{protocol}"'))
    child = pair.child("gw1")
    assert child is not None
    assert (child.protocol, child.mode) == (protocol, "transport")
    with Tap(pair.world.gw1, WIRE) as tap:
        assert ping(pair.world.gw1, theirs, count=3, payload=FILLING).received == 3
        assert ping(pair.world.gw2, ours, count=3, payload=FILLING).received == 3
        assert transfer(pair.world.gw1, pair.world.gw2, theirs, octets=1 << 19, filling=FILLING).intact
        assert tap.stop().contains(FILLING) is (protocol == "ah")
    with pair.client("gw1") as client:
        client.down("office")
    assert eventually(lambda: pair.ike_sa("gw2") is None)
    assert ping(pair.world.gw1, theirs, count=1).received == 1  # by hand: in clear again


def test_transport_mode_in_udp(pair: Pair) -> None:
    """RFC 3948 section 3.1: ESP in transport mode, encapsulated."""
    up(pair, hosts(4, lines='encapsulation = "forced"'))
    child = pair.child("gw1")
    assert child is not None
    assert child.encapsulated
    with Tap(pair.world.gw1, WIRE) as tap:
        assert transfer(pair.world.gw1, pair.world.gw2, RIGHT.outer, octets=1 << 19, filling=FILLING).intact
        assert not tap.stop().contains(FILLING)


@pytest.mark.parametrize("family", [4, 6])
def test_transport_mode_holds_what_it_protects(pair: Pair, family: int) -> None:
    """RFC 4301 section 5: the peer in clear is neither spoken to nor heard, but for IKE and neighbour discovery."""
    ours, theirs = OUTER[family]
    pair.absent("gw2")
    pair.configure(hosts(family, lines='start = "boot"')[0])
    pair.start("gw1")
    assert routes(pair.world.gw1, 220) == {f"{theirs}/{32 if family == 4 else 128}"}
    assert ping(pair.world.gw1, theirs, count=2, seconds=0.3).received == 0
    assert ping(pair.world.gw2, ours, count=2, seconds=0.3).received == 0
    pair.configure(*hosts(family, lines='start = "boot"'))
    pair.start("gw2")
    assert eventually(pair.is_up)
    assert ping(pair.world.gw1, theirs, count=2).received == 2


def test_transport_mode_on_demand(pair: Pair) -> None:
    """RFC 4301 section 5.1: the first packet asks for the SA, and is sent through it."""
    pair.configure(hosts(4, lines='start = "on-demand"')[0], hosts(4)[1])
    pair.start("gw2", "gw1")
    assert ping(pair.world.gw1, RIGHT.outer, count=1, seconds=5).received == 1
    assert pair.is_up()


def test_the_first_packet_of_a_connection_on_demand_arrives(pair: Pair) -> None:
    """RFC 4301 section 5.1: held until there is an SA, not lost: one ping, and its answer."""
    pair.configure(left(lines='start = "on-demand"'), right())
    pair.start("gw2", "gw1")
    for host in (RIGHT.host, RIGHT.host6):
        assert ping(pair.world.alice, host, count=1, seconds=5).received == 1
    assert pair.is_up()


# -- how packets are built


def test_packets_are_padded_and_marked_as_configured(pair: Pair) -> None:
    """RFC 4303 section 2.7 (TFC padding), RFC 4301 section 5.1.2 (DSCP and DF of the outer header)."""
    up(pair, sites('tfc = "mtu"\ndscp = 46\ndf = "set"'))
    with Tap(pair.world.gw1, WIRE) as tap:
        assert ping(pair.world.alice, RIGHT.host, count=3, payload=b"small").received == 3
        seen = tap.stop()
    headers = [each.octets[14:34] for each in seen.frames if each.kind is Kind.ESP]
    assert len(headers) == 6
    assert all(int.from_bytes(header[2:4]) > 1400 for header in headers)
    ours, theirs = ([each for each in headers if each[12:16] == ip_address(end).packed] for end in OUTER[4])
    assert {header[1] for header in ours} == {46 << 2}
    assert {header[6] & 0x40 for header in ours} == {0x40}
    assert len(theirs) == 3


def test_the_strict_reverse_path_filter_is_told_of(pair: Pair) -> None:
    """It takes the way back to a packet's source for the way that it should have come: in transport mode, the tunnel's."""
    pair.configure(*hosts(4))
    pair.start("gw1")
    assert not any("reverse path" in each for each in pair.status("gw1").warnings)
    strict = f"net/ipv4/conf/{WIRE}/rp_filter"
    pair.world.gw1.write_sysctls({strict: "1"})
    try:
        (warning,) = [each for each in pair.status("gw1").warnings if "reverse path" in each]
    finally:
        pair.world.gw1.write_sysctls({strict: "0"})
    assert f"sysctl -w net.ipv4.conf.{WIRE}.rp_filter=2" in warning


@pytest.mark.parametrize("mode", ["tunnel", "transport"])
def test_a_narrow_path(pair: Pair, mode: str) -> None:
    """RFC 4301 section 8: the path carries less than the tunnel's MTU needs; TCP gets through all the same."""
    gateways = (pair.world.gw1, pair.world.gw2)
    set_mtu(gateways, 1330)
    try:
        up(pair, hosts(4) if mode == "transport" else sites(""))
        if mode == "tunnel":
            pair.carries(1 << 19)
        else:
            assert transfer(pair.world.gw1, pair.world.gw2, RIGHT.outer, octets=1 << 19, filling=FILLING).intact
    finally:
        set_mtu(gateways, 1500)


def set_mtu(gateways: tuple[Namespace, ...], mtu: int) -> None:
    for gateway in gateways:
        with gateway.netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname=WIRE)[0], mtu=mtu)
