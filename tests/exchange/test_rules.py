"""Rules of RFC 7296 that need no more than one message, said to a live endpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.protocols.ike.messages.message import decode_header, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Nonce, Notify, Payload
from tests.exchange.test_intruder import TO_RIGHT, seal
from tests.exchange.world import World, assert_tunnel, connection, up


def first_message(ike: str = "aes256gcm16-prfsha256-x25519") -> tuple[World, tuple[Payload, ...]]:
    """A world whose right side has heard nothing yet, and the payloads of what the left one says first."""
    world = World()
    world.middle = lambda _side, _octets, _path: None
    world.connect(connection("left", ike=(ike,)), connection("right", ike=(ike,)))
    return world, tuple(decode_message(world.sent[0][1]).payloads)


def say(world: World, *payloads: Payload) -> None:
    """Let the right side receive this first message."""
    world.deliver("right", encode_message(decode_header(world.sent[0][1]), payloads), TO_RIGHT)


def test_payloads_in_any_order_are_taken() -> None:
    """Section 2.5: "implementations MUST NOT reject as invalid a message with those payloads in any other order"."""
    world, payloads = first_message()
    say(world, *reversed(payloads))
    assert world.right.endpoint.half_open == 1


@pytest.mark.parametrize(("length", "is_taken"), [(16, False), (31, False), (32, True)])
def test_a_short_nonce_is_refused(length: int, *, is_taken: bool) -> None:
    """Section 2.10: "at least half the key size of the negotiated pseudorandom function": 64 octets here."""
    world, payloads = first_message("aes256gcm16-prfsha512-x25519")
    say(world, *(Nonce(bytes(length)) if isinstance(each, Nonce) else each for each in payloads))
    assert world.right.endpoint.half_open == is_taken


@pytest.mark.parametrize("port", [1, 1024, 65_535])
def test_any_source_port_is_answered(port: int) -> None:
    """Sections 2.11 and 2.23: the answer goes to the address and port from which the request was received, from where it came to."""
    world, _ = first_message()
    asked = replace(TO_RIGHT, remote_port=port)
    world.deliver("right", world.sent[0][1], asked)
    side, _, path = world.sent[-1]
    assert (side, path) == ("right", asked)


def test_unknown_notifies_are_ignored() -> None:
    """Section 3.10.1: unknown errors in a request, and unknown statuses, "MUST be ignored"."""
    world = up()
    sent = len(world.sent)
    unknown = (Notify(NotifyType(9_999)), Notify(NotifyType(50_000), data=b"what?"))
    world.deliver("right", seal(world, "left", ExchangeType.INFORMATIONAL, *unknown), TO_RIGHT)
    assert len(world.sent) == sent + 1
    assert_tunnel(world)
