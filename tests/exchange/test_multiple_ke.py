"""Additional key exchanges in the initial exchanges, both ends in simulated time (RFC 9242, RFC 9370)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.negotiation.proposals import DEFAULT_IKE_PROPOSALS, is_quantum_safe
from caponier.protocols.ike.messages.message import decode_header, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import KeyExchange, Notify, SecurityAssociation
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Limits, Retransmission, Settings
from caponier.protocols.ike.v2.exchanges import intermediate
from caponier.protocols.ike.v2.intermediate import Intermediate
from tests.exchange.world import Weather, World, assert_tunnel, connection, source_nat, up

HYBRID = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
SEVEN = (
    "aes256gcm16-prfsha256-x25519-ke1_mlkem512-ke2_mlkem768-ke3_mlkem1024-ke4_ecp256-ke5_ecp384-ke6_ecp521-ke7_modp2048"
)
SUITES = [
    HYBRID,
    "aes128-sha256-prfsha512-ecp256-ke1_mlkem512",
    "chacha20poly1305-prfsha512-mlkem768-ke3_x25519",
    "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024-ke2_ecp521",
    SEVEN,
]


def exchanges(world: World) -> list[tuple[str, ExchangeType, int]]:
    headers = [(side, decode_header(octets)) for side, octets, _ in world.sent]
    return [(side, header.exchange, header.message_id) for side, header in headers]


@pytest.mark.parametrize("ike", SUITES)
def test_one_round_for_each(ike: str) -> None:
    """RFC 9370 section 2.2.2: the additional key exchanges in order, each in a round of its own, before IKE_AUTH."""
    world = up(ike=(ike,))
    rounds = len(ike.split("ke")) - 1 - ike.count("mlkem")
    ours = dict.fromkeys(each for each in exchanges(world) if each[0] == "left")  # a long message goes in fragments
    sides = [exchange for _, exchange, _ in ours]
    assert sides == [ExchangeType.IKE_SA_INIT, *[ExchangeType.IKE_INTERMEDIATE] * rounds, ExchangeType.IKE_AUTH]
    assert [message_id for _, _, message_id in ours] == list(range(rounds + 2))
    assert world.left.sas[0].suite == ike
    (left,), (right,) = world.left.endpoint._sas.values(), world.right.endpoint._sas.values()
    assert left.protector.keys == right.protector.keys
    assert left.intermediate.int_auth() == right.intermediate.int_auth() != b""


def test_every_round_changes_the_keys() -> None:
    """RFC 9242 section 3.3.1: the second round is protected by what the first one made."""
    world = World()
    seen: list[bytes] = []

    def watch(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
        sas = list(world.host(side).endpoint._sas.values())
        if sas and sas[0].protection is not None:
            seen.append(sas[0].protector.keys.sk_ei.expose())
        return octets, path

    world.middle = watch
    world.connect(connection("left", ike=(SEVEN,)), connection("right", ike=(SEVEN,)))
    world.run(2)
    assert_tunnel(world)
    assert len(set(seen) - {bytes(36)}) == 8


@pytest.mark.parametrize("ike", [HYBRID, SEVEN])
def test_bad_weather(ike: str) -> None:
    """Loss, duplication and reordering: both sides have the same keys in the end."""
    patient = Settings(retransmission=Retransmission(factor=1.3, attempts=15), limits=Limits(half_open_seconds=300))
    for seed in range(25):
        world = World(seed=seed, settings=patient, weather=Weather(loss=0.25, duplication=0.3, delay=0.6))
        world.connect(connection("left", ike=(ike,)), connection("right", ike=(ike,)))
        world.run(200)
        assert_tunnel(world)
        assert not world.left.failures


def test_behind_a_nat() -> None:
    """RFC 9242 section 3.2: port 4500 from the first IKE_INTERMEDIATE on."""
    world = World(middle=source_nat)
    world.connect(connection("left", ike=(HYBRID,)), connection("right", ike=(HYBRID,), anywhere=True))
    world.run(2)
    assert len(world.left.installed) == 1
    ports = {
        path.remote_port for side, octets, path in world.sent if side == "left" and decode_header(octets).message_id
    }
    assert ports == {4500}


def defaults(side: str) -> Connection:
    return replace(connection(side), proposals=DEFAULT_IKE_PROPOSALS)


def test_the_default_is_quantum_safe() -> None:
    world = World()
    world.connect(defaults("left"), defaults("right"))
    world.run(2)
    assert_tunnel(world)
    for host in (world.left, world.right):
        assert host.sas[0].suite == "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
        assert host.sas[0].quantum_safe == ("ML-KEM-768",)
        assert host.sas[0].children[0].quantum_safe == ("ML-KEM-768",)
    for child in world.left.endpoint._sas.values():
        child.rekey()
    world.settle()
    world.run(5)
    assert_tunnel(world)
    assert world.left.sas[0].quantum_safe == world.right.sas[0].quantum_safe == ("ML-KEM-768",)


@pytest.mark.parametrize("older", ["left", "right"])
def test_a_peer_that_has_none_gets_the_classical_ones(older: str) -> None:
    """RFC 7296 section 3.3.6: a proposal with a transform type that is not known is passed over as a whole."""
    world = World()
    old = connection(older, ike=("aes256gcm16-prfsha384-x25519",))
    world.connect(old if older == "left" else defaults("left"), old if older == "right" else defaults("right"))
    world.run(2)
    assert_tunnel(world)
    assert world.left.sas[0].quantum_safe == ()
    assert world.left.sas[0].children[0].quantum_safe == ()


@pytest.mark.parametrize("side", ["left", "right"])
def test_where_it_is_required_there_is_no_way_back(side: str) -> None:
    required = replace(defaults(side), proposals=tuple(filter(is_quantum_safe, DEFAULT_IKE_PROPOSALS)))
    classical = connection("right" if side == "left" else "left", ike=("aes256gcm16-prfsha384-x25519",))
    world = World()
    world.connect(*((required, classical) if side == "left" else (classical, required)))
    world.run(30)
    assert not world.left.sas
    assert not world.right.sas
    (failure,) = world.left.failures
    assert getattr(failure.error, "notify", None) == NotifyType.NO_PROPOSAL_CHOSEN


def rewritten(side: str, change: object):  # type: ignore[no-untyped-def]
    """A network that changes the IKE_SA_INIT messages of a side, which nothing protects."""

    def middle(sender: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
        if sender != side or decode_header(octets).exchange != ExchangeType.IKE_SA_INIT:
            return octets, path
        message = decode_message(octets)
        return encode_message(message.header, change(message.payloads)), path  # type: ignore[operator]

    return middle


def without_announcement(payloads: tuple[object, ...]) -> list[object]:
    return [
        each
        for each in payloads
        if not (isinstance(each, Notify) and each.type == NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)
    ]


def test_additional_key_exchanges_need_ike_intermediate() -> None:
    """RFC 9370 section 2.2.1: who does not announce IKE_INTERMEDIATE gets none; where that is all there is, nothing."""
    world = World(middle=rewritten("left", without_announcement))
    world.connect(connection("left", ike=(HYBRID,)), connection("right", ike=(HYBRID,)))
    world.run(30)
    (failure,) = world.left.failures
    assert getattr(failure.error, "notify", None) == NotifyType.NO_PROPOSAL_CHOSEN


def test_a_choice_of_them_without_ike_intermediate_is_dropped() -> None:
    """The other way round: an answer that nobody can go on from; nothing protects it, so we wait for a better one."""
    world = World(middle=rewritten("right", without_announcement))
    world.connect(connection("left", ike=(HYBRID,)), connection("right", ike=(HYBRID,)))
    world.run(100)
    assert not world.left.sas
    assert not world.right.sas
    assert world.left.endpoint.drops["wire-error"] > 0


def test_a_stripped_offer_does_not_pass_authentication() -> None:
    """Somebody on the way takes the quantum-safe proposal out: AUTH covers the offer (RFC 7296 section 2.15)."""

    def stripped(payloads: tuple[object, ...]) -> list[object]:
        weaker = SecurityAssociation(tuple(replace(each, number=each.number - 1) for each in DEFAULT_IKE_PROPOSALS[1:]))
        return [weaker if isinstance(each, SecurityAssociation) else each for each in payloads]

    world = World(middle=rewritten("left", stripped))
    world.connect(defaults("left"), defaults("right"))
    world.run(60)
    assert not world.left.installed
    assert not world.right.installed


# -- a peer that breaks the rules


def breaking(monkeypatch: pytest.MonkeyPatch, payloads: object) -> World:
    monkeypatch.setattr(intermediate.IntermediateRequest, "payloads", payloads)
    world = World()
    world.connect(connection("left", ike=(HYBRID,)), connection("right", ike=(HYBRID,)))
    world.run(60)
    assert not world.left.installed
    assert not world.right.installed
    assert not world.left.sas
    assert not world.right.sas
    return world


def test_the_wrong_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9370 section 2.2.2: the KE payload is of the method that is next."""
    world = breaking(monkeypatch, lambda self: (KeyExchange(KeyExchangeId.ML_KEM_512, bytes(800)),))
    (failure,) = world.right.failures
    assert "ML_KEM_768 is next" in failure.error.message


def test_no_key_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    world = breaking(monkeypatch, lambda self: ())
    assert "KeyExchange" in world.right.failures[0].error.message


def test_an_encapsulation_key_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIPS 203 section 7.2."""
    world = breaking(monkeypatch, lambda self: (KeyExchange(self.method, b"\xff" * 1184),))
    assert "encapsulation key" in world.right.failures[0].error.message


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_round_too_few_or_too_many(rounds: int) -> None:
    """RFC 9242 section 5: "the responder would know the exact number of these exchanges"."""
    world = World()
    world.connect(connection("left", ike=(HYBRID,)), connection("right", ike=(HYBRID,)))
    sa = next(iter(world.left.endpoint._sas.values()))

    def begin(suite: IkeSuite) -> None:
        del suite
        sa.intermediate = Intermediate([KeyExchangeId.ML_KEM_768] * rounds)

    sa.begin_intermediate = begin  # type: ignore[method-assign]
    world.run(60)
    assert not world.left.installed
    assert not world.right.installed
    assert not world.right.sas
    (failure,) = world.right.failures
    assert (
        "ML_KEM_768 was agreed on" in failure.error.message
        if rounds == 0
        else "no key exchange is left" in str(failure.error)
    )
