"""Ends that move: RFC 4555 (MOBIKE), in both roles, in good and in bad weather."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import PeerRejected, UnexpectedNat, WireError
from caponier.protocols.ike.events import IkeSaClosed, IkeSaMoved
from caponier.protocols.ike.messages.message import Message, decode_content, decode_header
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Encapsulation, IpAddress, Limits, Mode, Settings
from caponier.protocols.ike.v2.exchanges import mobike
from caponier.protocols.ike.v2.nat import Nat
from tests.exchange.world import LEFT, RIGHT, Weather, World, assert_tunnel, child, connection

ROAD, TRAIN = ip_address("198.51.100.7"), ip_address("203.0.113.7")
RIGHT_TOO = ip_address("198.51.100.2")
SIX, RIGHT_SIX = ip_address("2001:db8::1"), ip_address("2001:db8::2")
NAT = ip_address("203.0.113.99")


@dataclass
class Roads:
    """Which addresses each side has; the rest of the network swallows."""

    world: World
    left: set[IpAddress] = field(default_factory=lambda: {LEFT})
    right: set[IpAddress] = field(default_factory=lambda: {RIGHT})
    cut: set[tuple[IpAddress, IpAddress]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.world.middle = self.carry
        self.tell()

    def carry(self, side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        ours, theirs = (self.left, self.right) if side == "left" else (self.right, self.left)
        ends = (path.local, path.remote) if side == "left" else (path.remote, path.local)
        there = path.local in ours and path.remote in theirs and ends not in self.cut
        return (octets, path) if there else None

    def tell(self) -> None:
        """Both hosts notice what they have."""
        self.change("left", self.left, notice=False)
        self.change("right", self.right, notice=False)

    def change(self, side: str, addresses: Iterable[IpAddress], *, notice: bool = True) -> None:
        ours = list(addresses)
        host, others = (
            self.world.host(side),
            sorted({RIGHT, RIGHT_TOO, RIGHT_SIX} if side == "left" else {LEFT, ROAD, TRAIN, SIX}, key=str),
        )
        if side == "left":
            self.left = set(ours)
        else:
            self.right = set(ours)
        host.ways = [(mine, their) for mine in ours for their in others if mine.version == their.version]
        if notice:
            host.endpoint.addresses_changed(frozenset(ours), self.world.now)
            self.world.settle()


def site(side: str, *addresses: IpAddress, **more: Any) -> Connection:
    made = connection(side, mobike=True, anywhere=side == "right", **more)
    return replace(made, local=replace(made.local, addresses=addresses))


def moving(
    left: tuple[IpAddress, ...] = (), right: tuple[IpAddress, ...] = (), seed: int = 1, **both: Any
) -> tuple[World, Roads]:
    """A tunnel whose ends may move; the addresses are those that each side's configuration names."""
    world = World(seed=seed, settings=both.pop("settings", Settings()))
    roads = Roads(world)
    world.connect(site("left", *left, **both), site("right", *right, **both))
    world.run(1)
    assert_tunnel(world)
    return world, roads


def ends(world: World, side: str) -> tuple[IpAddress, ...]:
    """Where a side says that it is, and the peer: for IKE, and for all Child SAs."""
    host = world.host(side)
    (sa,) = host.sas
    (pair,) = {
        (sa.path.local, sa.path.remote),
        *((each.path.local, each.path.remote) for each in host.installed.values()),
    }
    return pair


def agree(world: World, left: IpAddress, right: IpAddress = RIGHT) -> None:
    assert_tunnel(world, children=len(world.left.installed))
    assert ends(world, "left") == (left, right)
    assert ends(world, "right") == (right, left)


def notifies(world: World, side: str, since: int = 0) -> list[NotifyType]:
    """What a side said in INFORMATIONAL messages, in order."""
    found: list[NotifyType] = []
    for sender, octets, _ in world.sent[since:]:
        if sender == side and decode_header(octets).exchange == ExchangeType.INFORMATIONAL:
            found += [each.type for each in opened(world, side, octets).all(Notify)]
    return found


def opened(world: World, side: str, octets: bytes) -> Message:
    """A message as its receiver reads it."""
    other = world.host("right" if side == "left" else "left")
    header = decode_header(octets)
    for sa in other.endpoint._sas.values():
        if (sa.spi_i, sa.spi_r) == (header.spi_i, header.spi_r):
            return decode_content(sa.protector.open(octets))
    raise AssertionError("nobody can read it")


def test_both_say_it_and_go_to_port_4500() -> None:
    """Sections 3.2 and 3.3: MOBIKE_SUPPORTED within IKE_AUTH, and port 4500 though there is no NAT; ESP stays bare where it may."""
    world, _ = moving(encapsulation=Encapsulation.NAT)
    for host in (world.left, world.right):
        (sa,) = host.sas
        assert sa.is_movable
        assert (sa.path.local_port, sa.path.remote_port) == (4500, 4500)
        assert not next(iter(host.installed.values())).path.encapsulated


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_that_does_not_want_it(side: str) -> None:
    world = World()
    left, right = site("left"), site("right")
    pair = {"left": left, "right": right}
    pair[side] = replace(pair[side], mobike=False)
    world.connect(pair["left"], pair["right"])
    world.run(1)
    assert_tunnel(world)
    assert not world.left.sas[0].is_movable
    assert not world.right.sas[0].is_movable


def test_transport_mode_does_not_move() -> None:
    """Section 1.2: "supports only tunnel mode IPsec SAs"."""
    hosts = replace(child("host", str(LEFT), str(RIGHT)), mode=Mode.TRANSPORT)
    assert not replace(site("left"), children=(hosts,)).moves


# -- the initiator moves


@pytest.mark.parametrize("seed", range(6))
def test_the_initiator_has_another_address(seed: int) -> None:
    """Section 3.5: UPDATE_SA_ADDRESSES from the new one; section 3.7: packets go there once the peer has shown that it is there."""
    world, roads = moving(seed=seed)
    since = len(world.sent)
    roads.change("left", [ROAD])
    assert ends(world, "left") == (ROAD, RIGHT)
    assert ends_of_children(world, "right") == LEFT
    world.run(1)
    agree(world, ROAD)
    said = notifies(world, "left", since)
    assert said[0] == NotifyType.UPDATE_SA_ADDRESSES
    assert NotifyType.COOKIE2 in notifies(world, "right", since)
    assert len(world.left.happened(IkeSaMoved)) == len(world.right.happened(IkeSaMoved)) == 1


def ends_of_children(world: World, side: str) -> IpAddress:
    (remote,) = {each.path.remote for each in world.host(side).installed.values()}
    return remote


@pytest.mark.parametrize("seed", range(20))
def test_one_address_after_the_other_in_bad_weather(seed: int) -> None:
    """Section 3.5: "If a new address change occurs while waiting for the response, starts again"."""
    world, roads = moving(seed=seed, liveness=10.0)
    world.weather = Weather(loss=0.3, duplication=0.3, delay=0.4)
    for number, address in enumerate((ROAD, TRAIN, LEFT, ROAD, TRAIN)):
        roads.change("left", [address])
        if number == seed % 5:
            world.left.endpoint.rekey("office", world.now)
        world.run(0.3 * (1 + seed % 3))
    world.run(20)
    world.weather = Weather()
    world.run(60)
    agree(world, TRAIN)


def test_a_request_that_is_out_goes_from_the_new_address() -> None:
    """Section 3.5: "continues retransmitting them using the addresses in the IKE_SA (the new addresses)"; the update follows."""
    world, roads = moving()
    roads.change("left", [], notice=False)
    world.left.endpoint.rekey("office", world.now)
    world.settle()
    world.run(0.5)
    old = world.left.sas[0].id
    roads.change("left", [ROAD])
    world.run(2)
    agree(world, ROAD)
    assert world.left.sas[0].id != old


def test_the_peers_request_follows_too() -> None:
    """The responder's own request, lost on the old path, goes to the new one."""
    world, roads = moving()
    roads.change("left", [ROAD], notice=False)
    world.right.endpoint.rekey("office", world.now)
    world.settle()
    world.run(0.5)
    roads.change("left", [ROAD])
    world.run(10)
    agree(world, ROAD)


@pytest.mark.parametrize("minutes", [1, 4])
def test_no_address_at_all_for_a_while(minutes: int) -> None:
    """In a tunnel of the railway: nobody is given up while there is no way to ask."""
    world, roads = moving(liveness=10.0)
    roads.change("left", [])
    world.run(60 * minutes)
    assert not world.left.happened(IkeSaClosed)
    roads.change("left", [TRAIN])
    world.run(60)
    agree(world, TRAIN)


def test_another_family() -> None:
    """Section 3.5: from IPv4 to IPv6, where the responder has told that it has such an address."""
    world, roads = moving(right=(RIGHT, RIGHT_SIX))
    roads.change("right", [RIGHT, RIGHT_SIX])
    world.run(1)
    assert world.left.sas[0].peer_addresses == (RIGHT_SIX,)
    roads.change("left", [SIX])
    world.run(2)
    agree(world, SIX, RIGHT_SIX)


# -- paths


def test_a_silent_path_is_left_for_another_one() -> None:
    """Sections 3.10 and 3.11: a request that is not answered goes along every path; the update then proves the one that works."""
    world, roads = moving(right=(RIGHT, RIGHT_TOO), liveness=10.0)
    roads.change("right", [RIGHT, RIGHT_TOO])
    world.run(1)
    roads.cut.add((LEFT, RIGHT))
    since = len(world.sent)
    world.run(40)
    agree(world, LEFT, RIGHT_TOO)
    assert NotifyType.UPDATE_SA_ADDRESSES in notifies(world, "left", since)


def test_a_better_path_is_tried_before_it_is_taken() -> None:
    """Section 3.10: nothing moves until it has been answered."""
    world, roads = moving()
    roads.left = {LEFT, ROAD}
    roads.cut.add((ROAD, RIGHT))
    roads.change("left", [ROAD, LEFT])
    world.run(30)
    agree(world, LEFT)
    assert not world.left.happened(IkeSaMoved)
    roads.cut.clear()
    roads.change("left", [ROAD, LEFT])
    world.run(2)
    agree(world, ROAD)


# -- the responder moves


@pytest.mark.parametrize("seed", range(4))
def test_the_responder_loses_its_address(seed: int) -> None:
    """Sections 3.5 and 3.6: it moves by itself and tells its addresses; the initiator then says where the tunnel goes."""
    world, roads = moving(seed=seed, right=(RIGHT, RIGHT_TOO))
    roads.change("right", [RIGHT_TOO])
    world.run(10)
    agree(world, LEFT, RIGHT_TOO)


def told(world: World) -> tuple[IpAddress, ...]:
    return world.left.sas[0].peer_addresses


def test_the_responder_tells_its_addresses() -> None:
    """Sections 3.4 and 3.6: within IKE_AUTH, and whenever they change; always all of them."""
    world, roads = moving(right=(RIGHT, RIGHT_TOO, RIGHT_SIX))
    assert told(world) == (RIGHT_TOO, RIGHT_SIX)
    roads.change("right", [RIGHT, RIGHT_SIX])
    world.run(1)
    assert told(world) == (RIGHT_SIX,)
    since = len(world.sent)
    roads.change("right", [RIGHT])
    world.run(1)
    assert told(world) == ()
    assert NotifyType.NO_ADDITIONAL_ADDRESSES in notifies(world, "right", since)
    agree(world, LEFT)


def test_nobody_hears_of_addresses_that_the_configuration_does_not_name() -> None:
    """Section 5.5: where else a host is, is its own business."""
    world, roads = moving()
    roads.change("left", [LEFT, ROAD, TRAIN])
    roads.change("right", [RIGHT, RIGHT_TOO])
    world.run(5)
    assert world.left.sas[0].peer_addresses == world.right.sas[0].peer_addresses == ()


def test_a_peer_with_very_many_addresses() -> None:
    many = tuple(ip_address("10.9.0.0") + number for number in range(1, 60))
    world, _ = moving(right=(RIGHT, *many), settings=Settings(limits=Limits(addresses_per_peer=5)))
    assert world.left.sas[0].peer_addresses == many[:5]


# -- whom to believe


def test_who_does_not_receive_where_it_says_gets_nothing_there() -> None:
    """Sections 3.7 and 5.3: somebody on the way writes another source into the update; no packet is sent to that address."""
    world, roads = moving()
    victim = ip_address("198.51.100.66")

    def rewritten(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        if side == "left" and decode_header(octets).exchange == ExchangeType.INFORMATIONAL:
            return octets, replace(path, local=victim)
        return roads.carry(side, octets, path)

    roads.change("left", [ROAD], notice=False)
    world.middle = rewritten
    roads.change("left", [ROAD])
    world.run(20)
    assert ends_of_children(world, "right") == LEFT
    assert all(path.remote != victim for path in world.right.moves)


def test_an_attacker_who_goes_away_has_done_no_lasting_harm() -> None:
    """Section 5.1: "mechanisms designed to detect NAT mapping changes will eventually recognize" it."""
    world, roads = moving(liveness=10.0)
    attacker = ip_address("198.51.100.66")

    def translate(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
        return octets, replace(path, local=attacker) if side == "left" else replace(path, remote=ROAD)

    world.middle = translate
    roads.change("left", [ROAD])
    world.run(3)
    assert ends(world, "right") == (RIGHT, attacker)
    assert world.left.sas[0].nat_here
    world.middle = roads.carry
    world.run(60)
    agree(world, ROAD)
    assert not world.left.sas[0].nat_here


def test_a_message_from_elsewhere_moves_nobody() -> None:
    """Section 3.8: an exchange without UPDATE_SA_ADDRESSES changes nothing, and is answered where it came from."""
    world, roads = moving(liveness=5.0)
    roads.left.add(ROAD)
    world.middle = lambda side, octets, path: (octets, replace(path, local=ROAD) if side == "left" else path)
    world.run(4)
    assert ends(world, "right") == (RIGHT, LEFT)


def test_a_wrong_cookie_ends_the_ike_sa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.7: "If the values do not match, the IKE_SA MUST be closed"."""
    world, roads = moving()
    monkeypatch.setattr(mobike, "_copied", lambda message: (Notify(NotifyType.COOKIE2, data=bytes(16)),))
    roads.change("left", [ROAD])
    world.run(30)
    errors = [
        each.error
        for host in (world.left, world.right)
        for each in host.happened(IkeSaClosed)
        if isinstance(each, IkeSaClosed)
    ]
    assert len(errors) == 2
    assert any(isinstance(error, WireError) and error.field == "COOKIE2" for error in errors)


def test_an_address_that_is_not_acceptable() -> None:
    """Section 3.5: UNACCEPTABLE_ADDRESSES; the update is not carried out, and the person hears why."""
    world, roads = moving(right=(RIGHT,))
    roads.right.add(RIGHT_TOO)
    world.middle = lambda side, octets, path: (octets, replace(path, remote=RIGHT_TOO) if side == "left" else path)
    roads.change("left", [ROAD])
    world.run(10)
    assert any(isinstance(each.error, PeerRejected) and each.error.notify == 40 for each in world.left.failures)
    assert ends(world, "right") == (RIGHT, LEFT)


# -- NATs


def behind(address: IpAddress, port: int) -> Any:
    """A NAT before the left side, which gives it this address and port."""
    inside: dict[str, Path] = {}

    def translate(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        if side == "left":
            inside["left"] = path
            return octets, replace(path, local=address, local_port=port)
        if (path.remote, path.remote_port) != (address, port):
            return None
        return octets, replace(path, remote=inside["left"].local, remote_port=inside["left"].local_port)

    return translate


def test_into_a_nat_and_out_of_it() -> None:
    """Section 3.5: "enables or disables NAT Traversal": ESP travels in UDP only behind the NAT."""
    world, roads = moving(encapsulation=Encapsulation.NAT)
    world.middle = behind(NAT, 1024)
    roads.change("left", [ROAD])
    world.run(2)
    for host in (world.left, world.right):
        assert all(each.path.encapsulated for each in host.installed.values())
    assert ends(world, "right") == (RIGHT, NAT)
    world.keepalives = 0
    world.run(65)
    assert world.keepalives == 3
    world.middle = roads.carry
    roads.change("left", [LEFT])
    world.run(2)
    agree(world, LEFT)
    for host in (world.left, world.right):
        assert not any(each.path.encapsulated for each in host.installed.values())


def test_a_nat_that_forgets() -> None:
    """Section 3.8: the digest in the answer to a sign of life tells that the mapping has changed; the update repairs it."""
    world, roads = moving(liveness=10.0)
    world.middle = behind(NAT, 1024)
    roads.change("left", [ROAD])
    world.run(2)
    world.middle = behind(NAT, 2048)
    world.run(40)
    (installed,) = world.right.installed.values()
    assert (installed.path.remote, installed.path.remote_port) == (NAT, 2048)


def without_traversal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side sends NAT_DETECTION_*."""
    monkeypatch.setattr(Nat, "detect", classmethod(lambda cls, message, path, *, is_forced: cls()))


def test_no_nats_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.9: without NAT traversal the addresses are protected, and who changes them is found out."""
    without_traversal(monkeypatch)
    world, roads = moving()
    roads.change("left", [ROAD])
    world.run(2)
    agree(world, ROAD)
    since = len(world.sent)
    world.middle = behind(NAT, 4500)
    roads.change("left", [TRAIN])
    world.run(5)
    assert notifies(world, "left", since).count(NotifyType.UPDATE_SA_ADDRESSES) == mobike.MOST_ATTEMPTS
    assert any(isinstance(each.error, PeerRejected) and each.error.notify == 41 for each in world.left.failures)
    assert ends(world, "right") == (RIGHT, ROAD)


def test_no_nats_allowed_within_ike_auth(monkeypatch: pytest.MonkeyPatch) -> None:
    without_traversal(monkeypatch)
    world = World(middle=behind(NAT, 500))
    world.connect(site("left"), site("right"))
    world.run(30)
    assert isinstance(world.right.failures[0].error, UnexpectedNat)
    assert isinstance(world.left.failures[0].error, PeerRejected)
    assert not world.left.sas
    assert not world.right.sas


# -- numbers


@pytest.mark.parametrize(
    "broken",
    [
        Notify(NotifyType.COOKIE2, data=bytes(7)),
        Notify(NotifyType.COOKIE2, data=bytes(65)),
        Notify(NotifyType.ADDITIONAL_IP4_ADDRESS, data=bytes(5)),
        Notify(NotifyType.ADDITIONAL_IP6_ADDRESS, data=bytes(4)),
    ],
)
def test_what_has_the_wrong_size(monkeypatch: pytest.MonkeyPatch, broken: Notify) -> None:
    """Sections 4.2.2 and 4.2.5: an authentic message that is wrong ends the IKE SA (RFC 7296 section 2.21.3)."""
    world, roads = moving()
    monkeypatch.setattr(
        mobike.MovingRequest, "payloads", lambda self: (broken, Notify(NotifyType.NO_ADDITIONAL_ADDRESSES))
    )
    roads.change("left", [ROAD])
    world.run(200)
    assert not world.left.sas
    assert not world.right.sas


def test_addresses_that_are_nobodys_are_left_out() -> None:
    nobodys = tuple(map(ip_address, ("224.0.0.1", "0.0.0.0", "127.0.0.1", "::1", "ff02::1")))
    world, _ = moving(right=(RIGHT, *nobodys, RIGHT_TOO))
    assert world.left.sas[0].peer_addresses == (RIGHT_TOO,)
