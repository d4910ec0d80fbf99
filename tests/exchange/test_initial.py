"""The initial exchanges, both ends in simulated time (RFC 7296 sections 1.2, 2.1, 2.6, 2.23)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import PeerRejected, Silent
from caponier.protocols.ike.events import IkeSaClosed, IkeSaEstablished, Role
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import decode_message, encode_message
from caponier.protocols.ike.messages.payloads import KeyExchange, Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Encapsulation, Limits, Settings
from tests.exchange.world import LEFT, RIGHT, Weather, World, assert_tunnel, child, connection, source_nat, up


def test_four_messages_make_a_tunnel() -> None:
    """Section 1.2: two exchanges make the IKE SA and its first Child SA."""
    world = up()
    assert len(world.sent) == 4
    assert [sa.role for sa in (*world.left.sas, *world.right.sas)] == [Role.INITIATOR, Role.RESPONDER]
    (sa,) = world.right.sas
    assert (sa.remote_id, sa.local_id) == ("left.example.com", "right.example.com")
    assert not sa.nat_here
    assert not sa.nat_there


@pytest.mark.parametrize(
    "ike",
    [
        "aes128gcm16-prfsha256-ecp256",
        "aes256gcm16-prfsha384-ecp384",
        "aes256-sha512-ecp521",
        "chacha20poly1305-prfsha512-x25519",
        "aes192-sha384-modp2048",
        "aes128-sha256-modp3072",
        "aes256gcm16-prfsha256-modp4096",
    ],
)
def test_every_kind_of_suite(ike: str) -> None:
    world = up(ike=(ike,))
    assert world.left.sas[0].suite.startswith(ike.split("-", maxsplit=1)[0])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.2, 0.5]),
    duplication=st.sampled_from([0.0, 0.3, 1.0]),
    delay=st.sampled_from([0.02, 0.8, 3.0]),
)
def test_any_weather_ends_in_a_tunnel_or_in_silence(seed: int, loss: float, duplication: float, delay: float) -> None:
    """Section 2.1: retransmission makes an unreliable network do; never anything but a tunnel or a clear end."""
    world = World(seed=seed, weather=Weather(loss, duplication, delay))
    world.connect(connection("left"), connection("right"))
    world.run(200)
    if world.left.sas and world.right.sas:
        assert_tunnel(world)
    else:
        assert any(isinstance(failure.error, Silent) for failure in (*world.left.failures, *world.right.failures))
        assert loss > 0 or delay > 1
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(400)
    assert not world.left.sas
    assert not world.left.installed
    assert not world.left.spis


def test_a_lossless_network_of_any_order_always_ends_in_a_tunnel() -> None:
    for seed in range(30):
        world = World(seed=seed, weather=Weather(duplication=1.0, delay=0.9))
        world.connect(connection("left"), connection("right"))
        world.run(60)
        assert_tunnel(world)


def test_retransmissions_are_the_same_octets() -> None:
    """Section 2.1: "A retransmission ... MUST be bitwise identical to the original"."""
    patient = Settings(limits=Limits(half_open_seconds=300))  # or the responder forgets, and answers anew
    world = World(settings=patient, middle=lambda side, octets, path: None if side == "right" else (octets, path))
    world.connect(connection("left"), connection("right"))
    world.run(100)
    ours = [octets for side, octets, _ in world.sent if side == "left"]
    theirs = [octets for side, octets, _ in world.sent if side == "right"]
    assert len(ours) == world.settings.retransmission.attempts
    assert len(set(ours)) == len(set(theirs)) == 1
    assert isinstance(world.left.failures[0].error, Silent)
    assert not world.left.spis


def test_nobody_there() -> None:
    """Section 2.4: a peer that never answers is given up, and told as such."""
    world = World()
    world.connect(connection("left"), None)
    world.middle = lambda side, octets, path: None
    world.run(200)
    (failure,) = world.left.failures
    assert isinstance(failure.error, Silent)
    assert failure.error.hint is not None
    assert not world.left.sas


def test_a_stranger_that_never_authenticates_is_forgotten() -> None:
    """Our limit: half_open_seconds."""
    world = World(
        middle=lambda side, octets, path: None if _exchange(octets) == ExchangeType.IKE_AUTH else (octets, path)
    )
    world.connect(connection("left"), connection("right"))
    world.run(5)
    assert world.right.endpoint.half_open == 1
    world.run(120)
    assert world.right.endpoint.half_open == 0
    assert not world.right.sas


def _exchange(octets: bytes) -> int:
    return octets[18]


def test_the_cookie_is_demanded_when_many_are_half_open() -> None:
    """Section 2.6: above the threshold nothing is kept for who has not shown to be where it says."""
    world = World(settings=Settings(limits=Limits(cookie_threshold=0)))
    world.connect(connection("left"), connection("right"))
    world.run(1)
    assert_tunnel(world)
    assert len(world.sent) == 6
    answer = decode_message(world.sent[1][1])
    assert answer.notify(NotifyType.COOKIE) is not None
    again = decode_message(world.sent[2][1])
    assert again.payloads[0] == answer.notify(NotifyType.COOKIE)


def test_a_flood_of_strangers_is_bounded() -> None:
    """Our limits: in all, for one address, and no more than cookies beyond the threshold."""
    world = World(settings=Settings(limits=Limits(half_open=10, half_open_per_address=5, cookie_threshold=8)))
    world.connect(connection("left"), connection("right", anywhere=True))
    request = decode_message(world.sent[0][1])
    for number in range(300):
        header = replace(request.header, spi_i=(number + 1).to_bytes(8))
        octets = encode_message(header, request.payloads)
        path = Path(RIGHT, 500, ip_address(f"198.51.100.{number % 50 + 1}"), 500)
        world.deliver("right", octets, path)
    assert world.right.endpoint.half_open <= 10
    answers = [decode_message(octets) for side, octets, _ in world.sent if side == "right"]
    cookies = [answer for answer in answers if answer.notify(NotifyType.COOKIE) is not None]
    assert len(cookies) == 300 - world.right.endpoint.half_open


def test_another_group_is_asked_for_and_given() -> None:
    """Section 1.2: INVALID_KE_PAYLOAD names the group; the next request has it."""
    world = World()
    left = connection("left", ike=("aes256gcm16-prfsha256-x25519-ecp256",))
    world.connect(left, connection("right", ike=("aes256gcm16-prfsha256-ecp256",)))
    world.run(1)
    assert_tunnel(world)
    first, _, second = (decode_message(octets) for _, octets, _ in world.sent[:3])
    assert [first.one(KeyExchange).group, second.one(KeyExchange).group] == [31, 19]
    assert world.left.sas[0].suite.endswith("ecp256")


def test_a_group_that_we_did_not_offer_is_not_taken() -> None:
    """A forged INVALID_KE_PAYLOAD must not lead us to a weaker group."""
    world = World()
    world.middle = lambda side, octets, path: None if side == "left" else (octets, path)
    world.connect(connection("left"), connection("right"))
    request = decode_message(world.sent[0][1])
    forged = _answer(request.header, Notify(NotifyType.INVALID_KE_PAYLOAD, data=(2).to_bytes(2)))
    for _ in range(3):
        world.deliver("left", forged, Path(LEFT, 500, RIGHT, 500))
    world.run(100)
    assert isinstance(world.left.failures[0].error, PeerRejected)
    assert all(decode_message(octets).one(KeyExchange).group == 31 for _, octets, _ in world.sent)


def _answer(header: Header, *payloads: Notify) -> bytes:
    return encode_message(replace(header, is_initiator=False, is_response=True), payloads)


def test_one_forged_refusal_does_not_stop_us() -> None:
    """Section 2.21.1: an unprotected error is a hint, not an order."""
    world = World()
    world.connect(connection("left"), connection("right"))
    forged = _answer(decode_message(world.sent[0][1]).header, Notify(NotifyType.NO_PROPOSAL_CHOSEN))
    world.deliver("left", forged, Path(LEFT, 500, RIGHT, 500))
    world.run(10)
    assert_tunnel(world)


def test_a_nat_moves_both_to_port_4500() -> None:
    """Section 2.23: the hashes differ, IKE floats to 4500, ESP goes in UDP to where the messages come from."""
    world = World(middle=source_nat)
    world.connect(connection("left", anywhere=True), connection("right", anywhere=True))
    world.run(1)
    (ours,), (theirs,) = world.left.sas, world.right.sas
    assert ours.nat_here
    assert theirs.nat_there
    assert ours.path.local_port == 4500
    (installed,) = world.right.installed.values()
    assert installed.path.encapsulated
    assert (str(installed.path.remote), installed.path.remote_port) == ("203.0.113.9", 14500)
    world.run(65)
    assert world.keepalives == 3


@pytest.mark.parametrize(("seconds", "keepalives"), [(5.0, 12), (None, 0)])
def test_the_keepalive_interval_is_ours_to_choose(seconds: float | None, keepalives: int) -> None:
    """RFC 3948 section 4: "The default keepalive interval SHOULD be 20 seconds", "a locally configurable parameter"."""
    world = World(middle=source_nat)
    left = replace(connection("left", anywhere=True), nat_keepalive=seconds)
    world.connect(left, connection("right", anywhere=True))
    world.run(1)
    world.keepalives = 0
    world.run(62)
    assert world.keepalives == keepalives


def test_forced_encapsulation() -> None:
    world = up(encapsulation=Encapsulation.FORCED)
    assert all(sa.path.encapsulated for host in (world.left, world.right) for sa in host.installed.values())


def test_a_nat_that_changes_its_mapping_is_followed() -> None:
    """Section 2.23: only fresh authentic messages move the peer."""
    world = World(middle=source_nat)
    right = connection("right", anywhere=True)
    world.connect(connection("left", anywhere=True, liveness=5.0), right)
    world.run(1)

    def moved(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
        if side == "left":
            return octets, replace(path, local=ip_address("203.0.113.77"), local_port=40_000)
        return octets, replace(path, remote=LEFT, remote_port=4500)

    old = next(octets for side, octets, _ in reversed(world.sent) if side == "left")
    world.deliver("right", old, Path(RIGHT, 4500, ip_address("203.0.113.66"), 4500, encapsulated=True))
    assert not world.right.moves
    world.middle = moved
    world.run(10)
    assert [(str(path.remote), path.remote_port) for path in world.right.moves] == [("203.0.113.77", 40_000)]


def test_both_sides_at_once_keep_one_ike_sa() -> None:
    for seed in range(12):
        world = World(seed=seed)
        world.left.endpoint.add_connection(connection("left"))
        world.right.endpoint.add_connection(connection("right"))
        world.initiate("left")
        world.initiate("right")
        world.run(30)
        assert_tunnel(world)


def test_initial_contact_clears_what_is_left_of_a_crashed_peer() -> None:
    """Section 2.4."""
    world = up()
    survivor = world.right
    crashed = World(seed=77)
    crashed.right = survivor
    crashed.now = world.now
    crashed.left.endpoint.add_connection(connection("left"))
    crashed.initiate("left")
    crashed.run(2)
    assert_tunnel(crashed)
    assert len(survivor.happened(IkeSaClosed)) == 1
    assert len(survivor.happened(IkeSaEstablished)) == 2


def test_the_initiator_narrows_nothing_and_the_responder_everything() -> None:
    """Section 2.9: the responder may choose a subset of what is proposed."""
    world = World()
    left = connection("left", children=(child("lan", "10.1.0.0/16", "10.0.0.0/8"),))
    right = connection("right", children=(child("lan", "10.2.0.0/16", "10.1.0.0/24"),))
    world.connect(left, right)
    world.run(1)
    assert_tunnel(world)
    (sa,) = world.left.sas
    assert (sa.children[0].local, sa.children[0].remote) == (("10.1.0.0/24",), ("10.2.0.0/16",))


@pytest.mark.parametrize(
    ("left", "right", "in_udp"),
    [
        (Encapsulation.AUTO, Encapsulation.AUTO, True),
        (Encapsulation.AUTO, Encapsulation.NAT, False),
        (Encapsulation.NAT, Encapsulation.AUTO, False),
        (Encapsulation.NAT, Encapsulation.FORCED, True),
    ],
)
def test_esp_travels_in_udp_where_both_like_it_better(
    left: Encapsulation, right: Encapsulation, *, in_udp: bool
) -> None:
    """Ours: said within IKE_AUTH, by a Vendor ID (RFC 7296 section 3.12); IKE itself stays where it is without a NAT."""
    world = World()
    world.connect(connection("left", encapsulation=left), connection("right", encapsulation=right))
    world.run(1)
    assert_tunnel(world)
    for host in (world.left, world.right):
        (child,) = host.installed.values()
        assert child.path.encapsulated is in_udp
        assert not in_udp or (child.path.local_port, child.path.remote_port) == (4500, 4500)
    assert world.left.sas[0].path.local_port == (4500 if Encapsulation.FORCED in (left, right) else 500)
    assert not world.left.sas[0].nat_here


def test_a_stranger_does_not_learn_who_we_are() -> None:
    """No Vendor ID in clear: what is not protected says nothing of the implementation."""
    world = up()
    for _, octets, _ in world.sent[:2]:
        assert b"Caponier" not in octets
