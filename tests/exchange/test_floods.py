"""Floods of strangers, in simulated time: they must not keep an honest peer out (RFC 7296 sections 2.6 and 2.21.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Nonce
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Limits
from tests.exchange.world import IKE, LEFT, RIGHT, World, assert_tunnel, connection

SECONDS, STEPS, BURST = 4, 50, 20  #: so long, so many times a second, so many datagrams each time

Flood = Callable[[Random], tuple[bytes, Path]]


def first_message(ike: str = IKE) -> Message:
    """An IKE_SA_INIT request that somebody sent once."""
    world = World(seed=77)
    world.connect(connection("left", ike=(ike,)), None)
    return decode_message(world.sent[0][1])


def spoofed(template: Message, address: str | None = None) -> Flood:
    """The same request again and again, each from another initiator at another address, or all from one."""

    def make(random: Random) -> tuple[bytes, Path]:
        header = replace(template.header, spi_i=random.randbytes(8))
        remote = ip_address(address or random.randrange(0x0B00_0000, 0xC000_0000))
        return encode_message(header, template.payloads), Path(RIGHT, 500, remote, 500)

    return make


def unknown_spis(random: Random) -> tuple[bytes, Path]:
    """Requests within IKE SAs that we do not have."""
    header = Header(
        spi_i=random.randbytes(8),
        spi_r=random.randbytes(8),
        exchange=ExchangeType.INFORMATIONAL,
        is_initiator=True,
        is_response=False,
        message_id=7,
    )
    return encode_message(header, ()), Path(RIGHT, 500, ip_address(random.randrange(0x0B00_0000, 0xC000_0000)), 500)


def under(flood: Flood, left: Connection, right: Connection) -> World:
    """The right side is flooded; after a second of that the left side connects, and the flood goes on."""
    world, random = World(), Random(5)
    world.right.endpoint.add_connection(right)
    world.left.endpoint.add_connection(left)
    for step in range(SECONDS * STEPS):
        if step == STEPS:
            world.initiate("left")
        for _ in range(BURST):
            world.deliver("right", *flood(random))
        world.run(1 / STEPS, limit=10_000)
    return world


def assert_let_in(world: World) -> None:
    (ours,) = world.left.sas
    assert ours.phase == "established"
    assert ours.id in [sa.id for sa in world.right.sas]
    assert len(world.right.installed) == 1


def test_spoofed_addresses_do_not_keep_an_honest_peer_out() -> None:
    """Section 2.6: whoever does not bring the cookie gets no IKE SA; whoever brings it does."""
    world = under(spoofed(first_message()), connection("left"), connection("right", anywhere=True))
    assert_let_in(world)
    assert world.right.endpoint.half_open <= Limits().cookie_threshold
    assert len(world.left.failures) == 0


def test_a_peer_whose_own_address_is_spoofed_gets_in() -> None:
    """The share of its address is not given away to those who only claim to be there."""
    flood = spoofed(first_message(), str(LEFT))
    world = under(flood, connection("left"), connection("right", anywhere=True))
    assert_let_in(world)
    assert world.right.endpoint.half_open <= Limits().half_open_per_address // 4 + 1


@pytest.mark.parametrize("flood", [spoofed(first_message("aes128-sha256-modp2048")), unknown_spis])
def test_refusals_of_strangers_do_not_cost_an_honest_peer_its_own(flood: Flood) -> None:
    """A peer that has to be told of another group (section 1.2) is told, whatever the flood makes us say to others."""
    both = "aes256gcm16-prfsha256-x25519-ecp256"
    right = connection("right", ike=("aes256gcm16-prfsha256-ecp256",), anywhere=True)
    world = under(flood, connection("left", ike=(both,)), right)
    assert_let_in(world)
    assert world.left.sas[0].suite.endswith("ecp256")


def test_answers_to_strangers_are_bounded() -> None:
    """Section 2.21.4: unprotected answers are limited in their rate; a cookie is shorter than what asks for it."""
    request, _ = spoofed(first_message())(Random(1))
    world = under(
        spoofed(first_message("aes128-sha256-modp2048")), connection("left"), connection("right", anywhere=True)
    )
    answers = [decode_message(octets) for side, octets, path in world.sent if side == "right" and path.remote != LEFT]
    refusals = [answer for answer in answers if answer.error_notifies]
    assert 0 < len(refusals) <= 100 * (SECONDS + 1)
    assert all(
        len(octets) < len(request) for side, octets, path in world.sent if side == "right" and path.remote != LEFT
    )
    assert world.right.endpoint.half_open <= 1


def test_the_calm_after_a_flood_is_as_before() -> None:
    """What strangers made us keep is gone after its time, and nobody has to bring a cookie any more."""
    world = under(spoofed(first_message()), connection("left"), connection("right", anywhere=True))
    world.run(120)
    assert world.right.endpoint.half_open == 0
    assert world.right.endpoint.sa_count == 1
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(60)
    world.sent.clear()
    world.initiate("left")
    world.run(1)
    assert_tunnel(world)
    assert len(world.sent) == 4


def test_no_cookie_is_longer_than_what_asks_for_it() -> None:
    """A request that is too short to be one makes us say nothing, under load as ever."""
    world, random = World(), Random(5)
    world.right.endpoint.add_connection(connection("right", anywhere=True))
    template = first_message()
    for _ in range(Limits().cookie_threshold):
        world.deliver("right", *spoofed(template)(random))
    world.sent.clear()
    only_nonce = replace(template, payloads=(Nonce(bytes(16)),))
    world.deliver("right", *spoofed(only_nonce)(random))
    assert not world.sent
    world.deliver("right", *spoofed(template)(random))
    assert len(world.sent) == 1
