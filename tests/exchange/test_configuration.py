"""Configuration payloads, both ends in simulated time (RFC 7296 sections 2.19, 2.20 and 3.15)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ConfigAttributeType as Type
from caponier.doi.ikev2 import ConfigType, NotifyType, ProtocolId
from caponier.errors import FailedCpRequired, InternalAddressFailure, PeerRejected
from caponier.mechanisms.negotiation.leases import Holder, Pool
from caponier.mechanisms.negotiation.selectors import format_selector, parse_selector
from caponier.protocols.ike.effects import Assignment, LeaseAddress
from caponier.protocols.ike.events import AddressesAssigned, IkeSaClosed
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Configuration, ConfigurationAttribute, Payload
from caponier.protocols.ike.policy import ChildPolicy, Connection, IpAddress
from caponier.protocols.ike.v2.exchanges import configuration
from caponier.protocols.ike.v2.exchanges.informational import InformationalRequest
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step, request
from tests.exchange.world import Weather, World, assert_tunnel, child, connection

ANY4, ANY6 = ip_address("0.0.0.0"), ip_address("::")
DNS4, DNS6 = ip_address("10.2.0.53"), ip_address("fd00:2::53")
NETWORK = ip_network("10.2.0.0/16")
EVERYTHING = (parse_selector("0.0.0.0/0"), parse_selector("::/0"))


def pool(first: str = "10.9.0.1", last: str = "10.9.0.254", length: int = 24, **more: Any) -> Pool:
    return Pool(f"from {first}", ip_address(first), ip_address(last), length, **more)


POOL4 = pool(dns=(DNS4,), subnets=(NETWORK,))
POOL6 = pool("fd00:9::1", "fd00:9::ffff", 64, dns=(DNS6,))


def _children(**assigned: Any) -> tuple[ChildPolicy, ...]:
    lan = child("lan", "10.2.0.0/16", "10.2.0.0/16")
    return (replace(lan, local=EVERYTHING, remote=EVERYTHING, **assigned),)


def warrior(wanted: tuple[IpAddress, ...] = (ANY4, ANY6), **more: Any) -> Connection:
    """The left side: a road warrior."""
    return replace(connection("left", children=_children(local_is_assigned=True), **more), virtual_ip=wanted)


def gateway(*pools: Pool, **more: Any) -> Connection:
    """The right side: it has addresses to give."""
    made = connection("right", children=_children(remote_is_assigned=True), **more)
    return replace(made, pools=pools or (POOL4, POOL6))


def world_of(left: Connection, right: Connection, **more: Any) -> World:
    world = World(**more)
    world.connect(left, right)
    world.run(5)
    return world


def addresses(world: World) -> list[str]:
    (sa,) = world.right.sas
    return list(sa.lent)


def test_a_road_warrior_gets_an_address_of_each_family() -> None:
    """Section 2.19: CP(CFG_REQUEST) in IKE_AUTH, CP(CFG_REPLY) in its answer; TSi is narrowed to what was given."""
    world = world_of(warrior(), gateway())
    assert_tunnel(world)
    (assignment,) = world.left.assignments
    (four, six) = assignment.addresses
    assert four.ip in POOL4
    assert six.ip in POOL6
    assert (four.network.prefixlen, six.network.prefixlen) == (24, 64)
    assert assignment.dns == (DNS4, DNS6)
    assert assignment.subnets == (NETWORK,)
    (installed,) = world.left.installed.values()
    assert [format_selector(each) for each in installed.local] == [str(four.ip), str(six.ip)]
    assert addresses(world) == [str(four.ip), str(six.ip)] == list(world.left.sas[0].assigned)
    assert [len(host.happened(AddressesAssigned)) for host in (world.left, world.right)] == [1, 1]


def test_one_family_is_enough() -> None:
    """Section 3.15.4: a type of address that the responder does not have is ignored, "and processes the rest"."""
    world = world_of(warrior(), gateway(POOL6))
    assert_tunnel(world)
    assert [each.version for each in world.left.assignments[0].addresses] == [6]


def test_dns_is_not_asked_for_where_it_is_not_wanted() -> None:
    world = world_of(replace(warrior(), takes_dns=False), gateway())
    assert_tunnel(world)
    assert world.left.assignments[0].dns == ()


def test_all_is_given_back_at_the_end() -> None:
    """Section 3.15.1: an address is valid as long as the IKE SA."""
    for side in ("left", "right"):
        world = world_of(warrior(), gateway())
        world.host(side).endpoint.terminate("office", world.now)
        world.settle()
        world.run(60)
        assert not +world.right.lent
        assert not world.left.assignments
        assert world.right.leases.held(POOL4) == 0


def test_a_peer_gets_its_address_again() -> None:
    """Section 3.15.1: "it likely indicates that a previous connection existed with this address"."""
    world = world_of(warrior(), gateway())
    first = addresses(world)
    for _ in range(3):
        world.left.endpoint.terminate("office", world.now)
        world.settle()
        world.run(60)
        world.initiate("left")
        world.run(5)
        assert addresses(world) == first


def test_the_successor_of_an_ike_sa_keeps_the_addresses() -> None:
    """Section 3.15.1: "as long as this IKE SA (or its rekeyed successors)"; its children are rekeyed with them too."""
    world = world_of(warrior(), gateway())
    before = addresses(world)
    for side in ("left", "right", "left"):
        world.host(side).endpoint.rekey("office", world.now)
        world.settle()
        world.run(120)
        (installed,) = world.host(side).installed.values()
        world.host(side).endpoint.rekey_child(ProtocolId.ESP, installed.spi_in, world.now)
        world.settle()
        world.run(60)
        assert_tunnel(world)
        assert addresses(world) == before
        assert list(map(str, +world.right.lent)) == before
        (installed,) = world.left.installed.values()
        assert [format_selector(each) for each in installed.local] == before


def test_an_address_stays_through_reauthentication() -> None:
    """The new IKE SA is made before the old one ends: both have the address, and no other peer ever does."""
    world = world_of(replace(warrior(), reauth=100.0), gateway())
    before, (old,) = addresses(world), world.left.sas
    world.run(300)
    (new,) = world.left.sas
    assert new.id != old.id
    assert addresses(world) == before == list(new.assigned)
    assert list(map(str, +world.right.lent)) == before
    assert set((+world.right.lent).values()) == {1}
    assert len(world.left.assignments) == 1
    assert_tunnel(world)


def test_an_exhausted_pool_leaves_the_ike_sa() -> None:
    """Section 3.15.4: INTERNAL_ADDRESS_FAILURE; "The IKE SA is still created". Then the initiator ends it, as it may."""
    world = World()
    world.right.endpoint.add_connection(gateway(pool("10.9.0.1", "10.9.0.1")))
    world.right.leases.lend((pool("10.9.0.1", "10.9.0.1"),), Holder(b"another", (ANY4, 0)))
    world.left.endpoint.add_connection(warrior((ANY4,)))
    world.initiate("left")
    world.run(30)
    (theirs,) = world.right.failures
    assert isinstance(theirs.error, InternalAddressFailure)
    (ours,) = world.left.failures
    assert isinstance(ours.error, PeerRejected)
    assert ours.error.notify == NotifyType.INTERNAL_ADDRESS_FAILURE
    (closed,) = world.right.happened(IkeSaClosed)
    assert isinstance(closed, IkeSaClosed)
    assert closed.reason == "the peer deleted the IKE SA"
    assert not world.left.sas
    assert not world.left.installed
    assert not world.right.spis


def test_who_does_not_ask_gets_no_child_sa() -> None:
    """Section 2.19: FAILED_CP_REQUIRED, which "is not fatal to the IKE SA"."""
    left = connection("left", children=(child("lan", "10.1.0.0/16", "10.2.0.0/16"),))
    world = world_of(left, gateway())
    (theirs,) = world.right.failures
    assert isinstance(theirs.error, FailedCpRequired)
    (ours,) = world.left.failures
    assert isinstance(ours.error, PeerRejected)
    assert ours.error.notify == NotifyType.FAILED_CP_REQUIRED
    assert len(world.left.sas) == len(world.right.sas) == 1
    assert not world.left.installed


def test_an_answer_without_addresses_is_an_error_for_who_needs_one() -> None:
    """Section 3.15.4: "it will treat a response without CFG_REPLY as an error"; the Child SA that was made goes too."""
    right = connection("right", children=(child("lan", "10.2.0.0/16", "0.0.0.0/0"),))
    world = world_of(warrior((ANY4,)), right)
    world.run(30)
    (ours,) = world.left.failures
    assert isinstance(ours.error, InternalAddressFailure)
    assert not world.left.sas
    assert not world.right.installed
    assert not world.left.spis


def test_an_answer_for_other_addresses_is_cut_to_ours() -> None:
    """A gateway that does not narrow TSi: what we send and take is of our address all the same."""
    right = connection("right", children=(child("lan", "10.2.0.0/16", "0.0.0.0/0"),))
    world = world_of(warrior((ANY4,)), replace(right, pools=(POOL4,)))
    (installed,) = world.left.installed.values()
    assert [format_selector(each) for each in installed.local] == list(world.left.sas[0].assigned)


def test_further_children_are_for_the_same_address() -> None:
    """Section 2.19: one address, given in IKE_AUTH; CREATE_CHILD_SA uses it."""
    (lan,) = _children(local_is_assigned=True)
    left = replace(warrior((ANY4,)), children=(lan, replace(lan, name="dns", remote=(parse_selector("10.2.0.53"),))))
    world = world_of(left, gateway())
    assert_tunnel(world, children=2)
    for installed in world.left.installed.values():
        assert [format_selector(each) for each in installed.local] == list(world.left.sas[0].assigned)


def test_a_lease_that_comes_too_late_is_given_back() -> None:
    """The IKE SA went away while the address was looked for."""
    world = World()
    world.right.endpoint.add_connection(gateway(POOL4))
    held: list[LeaseAddress] = []
    perform = world.right.perform
    world.left.endpoint.add_connection(warrior((ANY4,)))
    world.initiate("left")

    def late(effect: Any) -> object:
        if isinstance(effect, LeaseAddress):
            held.append(effect)
            world.right.endpoint.remove_connection("office", world.now)
        return perform(effect)

    world.right.perform = late  # type: ignore[method-assign]
    world.run(60)
    assert held
    assert not +world.right.lent


def test_a_system_that_takes_no_address_ends_it() -> None:
    world = World()
    world.left.refuse = lambda effect: (
        InternalAddressFailure("no") if type(effect).__name__ == "ApplyAssignment" else None
    )
    world.connect(warrior((ANY4,)), gateway(POOL4))
    world.run(60)
    assert world.left.failures
    assert not world.left.sas
    assert not +world.right.lent
    assert not world.left.assignments


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.2, 0.5]),
    duplication=st.sampled_from([0.0, 0.3, 1.0]),
    delay=st.sampled_from([0.02, 0.8, 3.0]),
    rekeyers=st.lists(st.sampled_from(["left", "right"]), max_size=2, unique=True),
)
def test_no_weather_leaks_an_address(
    seed: int, loss: float, duplication: float, delay: float, rekeyers: list[str]
) -> None:
    """Both sides know the same address, or nobody has one; at the end nobody has one."""
    world = World(seed=seed, weather=Weather(loss, duplication, delay))
    world.connect(warrior(), gateway())
    world.run(200)
    for side in rekeyers:
        world.host(side).endpoint.rekey("office", world.now)
    world.settle()
    world.run(400)
    if len(world.left.sas) == len(world.right.sas) == 1:
        assert world.left.sas[0].assigned == world.right.sas[0].lent
        assert world.left.sas[0].assigned
        assert all(count == 1 for count in (+world.right.lent).values())
    for side in ("left", "right"):
        world.host(side).endpoint.shut_down(world.now)
    world.settle()
    world.run(400)
    assert not +world.right.lent
    assert not world.left.assignments


# -- what peers ask in their own ways


def asks(*attributes: ConfigurationAttribute) -> Configuration:
    return Configuration(ConfigType.CFG_REQUEST, attributes)


def bare(*numbers: int) -> Configuration:
    """A request of empty attributes."""
    return asks(*(ConfigurationAttribute(Type(number)) for number in numbers))


#: Windows 10 and 11: addresses, DNS and WINS, with two numbers of the private range, INTERNAL_IP4_SERVER and
#: INTERNAL_IP6_SERVER ([MS-IKEE] section 2.2.2 names 0x5BA0 and 0x5BA1).
WINDOWS = bare(1, 3, 4, 23456, 8, 10, 23457)
#: macOS and iOS: netmask, DHCP, and the domains of split DNS (RFC 8598).
APPLE = bare(1, 4, 3, 2, 6, 8, 10, 12, 25)
#: strongSwan: an address of zeros for any.
STRONGSWAN = asks(
    ConfigurationAttribute(Type(1), bytes(4)),
    ConfigurationAttribute(Type(8), bytes(16)),
    ConfigurationAttribute(Type(3)),
    ConfigurationAttribute(Type(10)),
)


def replied(monkeypatch: pytest.MonkeyPatch, asked: Configuration, right: Connection) -> Configuration:
    """What the gateway answers to a request of another's making."""
    found: list[Configuration] = []
    take = configuration.take

    def spy(sa: Any, ours: Connection, reply: Message) -> Step[None]:
        found.extend(reply.all(Configuration))
        return take(sa, ours, reply)

    monkeypatch.setattr(configuration, "ask", lambda *_: (asked,))
    monkeypatch.setattr(configuration, "take", spy)
    world = world_of(warrior(), right)
    assert_tunnel(world)
    (payload,) = found
    return payload


@pytest.mark.parametrize(
    ("asked", "types"),
    [
        (WINDOWS, [1, 8, 3, 10, 4, 13]),
        (APPLE, [1, 2, 8, 3, 10, 4, 13]),
        (STRONGSWAN, [1, 8, 3, 10, 13]),
        (bare(1), [1, 13]),
        (bare(8), [8]),
    ],
    ids=["windows", "apple", "strongswan", "one-address", "one-address-6"],
)
def test_the_ways_of_others(monkeypatch: pytest.MonkeyPatch, asked: Configuration, types: list[int]) -> None:
    """Section 3.15.1: "Unrecognized or unsupported attributes MUST be ignored"; they ask for all and offer 0.0.0.0/0."""
    names = IPv4Address("10.2.0.7")
    reply = replied(monkeypatch, asked, gateway(replace(POOL4, nbns=(names,)), POOL6))
    assert reply.type == ConfigType.CFG_REPLY
    assert [int(each.type) for each in reply.attributes] == types
    lengths = {1: 4, 2: 4, 3: 4, 4: 4, 8: 17, 10: 16, 13: 8}
    assert [len(each.value) for each in reply.attributes] == [lengths[each] for each in types]


def test_an_address_that_is_asked_for_is_given() -> None:
    """Section 3.15.1: "it is taken as a suggestion"."""
    world = world_of(warrior((ip_address("10.9.0.77"), ip_address("fd00:9::77"))), gateway())
    assert addresses(world) == ["10.9.0.77", "fd00:9::77"]


def test_the_interface_identifier_is_kept_with_another_prefix() -> None:
    """Section 3.15.3: "the gateway attempts to use the interface identifier with some other prefix"."""
    world = world_of(warrior((ip_address("2001:db8::77"),)), gateway())
    assert addresses(world) == ["fd00:9::77"]


@pytest.mark.parametrize(
    "attribute",
    [
        ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS, bytes(3)),
        ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS, bytes(5)),
        ConfigurationAttribute(Type.INTERNAL_IP6_ADDRESS, bytes(15)),
        ConfigurationAttribute(Type(0x7000), b"x" * 300),
    ],
)
def test_odd_attributes_are_passed_over(monkeypatch: pytest.MonkeyPatch, attribute: ConfigurationAttribute) -> None:
    reply = replied(monkeypatch, asks(attribute, ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS)), gateway())
    assert reply.attributes[0].type == Type.INTERNAL_IP4_ADDRESS


# -- INFORMATIONAL


def informed(right: Connection, content: Payload) -> list[Configuration]:
    """What the gateway answers to an INFORMATIONAL of the road warrior."""
    world = world_of(warrior((ANY4,)), right)
    (sa,) = world.left.endpoint._sas.values()
    found: list[Configuration] = []

    def body() -> Step[None]:
        reply = yield from request(InformationalRequest((content,)))
        found.extend(reply.all(Configuration))

    sa.requests.enqueue(Exchange(InformationalRequest().exchange, body, sa.exchange_failed))
    world.settle()
    world.run(5)
    assert_tunnel(world)
    return found


@pytest.mark.parametrize(("tells", "text"), [(False, b""), (True, b"Caponier ")])
def test_the_version_is_told_only_where_policy_says_so(*, tells: bool, text: bytes) -> None:
    """Section 2.20: else "it MUST either return an empty string or no CP payload"."""
    (reply,) = informed(replace(gateway(), tells_version=tells), bare(7))
    (attribute,) = [each for each in reply.attributes if each.type == Type.APPLICATION_VERSION]
    assert attribute.value.startswith(text)
    assert bool(attribute.value) is tells


def test_supported_attributes_are_listed() -> None:
    """Section 3.15.1: "a set of attribute identifiers each in 2 octets"."""
    (reply,) = informed(gateway(), bare(14))
    (attribute,) = [each for each in reply.attributes if each.type == Type.SUPPORTED_ATTRIBUTES]
    listed = [int.from_bytes(attribute.value[at : at + 2]) for at in range(0, len(attribute.value), 2)]
    assert listed == [1, 2, 3, 4, 7, 8, 10, 13, 14, 15]


def test_asking_again_gives_the_same() -> None:
    """An address belongs to the IKE SA: who asks twice has one."""
    (reply,) = informed(gateway(), bare(1))
    assert reply.attributes[0].type == Type.INTERNAL_IP4_ADDRESS


def test_cfg_set_changes_nothing() -> None:
    """Section 3.15.1: "An implementation of this specification MAY ignore CFG_SET payloads"."""
    pushed = Configuration(ConfigType.CFG_SET, (ConfigurationAttribute(Type.INTERNAL_IP4_DNS, bytes(4)),))
    assert informed(gateway(), pushed) == []


# -- replies of others


def test_what_makes_no_sense_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that gives us 127.0.0.1, or a DNS server on our own machine, is not believed."""
    attributes = (
        ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS, ip_address("127.0.0.1").packed),
        ConfigurationAttribute(Type.INTERNAL_IP4_ADDRESS, ip_address("10.9.0.5").packed),
        ConfigurationAttribute(Type.INTERNAL_IP4_NETMASK, b"\xff\x00\xff\x00"),
        ConfigurationAttribute(Type.INTERNAL_IP4_DNS, ip_address("127.0.0.53").packed),
        ConfigurationAttribute(Type.INTERNAL_IP4_DNS, ip_address("10.2.0.53").packed),
        ConfigurationAttribute(Type.INTERNAL_IP4_SUBNET, ip_address("10.2.0.0").packed + b"\xff\x00\xff\x00"),
        ConfigurationAttribute(Type.INTERNAL_IP6_SUBNET, bytes(16) + b"\xff"),
        ConfigurationAttribute(Type.INTERNAL_IP4_SUBNET, ip_address("10.3.0.0").packed + b"\xff\xff\x00\x00"),
        ConfigurationAttribute(Type.INTERNAL_IP6_ADDRESS, bytes(16) + b"\x40"),
    )
    reply = (Configuration(ConfigType.CFG_REPLY, attributes),)

    def answer(*_: object) -> Step[tuple[Configuration, ...]]:
        yield from ()
        return reply

    monkeypatch.setattr(configuration, "answer", answer)
    right = connection("right", children=(child("lan", "10.2.0.0/16", "0.0.0.0/0"),))
    world = world_of(warrior(), right)
    expected = Assignment((ip_interface("10.9.0.5/32"),), (ip_address("10.2.0.53"),), (IPv4Network("10.3.0.0/16"),))
    assert world.left.assignments == [expected]
