"""Several key exchanges in CREATE_CHILD_SA, both ends in simulated time (RFC 9370 section 2.2.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType
from caponier.protocols.ike.events import ChildSaRemoved, IkeSaClosed
from caponier.protocols.ike.messages.message import Message, decode_header
from caponier.protocols.ike.messages.payloads import KeyExchange, Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Retransmission, Settings
from caponier.protocols.ike.v2.exchanges.followup import FollowupRequest
from caponier.protocols.ike.v2.followups import MAX_PENDING
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.timers import FOLLOWUP_SECONDS, REKEY_RETRY_SECONDS, RETIRED_SECONDS
from tests.exchange.test_rekey_child import assert_tunnel_but_for_retired, only_spi
from tests.exchange.test_rekey_child import rekey as rekey_child
from tests.exchange.test_rekey_ike import only_id
from tests.exchange.test_rekey_ike import rekey as rekey_ike
from tests.exchange.world import Weather, World, assert_tunnel, child, connection, up

IKE = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_ecp256"
ESP = "aes256gcm16-x25519-ke1_mlkem768-ke3_mlkem512"
SINGLE = "aes256gcm16-x25519"
PATIENT = Settings(retransmission=Retransmission(factor=1.3, attempts=15))
CREATE, FOLLOW = ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE


def pair(seed: int = 1, weather: Weather | None = None, esp: str = ESP, ike: str = IKE) -> World:
    world = World(seed=seed, settings=PATIENT, weather=weather or Weather())
    world.connect(connection("left", ike=(ike,), esp=esp), connection("right", ike=(ike,), esp=esp))
    world.run(100)
    assert_tunnel(world)
    return world


def messages_of(world: World, side: str, since: int) -> list[ExchangeType]:
    """The exchange of each message that a side sent: one in fragments counts once (RFC 7383 section 2.5)."""
    headers = (decode_header(octets) for sender, octets, _ in world.sent[since:] if sender == side)
    return [each[0] for each in dict.fromkeys((h.exchange, h.message_id, h.is_response, h.spi_i) for h in headers)]


def of_left(world: World, since: int) -> list[ExchangeType]:
    return messages_of(world, "left", since)


def assert_nothing_pending(world: World) -> None:
    world.run(FOLLOWUP_SECONDS + 1)
    for host in (world.left, world.right):
        for sa in host.endpoint._sas.values():
            assert len(sa.followups) == 0
            assert sa.succession.pending is None
        assert host.spis == set(host.installed)
        assert not host.endpoint._waiting


# -- the names are those of strongSwan's test suite (CHECKLISTS, section 2)


@pytest.mark.parametrize("side", ["left", "right"])
def test_child_rekey_regular_multi_ke(side: str) -> None:
    """One CREATE_CHILD_SA, one IKE_FOLLOWUP_KE for each additional key exchange, then the Delete."""
    world = pair()
    old, keys, before = only_spi(world.left), set(world.left.keys.values()), len(world.sent)
    rekey_child(world, side)
    world.run(2)
    assert_tunnel_but_for_retired(world)
    requests = messages_of(world, side, before)
    assert requests == [CREATE, FOLLOW, FOLLOW, ExchangeType.INFORMATIONAL]
    assert only_spi(world.left) != old
    assert world.left.keys[only_spi(world.left)] not in keys
    assert world.left.sas[0].children[0].suite == ESP
    assert world.left.sas[0].children[0].quantum_safe == ("ML-KEM-768", "ML-KEM-512")
    world.run(RETIRED_SECONDS)
    assert_tunnel(world)


@pytest.mark.parametrize("side", ["left", "right"])
def test_ike_rekey_regular_multi_ke(side: str) -> None:
    world = pair()
    old, before = only_id(world), len(world.sent)
    rekey_ike(world, side)
    world.run(2)
    assert_tunnel(world)
    assert only_id(world) != old
    requests = messages_of(world, side, before)
    assert requests == [CREATE, FOLLOW, FOLLOW, ExchangeType.INFORMATIONAL]
    assert world.left.sas[0].suite == IKE
    rekey_child(world, "left")
    world.run(10)
    assert_tunnel(world)


def test_a_further_child_sa() -> None:
    """Section 2.2.4: an additional Child SA too; none of it in IKE_AUTH (RFC 7296 section 1.2)."""
    world = World()
    children = [
        (child("lan", *networks, ESP), child("voice", *voice, ESP))
        for networks, voice in (
            (("10.1.0.0/16", "10.2.0.0/16"), ("10.5.0.0/16", "10.6.0.0/16")),
            (("10.2.0.0/16", "10.1.0.0/16"), ("10.6.0.0/16", "10.5.0.0/16")),
        )
    ]
    world.connect(connection("left", children=children[0]), connection("right", children=children[1]))
    world.run(2)
    assert_tunnel(world, children=2)
    safe = {each.name: each.quantum_safe for each in world.left.sas[0].children}
    assert safe == {"lan": (), "voice": ("ML-KEM-768", "ML-KEM-512")}
    assert of_left(world, 0)[-3:] == [CREATE, FOLLOW, FOLLOW]


@pytest.mark.parametrize(("rekey", "kind"), [(rekey_child, "child"), (rekey_ike, "ike")])
def test_regular_ke_invalid_multi_ke(rekey: Callable[[World, str], None], kind: str) -> None:
    """RFC 7296 section 1.3: INVALID_KE_PAYLOAD names another group; the further key exchanges follow all the same."""
    ike = IKE.replace("x25519", "x25519-ecp384") if kind == "ike" else IKE
    world = pair(ike=ike, esp=ESP.replace("x25519", "x25519-ecp384"))
    sa = next(iter(world.right.endpoint._sas.values()))
    assert sa.connection is not None
    choosy = connection("right", ike=(IKE.replace("x25519", "ecp384"),), esp=ESP.replace("x25519", "ecp384"))
    sa.connection = choosy
    rekey(world, "left")
    world.run(20)
    assert_tunnel(world)
    suite = world.left.sas[0].suite if kind == "ike" else world.left.sas[0].children[0].suite
    assert "ecp384-ke1_mlkem768" in suite


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_child_rekey_collision_multi_ke(loss: float) -> None:
    """Section 2.2.4: who began the exchange with the lowest nonce "just stops the rekeying process"."""
    stopped = 0
    for seed in range(40):
        world = pair(seed, Weather(loss=loss, duplication=0.2, delay=0.5))
        old, before = set(world.left.installed), len(world.sent)
        rekey_child(world, "left")
        world.run(0.01 * (seed % 7))
        rekey_child(world, "right")
        world.run(200)
        assert_tunnel(world)
        assert old.isdisjoint(world.left.installed)
        assert not world.left.happened(IkeSaClosed)
        assert not world.left.failures
        assert not world.right.failures
        followers = {
            side
            for side, octets, _ in world.sent[before:]
            if decode_header(octets).exchange == FOLLOW and not decode_header(octets).is_response
        }
        stopped += len(followers) == 1
        assert_nothing_pending(world)
    assert stopped


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_ike_rekey_collision_multi_ke(loss: float) -> None:
    for seed in range(40):
        world = pair(seed, Weather(loss=loss, duplication=0.2, delay=0.5))
        old = only_id(world)
        rekey_ike(world, "left")
        world.run(0.01 * (seed % 7))
        rekey_ike(world, "right")
        world.run(400)
        assert_tunnel(world)
        assert only_id(world) != old
        assert not world.left.happened(ChildSaRemoved)
        assert_nothing_pending(world)


@pytest.mark.parametrize("rekey", [rekey_child, rekey_ike])
@pytest.mark.parametrize("multi", ["left", "right"])
def test_collision_mixed(rekey: Callable[[World, str], None], multi: str) -> None:
    """One side rekeys with several key exchanges, the other one with one."""
    for seed in range(40):
        weather = Weather(loss=0.1, duplication=0.2, delay=0.5)
        both_ike, both_esp = (IKE, "aes256gcm16-prfsha384-x25519"), (ESP, SINGLE)
        world = World(seed=seed, settings=PATIENT, weather=weather)
        sides = {}
        for side in ("left", "right"):
            first = 0 if side == multi else 1
            wanted = connection(side, ike=(both_ike[first], both_ike[1 - first]))
            networks = (wanted.children[0].local, wanted.children[0].remote)
            policy = wanted.children[0]
            proposals = tuple(
                connection(side, esp=text).children[0].proposals[0] for text in (both_esp[first], both_esp[1 - first])
            )
            assert networks
            sides[side] = replace(wanted, children=(replace(policy, proposals=proposals),))
        world.connect(sides["left"], sides["right"])
        world.run(100)
        rekey(world, "left")
        world.run(0.01 * (seed % 7))
        rekey(world, "right")
        world.run(400)
        assert_tunnel(world)
        assert_nothing_pending(world)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_everything_at_once_multi_ke(loss: float) -> None:
    """collision_delayed_* and collision_delete_* of both kinds, at any instants: both sides agree in the end."""
    for seed in range(40):
        world = pair(seed, Weather(loss=loss, duplication=0.2, delay=0.6))
        moves = [(rekey_ike, "left"), (rekey_ike, "right"), (rekey_child, "left"), (rekey_child, "right")]
        for _ in range(4):
            move, side = world.random.choice(moves)
            if world.host(side).installed:
                move(world, side)
            world.run(world.random.uniform(0, 0.9))
        world.run(600)
        assert_tunnel(world)
        assert_nothing_pending(world)
        for host in (world.left, world.right):
            assert len(host.endpoint._sas) == 1
            assert not host.retired


@pytest.mark.parametrize("who", ["left", "right"])
@pytest.mark.parametrize("rekey", [rekey_child, rekey_ike])
def test_collision_delete_multi_ke(rekey: Callable[[World, str], None], who: str) -> None:
    """The Child SA, or all of it, is brought down while it is being rekeyed: no SPI stays behind."""
    for seed in range(30):
        world = pair(seed, Weather(loss=0.1, duplication=0.2, delay=0.5))
        rekey(world, "left")
        world.run(0.05 * (seed % 20))
        name = "lan" if rekey is rekey_child else None
        world.host(who).endpoint.terminate("office", world.now, name)
        world.settle()
        world.run(600)
        if name is None:
            assert not world.left.spis
            assert not world.right.spis
        else:
            assert_tunnel(world, children=len(world.left.installed))
            assert_nothing_pending(world)


# -- a peer that breaks the rules, or is gone


def first_link(message: FollowupRequest) -> tuple[Notify, ...]:
    return (Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, data=message.link),)


@pytest.mark.parametrize(
    ("payloads", "notify"),
    [
        (lambda self: (KeyExchange(self.method, self.public),), NotifyType.STATE_NOT_FOUND),
        (
            lambda self: (
                KeyExchange(self.method, self.public),
                Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, data=bytes(16)),
            ),
            NotifyType.STATE_NOT_FOUND,
        ),
    ],
    ids=["no link", "another link"],
)
def test_a_link_that_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, payloads: Callable[[FollowupRequest], object], notify: NotifyType
) -> None:
    """Section 2.2.4: STATE_NOT_FOUND; the old Child SA goes on, and the rekeying comes later."""
    world = pair()
    old = only_spi(world.left)
    honest = FollowupRequest.payloads
    monkeypatch.setattr(FollowupRequest, "payloads", payloads)
    seen: list[NotifyType] = []
    read = FollowupRequest.read

    def watching(self: FollowupRequest, reply: Message) -> Message:
        seen.extend(each.type for each in reply.error_notifies)
        return read(self, reply)

    monkeypatch.setattr(FollowupRequest, "read", watching)
    rekey_child(world, "left")
    world.run(REKEY_RETRY_SECONDS - 1)
    assert seen == [notify]
    assert only_spi(world.left) == old
    monkeypatch.setattr(FollowupRequest, "payloads", honest)
    world.run(3 * REKEY_RETRY_SECONDS)
    assert only_spi(world.left) != old
    assert_nothing_pending(world)
    assert_tunnel(world)
    assert not world.left.failures


def test_the_wrong_method(monkeypatch: pytest.MonkeyPatch) -> None:
    world = pair()
    wrong = KeyExchangeId.ML_KEM_1024
    monkeypatch.setattr(FollowupRequest, "payloads", lambda self: (KeyExchange(wrong, bytes(1568)), *first_link(self)))
    rekey_child(world, "left")
    world.run(400)
    assert not world.right.sas
    assert "ML_KEM_768 is next" in str(world.right.happened(IkeSaClosed))
    for host in (world.left, world.right):
        assert not host.spis


@pytest.mark.parametrize("rekey", [rekey_child, rekey_ike])
def test_a_peer_that_does_not_go_on(rekey: Callable[[World, str], None]) -> None:
    """What was begun and not gone on with is bounded, and given up after a while: SPI, secrets, the place in the limit."""
    world = pair()
    (left,), (right,) = world.left.endpoint._sas.values(), world.right.endpoint._sas.values()
    world.middle = swallowing_followups
    for _ in range(2 * MAX_PENDING):
        rekey(world, "left")
        world.run(0.5)
        left.requests.close()  # the peer forgets what it was about, and begins anew with the message id that was lost
        left.phase, left.succession.is_following_up = Phase.ESTABLISHED, False
        if left.requests._next_id > right.responses._expected:
            left.requests._next_id -= 1
        assert 1 <= len(right.followups) <= MAX_PENDING
    world.run(FOLLOWUP_SECONDS + 1)
    assert len(right.followups) == 0
    assert right.succession.pending is None
    assert world.right.spis == set(world.right.installed)


def swallowing_followups(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
    return None if decode_header(octets).exchange == FOLLOW else (octets, path)


def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE_NOT_FOUND where the pause was too long; the initiator begins anew (section 2.2.4)."""
    monkeypatch.setattr("caponier.protocols.ike.v2.followups.FOLLOWUP_SECONDS", 0.5)
    world = World(settings=PATIENT)
    world.connect(connection("left", ike=(IKE,), esp=ESP), connection("right", ike=(IKE,), esp=ESP))
    world.run(20)
    old = only_spi(world.left)
    rekey_child(world, "left")
    world.middle = swallowing_followups
    world.run(3)
    world.middle = lambda _side, octets, path: (octets, path)
    world.run(REKEY_RETRY_SECONDS * 3)
    assert only_spi(world.left) != old
    assert_tunnel(world)
    assert not world.left.failures


def test_additional_to_nothing() -> None:
    """An additional key exchange needs one that it is additional to."""
    world = up(esp="aes256gcm16-x25519-none-ke1_mlkem768-ke1_none")
    rekey_child(world, "left")
    world.run(10)
    assert_tunnel(world)
    assert world.left.sas[0].children[0].suite == "aes256gcm16-x25519-ke1_mlkem768"


def test_duplicates_are_answered_from_what_was_answered() -> None:
    """Each round has a new link; a retransmission does not reach it."""
    world = pair(weather=Weather(duplication=1.0))
    rekey_child(world, "left")
    world.run(10)
    assert_tunnel(world)
    assert_nothing_pending(world)
