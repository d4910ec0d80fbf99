"""AH, transport mode and extended sequence numbers, as two ends agree on them (RFC 7296 sections 1.3.1 and 3.3)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from caponier.doi.ikev2 import ExchangeType, IntegrityId, NotifyType, ProtocolId
from caponier.errors import CaponierError, ConfigError, NoProposalChosen, PeerRejected, TsUnacceptable, WireError
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_AH_PROPOSALS,
    DEFAULT_ESP_PROPOSALS,
    parse_ah_proposal,
    parse_esp_proposal,
)
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.policy import ChildPolicy, Encapsulation, Handling, Lifetime, Mode
from caponier.protocols.ike.v2.exchanges import auth
from tests.exchange.world import LEFT, RIGHT, World, assert_tunnel, child, connection, source_nat

LAN = child("lan", "10.1.0.0/16", "10.2.0.0/16")
HOST = replace(child("host", "192.0.2.1", "192.0.2.2"), mode=Mode.TRANSPORT)
AH = replace(LAN, proposals=(parse_ah_proposal("sha256-esn"),))


def mirrored(policy: ChildPolicy) -> ChildPolicy:
    return replace(policy, local=policy.remote, remote=policy.local)


def between(left: tuple[ChildPolicy, ...], right: tuple[ChildPolicy, ...] | None = None) -> World:
    """A world in which the left side has initiated; the right side has the same children unless told otherwise."""
    world = World()
    theirs = tuple(map(mirrored, left)) if right is None else right
    world.connect(connection("left", children=left), connection("right", children=theirs))
    world.run(5)
    return world


def test_ah() -> None:
    """Section 3.3.1: protocol 2; no encryption, and keys for the checksum alone (section 2.17)."""
    world = between((AH,))
    assert_tunnel(world)
    (installed,) = world.left.installed.values()
    assert installed.protocol == ProtocolId.AH
    assert installed.encryption is None
    assert installed.integrity == IntegrityId.AUTH_HMAC_SHA2_256_128
    assert installed.extended_sequence_numbers
    assert [len(key) for key in world.left.keys[installed.spi_in]] == [0, 32, 0, 32]
    assert world.left.sas[0].children[0].suite == "sha256-esn"


def test_ah_beside_esp() -> None:
    """Each child has its own protocol; a Delete names each by its own (section 1.4.1)."""
    world = between((LAN, replace(AH, name="open", local=HOST.local, remote=HOST.remote)))
    assert_tunnel(world, children=2)
    assert {each.protocol for each in world.right.installed.values()} == {ProtocolId.ESP, ProtocolId.AH}
    world.left.endpoint.terminate("office", world.now, "open")
    world.settle()
    world.run(2)
    assert_tunnel(world, children=1)


@pytest.mark.parametrize("second", [False, True])
def test_transport_mode(second: bool) -> None:  # noqa: FBT001
    """Section 1.3.1: USE_TRANSPORT_MODE in the request and in the answer, in IKE_AUTH and in CREATE_CHILD_SA."""
    world = between((LAN, HOST) if second else (HOST,))
    assert_tunnel(world, children=1 + second)
    for host in (world.left, world.right):
        modes = {each.name: each.mode for each in host.installed.values()}
        assert modes["host"] is Mode.TRANSPORT
        assert modes.get("lan", Mode.TUNNEL) is Mode.TUNNEL


@pytest.mark.parametrize("first", [(), (LAN,)])
def test_a_declined_transport_mode_is_taken_back(first: tuple[ChildPolicy, ...]) -> None:
    """Section 1.3.1: "If this is unacceptable to the initiator, the initiator MUST delete the SA"."""
    theirs = (*map(mirrored, first), replace(mirrored(HOST), mode=Mode.TUNNEL))
    world = between((*first, HOST), theirs)
    assert_tunnel(world, children=len(first))
    (failure,) = world.left.failures
    assert isinstance(failure.error, PeerRejected)
    assert failure.error.setting == "child.host.mode"


def test_a_tunnel_where_transport_mode_is_wanted_is_refused() -> None:
    tunnel = replace(HOST, mode=Mode.TUNNEL)
    world = between((tunnel,), (mirrored(HOST),))
    assert_tunnel(world, children=0)
    (refusal,) = world.right.failures
    assert isinstance(refusal.error, NoProposalChosen)
    assert (refusal.error.offered, refusal.error.accepted) == ("tunnel", "transport")
    assert refusal.error.setting == "child.host.mode"


def test_transport_mode_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken responder: the Child SA is not made, and it is told."""
    monkeypatch.setattr(auth, "mode_notifies", lambda _: (Notify(NotifyType.USE_TRANSPORT_MODE),))
    world = World()
    world.connect(connection("left"), connection("right"))
    world.run(5)
    assert_tunnel(world, children=0)
    assert any(isinstance(failure.error, WireError) for failure in world.left.failures)


def test_an_answer_that_we_cannot_take_leaves_nothing_at_the_peer() -> None:
    """The data plane refuses after the peer has made its half: the peer is told to drop it."""
    world = World()
    refused: list[CaponierError] = [NoProposalChosen("no room")]
    world.left.refuse = lambda effect: refused.pop() if type(effect).__name__ == "InstallChildSa" and refused else None
    world.connect(connection("left"), connection("right"))
    world.run(5)
    assert_tunnel(world, children=0)
    assert sum(octets[18] == ExchangeType.INFORMATIONAL for _, octets, _ in world.sent) == 2


def test_esn_is_taken_where_both_have_it() -> None:
    """RFC 4303 section 2.2.1: 64-bit numbers are negotiated."""
    wide = replace(LAN, proposals=DEFAULT_ESP_PROPOSALS)
    narrow = replace(LAN, proposals=(parse_esp_proposal("aes256gcm16"),))
    assert [
        each.extended_sequence_numbers
        for world in (between((wide,)), between((wide,), (mirrored(narrow),)))
        for each in world.left.installed.values()
    ] == [True, False]
    ah = between((replace(LAN, proposals=DEFAULT_AH_PROPOSALS),))
    assert next(iter(ah.left.installed.values())).extended_sequence_numbers


# -- NATs


ESP_TOO = (AH, replace(LAN, name="open", local=HOST.local, remote=HOST.remote))


@pytest.mark.parametrize("children", [ESP_TOO, ESP_TOO[::-1]])
def test_ah_is_not_offered_through_a_nat(children: tuple[ChildPolicy, ...]) -> None:
    """RFC 3715 section 2.1: the checksum has the addresses in it. The initiator says which line decides; the rest comes up."""
    world = World()
    world.connect(
        connection("left", children=children, encapsulation=Encapsulation.FORCED),
        connection("right", children=tuple(map(mirrored, children))),
    )
    world.run(5)
    assert_tunnel(world, children=1)
    (failure,) = world.left.failures
    assert (failure.child, failure.error.setting) == ("lan", "child.lan.protocol")
    assert "does not pass a NAT" in failure.error.message
    assert not world.right.failures


def test_an_ike_sa_for_ah_alone_is_of_no_use_behind_a_nat() -> None:
    world = World()
    world.connect(
        connection("left", children=(AH,), encapsulation=Encapsulation.FORCED),
        connection("right", children=(mirrored(AH),)),
    )
    world.run(60)
    (failure,) = world.left.failures
    assert isinstance(failure.error, ConfigError)
    assert (failure.child, failure.error.setting) == (None, "child.lan.protocol")
    assert failure.error.hint
    for host in (world.left, world.right):
        assert not host.sas
        assert not host.spis


@pytest.mark.parametrize("second", [False, True])
def test_a_responder_refuses_ah_through_a_nat(monkeypatch: pytest.MonkeyPatch, second: bool) -> None:  # noqa: FBT001
    """The same, asked by an initiator that does not care; the responder says which line decides."""
    children = ESP_TOO[::-1] if second else (AH,)
    monkeypatch.setattr("caponier.protocols.ike.v2.exchanges.create_child.require_way", lambda sa, policy: None)
    monkeypatch.setattr(
        "caponier.protocols.ike.v2.exchanges.initial.first_policy", lambda sa, connection: connection.children[0]
    )
    world = World()
    world.connect(
        connection("left", children=children, encapsulation=Encapsulation.FORCED),
        connection("right", children=tuple(map(mirrored, children))),
    )
    world.run(5)
    assert_tunnel(world, children=int(second))
    assert any(
        isinstance(failure.error, NoProposalChosen)
        and "does not pass a NAT" in failure.error.message
        and failure.error.setting == "child.lan.protocol"
        for failure in world.right.failures
    )
    assert [failure.child for failure in world.left.failures] == ["lan"]


def test_transport_mode_through_a_nat() -> None:
    """RFC 7296 section 2.23.1: each side puts the addresses that it sees into the selectors, and keeps those that the other
    counted in its checksums (RFC 3948 section 3.1.2)."""
    nat = ip_address("203.0.113.9")
    world = World(middle=source_nat)
    theirs = replace(child("host", str(RIGHT), f"{nat}[tcp]"), mode=Mode.TRANSPORT)
    world.connect(connection("left", children=(HOST,)), connection("right", children=(theirs,), anywhere=True))
    world.run(5)
    (ours,), (seen,) = world.left.installed.values(), world.right.installed.values()
    assert [(each.start, each.end, each.protocol) for each in ours.local] == [(LEFT, LEFT, 6)]
    assert [(each.start, each.end) for each in ours.remote] == [(RIGHT, RIGHT)]
    assert [(each.start, each.end, each.protocol) for each in seen.remote] == [(nat, nat, 6)]
    assert [(each.start, each.end) for each in seen.local] == [(RIGHT, RIGHT)]
    assert ours.counted == (RIGHT, nat)
    assert seen.counted == (LEFT, RIGHT)
    assert ours.path.encapsulated
    assert seen.path.encapsulated


def test_transport_mode_without_a_nat_counts_as_it_is() -> None:
    world = between((HOST,))
    assert [each.counted for each in (*world.left.installed.values(), *world.right.installed.values())] == [None, None]


def test_transport_mode_is_between_the_two_hosts() -> None:
    """RFC 4301 section 4.1: the ends of the SA are the hosts themselves; a network behind one needs a tunnel."""
    away = replace(LAN, mode=Mode.TRANSPORT)
    world = between((away,))
    assert_tunnel(world, children=0)
    (refusal,) = world.right.failures
    assert isinstance(refusal.error, TsUnacceptable)
    assert "between the two hosts" in refusal.error.message
    assert refusal.error.setting == "child.lan.local"


# -- what no peer hears of


def test_handling_and_lifetime_reach_the_data_plane() -> None:
    """RFC 7296 section 2.8: "there is no negotiation of lifetimes"; each side has its own."""
    ours = replace(LAN, handling=Handling(tfc=None, dscp=46), lifetime=Lifetime(soft_octets=5, hard_octets=6))
    world = between((ours,), (mirrored(LAN),))
    (left,), (right,) = world.left.installed.values(), world.right.installed.values()
    assert (left.handling, left.lifetime) == (ours.handling, ours.lifetime)
    assert (right.handling, right.lifetime) == (Handling(), Lifetime())


@pytest.mark.parametrize("who", ["initiator", "responder"])
def test_a_peer_that_takes_no_padding_gets_none(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """Section 1.3.1: ESP_TFC_PADDING_NOT_SUPPORTED holds for what its sender receives, and not for the other direction."""
    padding = replace(LAN, handling=Handling(tfc=1000, dscp=46))
    unsupported = Notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)
    if who == "initiator":
        payloads = auth.IkeAuthRequest.payloads
        monkeypatch.setattr(auth.IkeAuthRequest, "payloads", lambda self: (*payloads(self), unsupported))
    else:
        answer = auth.answer_payloads
        monkeypatch.setattr(auth, "answer_payloads", lambda *given: (*answer(*given), unsupported))
    world = between((padding,))
    (left,), (right,) = world.left.installed.values(), world.right.installed.values()
    told, untold = (right, left) if who == "initiator" else (left, right)
    assert told.handling == Handling(tfc=0, dscp=46)
    assert untold.handling == Handling(tfc=1000, dscp=46)
