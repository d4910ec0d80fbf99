"""Offers of the peer that we decline: by silence, as RFC 7296 says, and the Child SA comes all the same."""

from __future__ import annotations

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.protocols.ike.messages.message import decode_content, decode_header
from caponier.protocols.ike.messages.payloads import Notify
from tests.exchange.world import World, assert_tunnel, child, connection

#: The transforms are OUI, DEFLATE, LZS, LZJH: a CPI of two octets, then the transform.
OFFERS = {
    "IPComp by DEFLATE, section 2.22": (Notify(NotifyType.IPCOMP_SUPPORTED, data=b"\x12\x34\x02"),),
    "IPComp by several, section 2.22": tuple(
        Notify(NotifyType.IPCOMP_SUPPORTED, data=b"\x12\x34" + bytes([transform])) for transform in (1, 2, 3, 4)
    ),
    "later fragments in the same SA, section 1.3.1": (Notify(NotifyType.NON_FIRST_FRAGMENTS_ALSO),),
}
DECLINED = (NotifyType.IPCOMP_SUPPORTED, NotifyType.NON_FIRST_FRAGMENTS_ALSO)
TWO = {
    "left": (child("lan", "10.1.0.0/16", "10.2.0.0/16"), child("voice", "10.3.0.0/16", "10.4.0.0/16")),
    "right": (child("lan", "10.2.0.0/16", "10.1.0.0/16"), child("voice", "10.4.0.0/16", "10.3.0.0/16")),
}


@pytest.mark.parametrize("offered", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("exchange", [ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA])
def test_what_is_not_in_the_answer_is_declined(
    exchange: ExchangeType, offered: tuple[Notify, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "The responder ... declines the request" by leaving the notification out; the initiator "MUST NOT" use it then."""
    module = {ExchangeType.IKE_AUTH: "auth", ExchangeType.CREATE_CHILD_SA: "create_child"}[exchange]
    asked: list[ExchangeType] = []
    where = f"caponier.protocols.ike.v2.exchanges.{module}.mode_notifies"

    def offer(_mode: object) -> tuple[Notify, ...]:
        first = not asked
        asked.append(exchange)
        return offered if first else ()  # the answer is made by the same function where both are in one module

    monkeypatch.setattr(where, offer)
    world = World()
    world.connect(connection("left", children=TWO["left"]), connection("right", children=TWO["right"]))
    world.run(5)
    assert_tunnel(world, children=2)
    (sa,) = world.left.endpoint._sas.values()
    (peer,) = world.right.endpoint._sas.values()
    asked_for, declined = (
        [
            each.type
            for side, octets, _ in world.sent
            if side == sender and decode_header(octets).exchange == exchange
            for each in decode_content(opener.protector.open(octets)).all(Notify)
            if each.type in DECLINED
        ]
        for sender, opener in (("left", peer), ("right", sa))
    )
    assert asked_for == [each.type for each in offered]
    assert not declined
    assert not world.left.failures
    assert not world.right.failures
