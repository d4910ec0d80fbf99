"""Road warriors with internal addresses against a gateway with pools (RFC 7296 sections 2.19 and 3.15)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from caponier.api.schema import IkeSa
from caponier.demo.gateways import Gateway, start, stop
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.site import CONNECTION, FILLING, Pair, Text, eventually, left, right

pytestmark = pytest.mark.privileged

FOUR, SIX = ip_network("10.9.0.0/24"), ip_network("fd00:9::/64")
POOLS = """
[pool.four]
addresses = "10.9.0.0/24"
dns = ["10.2.0.10", "fd00:2::10"]
subnets = ["10.2.0.0/24"]

[pool.six]
addresses = "fd00:9::/64"
"""
FORMER = "# by hand\nnameserver 198.51.100.53\n"


def warrior(pair: Pair, **changes: str) -> Text:
    """The left gateway as a road warrior; its resolv.conf is one of the test's own."""
    daemon = f'resolver = "file"\nresolv_conf = "{resolv_conf(pair)}"'
    child = f'local = "dynamic"\nremote = ["{RIGHT.network}", "{RIGHT.network6}"]'
    return left(**{"lines": 'virtual_ip = "any"', "child": child, "daemon": daemon} | changes)


def gateway(**changes: str) -> Text:
    child = f'local = ["{RIGHT.network}", "{RIGHT.network6}"]\nremote = "dynamic"'
    lines = 'pool = ["four", "six"]'
    return right(**{"lines": lines, "child": child, "rest": POOLS, "remote": 'id = "*.example.com"'} | changes)


def resolv_conf(pair: Pair) -> Path:
    return pair.directory / "resolv.conf"


@pytest.fixture
def road(pair: Pair) -> Iterator[Pair]:
    """Both ends configured; nothing runs that another configuration of the daemon had."""
    resolv_conf(pair).write_text(FORMER)
    pair.configure(warrior(pair), gateway())
    pair.start("gw2", "gw1")
    yield pair
    pair.absent("gw1")
    assert resolv_conf(pair).read_text() == FORMER
    assert sorted(each.name for each in pair.directory.glob("resolv.conf*")) == ["resolv.conf"]


def addresses_of(namespace: Namespace, interface: str = "cap0") -> set[str]:
    with namespace.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)
        found = [each for each in netlink.get_addr() if index and each["index"] == index[0]]
        return {str(each.get_attr("IFA_ADDRESS")) for each in found if each["scope"] == 0}


def lent(pair: Pair) -> list[str]:
    sa = pair.ike_sa("gw2")
    return [] if sa is None else sa.lent


def test_both_families_and_back(road: Pair) -> None:
    """The address is on the interface, packets are sent from it, DNS is the gateway's; at the end all is as it was."""
    road.up()
    sa = road.ike_sa("gw1")
    assert sa is not None
    four, six = map(ip_address, sa.assigned)
    assert four in FOUR
    assert six in SIX
    assert addresses_of(road.world.gw1) == set(sa.assigned) == set(lent(road))
    assert ping(road.world.gw1, RIGHT.host, count=3, payload=FILLING).received == 3
    assert ping(road.world.gw1, RIGHT.host6, count=3, payload=FILLING).received == 3
    assert ping(road.world.bob, str(four), count=3, payload=FILLING).received == 3
    assert ping(road.world.bob, str(six), count=3, payload=FILLING).received == 3
    child = road.child("gw1")
    assert child is not None
    assert child.local == sa.assigned
    assert eventually(lambda: "nameserver 10.2.0.10\nnameserver fd00:2::10\n" in resolv_conf(road).read_text())
    assert [(each.name, each.held) for each in road.status("gw2").pools] == [("four", 1), ("six", 1)]
    with road.client("gw1") as client:
        client.down(CONNECTION)
    assert eventually(lambda: resolv_conf(road).read_text() == FORMER)
    assert addresses_of(road.world.gw1) == set()
    assert [each.held for each in road.status("gw2").pools] == [0, 0]


def test_the_address_stays_when_keys_change(road: Pair) -> None:
    """Section 3.15.1: the successor of an IKE SA has its addresses."""
    road.up()
    before = lent(road)
    with road.client("gw1") as client:
        client.rekey(CONNECTION, ike=True)
        client.rekey(CONNECTION)
    assert lent(road) == before
    assert addresses_of(road.world.gw1) == set(before)
    assert ping(road.world.gw1, RIGHT.host, count=3).received == 3


def test_a_gateway_that_starts_again_gives_the_same(road: Pair) -> None:
    """Nothing is stored: the road warrior asks for what it had."""
    road.up()
    before = lent(road)
    road.stop("gw2")
    assert eventually(lambda: not road.status("gw1").ike_sas)
    assert addresses_of(road.world.gw1) == set()
    road.start("gw2")
    road.up()
    assert lent(road) == before
    assert ping(road.world.gw1, RIGHT.host6, count=3).received == 3


def test_a_road_warrior_that_is_killed(road: Pair) -> None:
    """It comes again as the same peer (INITIAL_CONTACT): the same address, and resolv.conf is put back when it starts."""
    road.up()
    before = lent(road)
    assert eventually(lambda: "10.2.0.10" in resolv_conf(road).read_text())
    road.kill("gw1")
    road.start("gw1")
    assert eventually(lambda: resolv_conf(road).read_text() == FORMER)
    road.up()
    assert lent(road) == before
    assert [each.held for each in road.status("gw2").pools] == [1, 1]
    assert ping(road.world.gw1, RIGHT.host, count=3).received == 3


def test_dns_is_left_alone_where_it_is_off(road: Pair) -> None:
    road.configure(warrior(road, lines='virtual_ip = "any"\ndns = "off"'))
    road.start("gw1")
    road.up()
    assert resolv_conf(road).read_text() == FORMER


def test_an_empty_pool_is_told(road: Pair) -> None:
    """Section 3.15.4: INTERNAL_ADDRESS_FAILURE, and both sides say which setting it is about."""
    full = POOLS.replace("10.9.0.0/24", "10.2.0.10")  # one address, which its DNS server has
    road.configure(warrior(road, lines='virtual_ip = "0.0.0.0"'), gateway(rest=full))
    road.start("gw2", "gw1")
    with pytest.raises(Exception, match="no address left"), road.client("gw1") as client:
        client.up(CONNECTION)
    assert eventually(lambda: bool(road.troubles("gw2")))
    assert road.troubles("gw2")[-1].problem.kind == "InternalAddressFailure"
    assert eventually(lambda: not road.status("gw2").ike_sas)


SECOND = """
[daemon]
control = "{directory}/alice.sock"
resolver = "file"
resolv_conf = "{directory}/alice.resolv.conf"

[connection.office]
virtual_ip = "any"
local = {{ id = "alice.example.com", secret = "file:office.psk" }}
remote = {{ address = "{outer}", id = "gw2.example.com" }}

[connection.office.child.lan]
local = "dynamic"
remote = ["{network}", "{network6}"]
"""


@pytest.fixture
def second(road: Pair) -> Iterator[Gateway]:
    """Alice as another road warrior, through gw1, which only forwards."""
    with road.world.gw2.netlink() as netlink, ExitStack() as undo:
        route = {"dst": LEFT.network, "gateway": LEFT.outer}
        netlink.route("add", **route)
        undo.callback(netlink.route, "del", **route)
        text = SECOND.format(
            directory=road.directory, outer=RIGHT.outer, network=RIGHT.network, network6=RIGHT.network6
        )
        (road.directory / "alice.toml").write_text(text)
        made = start("alice", road.world.alice, road.directory)
        try:
            yield made
        finally:
            assert stop(made) == 0
    (road.directory / "alice.resolv.conf").unlink(missing_ok=True)


def test_two_road_warriors_of_one_connection(road: Pair, second: Gateway) -> None:
    """Each has its own addresses, and the gateway sends to each what is for it; one goes, the other stays."""
    address = RIGHT.outer
    anywhere = gateway().render(RIGHT, LEFT, road.control("gw2")).replace(f'address = "{LEFT.outer}"', "")
    assert address in anywhere
    (road.directory / "gw2.toml").write_text(anywhere)
    with road.client("gw2") as client:
        client.reload()
    road.up()
    with second.client() as client:
        client.up("office")
        (theirs,) = client.status().ike_sas
    ours = road.ike_sa("gw1")
    assert ours is not None
    assert not set(ours.assigned) & set(theirs.assigned)
    assert [each.held for each in road.status("gw2").pools] == [2, 2]
    assert carries(road, road.world.gw1, ours)
    assert carries(road, road.world.alice, theirs)
    with second.client() as client:
        client.down("office")
    assert [each.held for each in road.status("gw2").pools] == [1, 1]
    assert carries(road, road.world.gw1, ours)


def carries(road: Pair, namespace: Namespace, sa: IkeSa) -> bool:
    """Both ways, both families."""
    out = [ping(namespace, host, count=2).received for host in (RIGHT.host, RIGHT.host6)]
    back = [ping(road.world.bob, address, count=2).received for address in sa.assigned]
    return out + back == [2, 2, 2, 2]


def test_the_end_of_the_daemon_restores_all(road: Pair) -> None:
    road.up()
    assert eventually(lambda: "10.2.0.10" in resolv_conf(road).read_text())
    road.signal("gw1", signal.SIGTERM)
    assert eventually(lambda: road.process("gw1").poll() is not None)
    del road.running["gw1"]
    assert resolv_conf(road).read_text() == FORMER
    assert eventually(lambda: [each.held for each in road.status("gw2").pools] == [0, 0])
