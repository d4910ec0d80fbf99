"""Liveness in simulated time (RFC 7296 sections 2.4 and 2.21.4): who hears the peer does not ask it."""

from __future__ import annotations

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import Silent
from caponier.protocols.ike.events import IkeSaClosed
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import encode_message
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.v2.timers import DOUBT_SECONDS
from tests.exchange.test_end import closed, informational
from tests.exchange.world import LEFT, RIGHT, World, assert_tunnel, up


def run_with_traffic(world: World, seconds: int) -> None:
    """A packet each second reaches the left side."""
    for _ in range(seconds):
        world.run(1)
        for spi_in in world.left.installed:
            world.left.received[spi_in] += 1


def test_a_busy_tunnel_is_not_asked() -> None:
    """ "Receipt of a fresh cryptographically protected message on an IKE SA or any of its Child SAs ensures liveness"."""
    world = up(liveness=10.0)
    before = len(world.sent)
    world.middle = lambda side, octets, path: None  # and no IKE message passes
    for _ in range(600):
        world.run(1)
        for host in (world.left, world.right):
            for spi_in in host.installed:
                host.received[spi_in] += 1
    assert informational(world, before) == 0
    assert world.left.looks <= 61  # once an interval, however many packets there are
    assert world.left.sas


def test_a_busy_tunnel_that_falls_silent_is_asked_within_two_intervals() -> None:
    world = up(liveness=10.0)
    world.middle = lambda side, octets, path: None
    run_with_traffic(world, 100)
    before = len(world.sent)
    world.run(21)
    assert any(side == "left" for side, _, _ in world.sent[before:])
    world.run(300)
    assert isinstance(closed(world, "left").error, Silent)


def test_what_only_goes_out_is_no_sign_of_life() -> None:
    """ "If there has only been outgoing traffic on all of the SAs ..., it is essential to confirm liveness"."""
    world = up(liveness=10.0)
    before = len(world.sent)
    run_with_traffic(world, 40)  # the right side sends and hears nothing
    assert {side for side, octets, _ in world.sent[before:]} == {"left", "right"}
    assert_tunnel(world)


def complain(world: World, side: str) -> None:
    """Somebody says in clear that the peer knows nothing of the IKE SA."""
    (sa,) = world.host(side).sas
    header = Header(
        spi_i=sa.id.spi_i,
        spi_r=sa.id.spi_r,
        exchange=ExchangeType.INFORMATIONAL,
        is_initiator=side != "left",
        is_response=True,
        message_id=0,
    )
    path = Path(LEFT, 500, RIGHT, 500) if side == "left" else Path(RIGHT, 500, LEFT, 500)
    world.deliver(side, encode_message(header, (Notify(NotifyType.INVALID_IKE_SPI),)), path)


def test_a_complaint_in_clear_is_a_reason_to_ask_and_no_more() -> None:
    """Section 2.4: "a node MUST NOT conclude that the other endpoint has failed based on ... IKE messages that arrive
    without cryptographic protection"; section 2.21.4: it "MAY initiate a liveness test", limited in its rate."""
    world = up(liveness=3600.0)
    before = len(world.sent)
    for _ in range(100):
        complain(world, "left")
        world.run(0.01)
    world.run(5)
    assert informational(world, before) == 2  # one question and its answer
    assert_tunnel(world)
    world.run(DOUBT_SECONDS)
    complain(world, "left")
    world.run(5)
    assert informational(world, before) == 4
    assert_tunnel(world)
    assert not world.left.happened(IkeSaClosed)


def test_a_peer_that_started_anew_is_noticed_at_its_first_complaint() -> None:
    """It answers a message of ours with INVALID_IKE_SPI (section 1.5): not the complaint ends the IKE SA, the silence does."""
    world = up(liveness=3600.0)
    forgetful = World(seed=9).right
    world.right = forgetful
    complain(world, "left")
    world.run(200)
    assert isinstance(closed(world, "left").error, Silent)
    assert forgetful.endpoint.drops["invalid-ike-spi"] >= world.settings.retransmission.attempts
