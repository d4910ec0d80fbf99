"""What has gone wrong in other IKE daemons, said to ours: one test for each class that this code can have
(docs/conformance/vulnerabilities.md maps the advisories to tests)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType, ProtocolId
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.messages.payloads import Delete, KeyExchange, Nonce, Notify, SecurityAssociation
from tests.exchange.test_intruder import TO_RIGHT, seal
from tests.exchange.test_rules import first_message, say
from tests.exchange.world import World, assert_tunnel, connection, up


@pytest.mark.parametrize("group", [0, 1024, 1025, 1031, 65_535])
def test_reserved_ids_are_not_reachable_from_the_wire(group: int) -> None:
    """CVE-2014-9221: a KE payload of a number that only had an internal meaning."""
    world, payloads = first_message()
    changed = (
        replace(each, group=KeyExchangeId(group)) if isinstance(each, KeyExchange) else each for each in payloads
    )
    say(world, *changed)
    assert world.right.endpoint.half_open == 0
    assert not world.right.spis


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"", bytes(31), bytes(33), b"\xff" * 4096])
def test_public_values_that_must_not_be(public: bytes) -> None:
    """CVE-2015-3240, CVE-2023-41913, CVE-2026-35332: zero, of small order, too short, too long."""
    world, payloads = first_message()
    say(world, *(replace(each, public=public) if isinstance(each, KeyExchange) else each for each in payloads))
    assert world.right.endpoint.half_open == 0
    assert "bug" not in " ".join(map(repr, world.right.events))


@pytest.mark.parametrize("exchange", [ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL])
def test_nothing_but_ike_auth_is_heard_before_authentication(exchange: ExchangeType) -> None:
    """CVE-2014-2338: a rekeying of a half-open IKE SA made it established. The keys are valid, nobody is proven."""
    world = World()
    is_first = ExchangeType.IKE_SA_INIT
    world.middle = lambda _, octets, path: (octets, path) if decode_header(octets).exchange == is_first else None
    world.connect(connection("left"), connection("right"))
    world.run(0.5)
    (sa,) = world.left.endpoint._sas.values()
    (octets,) = sa.seal(exchange, is_response=False, message_id=1, payloads=(Nonce(bytes(32)),))
    world.deliver("right", octets, TO_RIGHT)
    (theirs,) = world.right.endpoint._sas.values()
    assert theirs.peer is None
    assert not world.right.installed
    assert world.right.endpoint.drops["unexpected-message"] == 1


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 255])
def test_a_rekeying_of_no_protocol(protocol: int) -> None:
    """CVE-2023-38710: REKEY_SA with a protocol that is not that of a Child SA."""
    world = up()
    spi = next(iter(world.left.installed)).to_bytes(4)
    rekey = Notify(NotifyType.REKEY_SA, ProtocolId(protocol), spi)
    world.deliver("right", seal(world, "left", ExchangeType.CREATE_CHILD_SA, rekey, Nonce(bytes(32))), TO_RIGHT)
    world.run(1)
    assert len(world.right.installed) <= 1
    assert world.right.spis == set(world.right.installed)
    assert "bug" not in " ".join(map(repr, world.right.events))


def test_the_same_is_deleted_twice() -> None:
    """CVE-2023-38712: a second Delete for what is gone is answered, and touches nothing."""
    world = up()
    spi = next(iter(world.left.installed)).to_bytes(4)
    for _ in range(3):
        deletes = (Delete(ProtocolId.ESP, (spi, spi)), Delete(ProtocolId.ESP, (spi,)), Delete(ProtocolId.AH, (spi,)))
        sent = len(world.sent)
        world.deliver("right", seal(world, "left", ExchangeType.INFORMATIONAL, *deletes), TO_RIGHT)
        assert len(world.sent) == sent + 1
    assert not world.right.installed
    assert not world.right.spis
    assert world.right.sas


def test_a_proposal_without_a_key_exchange() -> None:
    """CVE-2016-5391: an IKE proposal whose transforms lack a whole type."""
    world, payloads = first_message()
    for number in range(4):
        changed = [
            replace(
                each,
                proposals=tuple(
                    replace(one, transforms=one.transforms[:number] + one.transforms[number + 1 :])
                    for one in each.proposals
                ),
            )
            if isinstance(each, SecurityAssociation) and len(each.proposals[0].transforms) > number
            else each
            for each in payloads
        ]
        if changed != list(payloads):
            say(world, *changed)
            assert world.right.endpoint.half_open == 0


def test_a_refused_request_leaves_no_state_for_its_retransmission() -> None:
    """CVE-2024-2357, CVE-2023-30570: what a refused exchange left behind was found by the next message of it."""
    world, payloads = first_message()
    for _ in range(3):
        say(
            world,
            *(replace(each, group=KeyExchangeId(1)) if isinstance(each, KeyExchange) else each for each in payloads),
        )
    assert not world.right.endpoint._sas
    assert len(world.right.endpoint._agenda) == 0
    world.middle = lambda _side, octets, path: (octets, path)
    world.run(60)
    assert_tunnel(world)
