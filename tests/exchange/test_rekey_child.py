"""Rekeying of Child SAs, both ends in simulated time (RFC 7296 sections 1.3.3, 2.8, 2.8.1 and 2.25.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.errors import CaponierError, EngineError
from caponier.protocols.ike.effects import ChildSa, Effect, InstallChildSa
from caponier.protocols.ike.events import ChildSaInstalled, ChildSaRemoved, IkeSaClosed
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Retransmission, Settings, Start
from caponier.protocols.ike.v2.child_sa import Replacement
from caponier.protocols.ike.v2.exchanges.rekey_child import is_redundant
from caponier.protocols.ike.v2.timers import FRESH_SECONDS, REKEY_RETRY_SECONDS, RETIRED_SECONDS
from tests.exchange.world import Host, Weather, World, assert_tunnel, child, connection, up

ESP = ProtocolId.ESP


def sending(host: Host) -> ChildSa:
    """The Child SA that a data plane sends on: the newest but for those that defer to another one that is there."""
    candidates = [each for each in host.installed.values() if each.defers_to not in host.installed]
    return candidates[-1]


def rekey(world: World, side: str) -> None:
    host = world.host(side)
    host.endpoint.rekey_child(ESP, sending(host).spi_in, world.now)
    world.settle()


def only_spi(host: Host) -> int:
    (spi,) = host.installed
    return spi


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("esp", ["aes256gcm16", "aes256gcm16-x25519", "aes128-sha256-esn-noesn"])
def test_a_new_one_replaces_the_old_one(side: str, esp: str) -> None:
    """Section 1.3.3: new SPIs, new keys, the old one deleted, by either role of the IKE SA."""
    world = up(esp=esp)
    before = dict(world.left.keys)
    old = {only_spi(world.left), only_spi(world.right)}
    rekey(world, side)
    world.run(1)
    assert_tunnel_but_for_retired(world)
    assert old.isdisjoint({only_spi(world.left), only_spi(world.right)})
    assert world.left.keys[only_spi(world.left)] not in before.values()
    world.run(RETIRED_SECONDS)
    assert_tunnel(world)
    reasons = [event.reason for event in world.left.happened(ChildSaRemoved) if isinstance(event, ChildSaRemoved)]
    assert reasons == ["rekeyed"]


def assert_tunnel_but_for_retired(world: World, children: int = 1) -> None:
    for host in (world.left, world.right):
        host.spis -= set(host.retired)
    assert_tunnel(world, children)
    for host in (world.left, world.right):
        host.spis |= set(host.retired)


def test_nothing_is_sent_that_nobody_can_receive() -> None:
    """Section 2.8: at every instant each side sends on a Child SA on which the other one receives, and goes on doing so
    for as long as a packet may be under way."""
    for seed in range(20):
        world = World(seed=seed, weather=Weather(loss=0.2, duplication=0.2, delay=0.4))
        world.connect(connection("left"), connection("right"))
        world.run(60)
        rekey(world, "left" if seed % 2 else "right")
        for _ in range(400):
            world.run(0.05)
            for here, there in ((world.left, world.right), (world.right, world.left)):
                assert sending(here).spi_out in {**there.installed, **there.retired}
        assert_tunnel(world)


def test_the_responder_goes_on_sending_on_the_old_one() -> None:
    """Section 2.8: the responder "MAY defer sending on an SA" until it knows that the initiator is ready."""
    world = up()
    old = sending(world.right)
    world.middle = swallowing_responses("right")
    rekey(world, "left")
    world.run(0.1)
    assert len(world.right.installed) == 2
    assert sending(world.right) == old
    world.middle = lambda _side, octets, path: (octets, path)
    world.run(30)
    assert sending(world.right) != old
    assert_tunnel(world)


def swallowing_responses(side: str):  # type: ignore[no-untyped-def]
    """A network that loses what this side answers."""

    def middle(sender: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        return None if sender == side and decode_header(octets).is_response else (octets, path)

    return middle


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_both_sides_at_once(loss: float) -> None:
    """Section 2.8.1: one of the two new ones stays, the same on both sides, whatever is lost or late."""
    redundant = 0
    for seed in range(60):
        patient = Settings(retransmission=Retransmission(factor=1.3, attempts=15))
        world = World(seed=seed, settings=patient, weather=Weather(loss=loss, duplication=0.2, delay=0.5))
        world.connect(connection("left"), connection("right"))
        world.run(60)
        old = set(world.left.installed)
        rekey(world, "left")
        world.run(0.01 * (seed % 7))
        rekey(world, "right")
        world.run(120)
        assert_tunnel(world)
        assert old.isdisjoint(world.left.installed)
        assert not world.left.happened(IkeSaClosed)
        reasons = [event.reason for event in world.left.happened(ChildSaRemoved) if isinstance(event, ChildSaRemoved)]
        redundant += any("both sides" in reason for reason in reasons)
    assert redundant  # the case was met


@pytest.mark.parametrize(
    ("ours", "theirs", "goes"), [(b"\1", b"\2", True), (b"\2", b"\1", False), (b"\1\0", b"\1\1", True)]
)
def test_the_lowest_nonce_loses(ours: bytes, theirs: bytes, *, goes: bool) -> None:
    """Section 2.8.1: nonces are compared octet by octet, and the exchange with the lowest one made the one that goes."""
    assert is_redundant(Replacement(None, ours), theirs) is goes  # type: ignore[arg-type]


@pytest.mark.parametrize("who_deletes", ["left", "right"])
def test_rekeyed_here_and_deleted_there(who_deletes: str) -> None:
    """Section 2.25.1: a Delete crosses the rekeying; both sides agree in the end, and no SPI is lost."""
    for seed in range(30):
        world = World(seed=seed, weather=Weather(loss=0.1, duplication=0.2, delay=0.5))
        world.connect(connection("left"), connection("right"))
        world.run(60)
        rekey(world, "left")
        world.run(0.03 * (seed % 9))
        world.host(who_deletes).endpoint.terminate("office", world.now, "lan")
        world.settle()
        world.run(120)
        assert_tunnel(world, children=len(world.left.installed))
        if who_deletes == "left":
            assert not world.left.installed  # who brings it down while rekeying it wants none


def test_a_child_sa_that_the_peer_does_not_have_is_made_anew() -> None:
    """Section 2.25.1: CHILD_SA_NOT_FOUND: "SHOULD silently delete the Child SA and send a request to create a new one"."""
    world = up()
    world.run(FRESH_SECONDS)
    sa = next(iter(world.right.endpoint._sas.values()))
    record = next(iter(sa.children))
    sa.children.remove(record, "forgotten")
    world.settle()
    rekey(world, "left")
    world.run(5)
    assert_tunnel(world)
    assert not world.right.failures  # the game's rules: nothing for a person
    assert len(world.left.happened(ChildSaInstalled)) == 2


def test_one_that_the_peer_has_not_installed_yet_is_not_given_up() -> None:
    """The peer asks for a successor, and before it reads our answer we ask it to replace that one: it does not know it yet
    (section 2.25.1 speaks of one that is gone)."""
    world = up()
    answers: list[tuple[bytes, Path]] = []

    def holding_back(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        if side == "right" and decode_header(octets).is_response and len(world.right.installed) == 2 and not answers:
            answers.append((octets, path))
            return None
        return octets, path

    world.middle = holding_back
    rekey(world, "left")
    world.run(0.1)
    (fresh,) = (spi for spi, each in world.right.installed.items() if each.defers_to is not None)
    world.right.endpoint.rekey_child(ESP, fresh, world.now)
    world.settle()
    world.run(60)
    assert_tunnel(world)
    assert fresh not in world.right.installed
    assert len(world.left.happened(ChildSaInstalled)) == 3


def test_not_now_means_later() -> None:
    """Section 2.25: after TEMPORARY_FAILURE the request comes again, and not at once."""
    world = up()
    old = only_spi(world.left)
    trouble: list[CaponierError] = [EngineError("no room")]

    def refuse(effect: Effect) -> CaponierError | None:
        return trouble.pop() if isinstance(effect, InstallChildSa) and trouble else None

    world.right.refuse = refuse
    rekey(world, "left")
    world.run(REKEY_RETRY_SECONDS - 1)
    assert only_spi(world.left) == old
    world.run(REKEY_RETRY_SECONDS + RETIRED_SECONDS)
    assert only_spi(world.left) != old
    assert_tunnel(world)


def test_a_second_replacement_has_to_wait() -> None:
    """Section 2.25.1: what is about to go is not rekeyed again."""
    world = up()
    world.middle = swallowing_responses("right")
    rekey(world, "left")
    world.run(0.1)
    rekey(world, "right")
    world.middle = lambda _side, octets, path: (octets, path)
    world.run(60)
    assert_tunnel(world)
    assert not world.left.failures
    assert not world.right.failures


def test_asking_twice_rekeys_once() -> None:
    world = up()
    spi = only_spi(world.left)
    for _ in range(3):
        world.left.endpoint.rekey_child(ESP, spi, world.now)
    world.settle()
    world.run(10)
    assert len(world.left.happened(ChildSaInstalled)) == 2
    world.left.endpoint.rekey_child(ESP, spi, world.now)  # it is gone
    world.run(10)
    assert len(world.left.happened(ChildSaInstalled)) == 2


def test_a_refused_rekeying_leaves_the_old_one() -> None:
    """Section 1.3.3: what cannot be agreed on any more costs nothing but the rekeying."""
    world = up(esp="aes256gcm16-x25519")
    sa = next(iter(world.right.endpoint._sas.values()))
    assert sa.connection is not None
    sa.connection = replace(sa.connection, children=(child("lan", "10.2.0.0/16", "10.1.0.0/16", "aes128-sha256"),))
    rekey(world, "left")
    world.run(5)
    assert_tunnel(world)
    (failure,) = world.left.failures
    assert failure.child == "lan"
    assert getattr(failure.error, "notify", None) == NotifyType.NO_PROPOSAL_CHOSEN


def test_deleting_one_child_by_its_spi() -> None:
    world = World()
    world.connect(replace(connection("left"), start=Start.MANUAL), connection("right"))
    world.run(1)
    for _ in range(2):
        world.left.endpoint.expire_child(ESP, next(iter(world.left.installed), 0), world.now)
    world.settle()
    world.run(5)
    assert_tunnel(world, children=0)
    (gone,) = world.left.happened(ChildSaRemoved)
    assert isinstance(gone, ChildSaRemoved)
    assert gone.reason == "its lifetime is over"


def test_a_peer_that_rekeys_and_never_deletes_fills_nothing() -> None:
    """Our limit: each successor counts until what it replaces is gone."""
    world = up()
    for _ in range(200):
        rekey(world, "left")
        world.run(0.2)
    limit = world.settings.limits.children_per_ike_sa
    assert len(world.right.spis) <= 2 * limit
    world.run(60)
    rekey(world, "left")
    world.run(60)
    assert_tunnel(world)


def test_the_rekeying_names_what_it_replaces() -> None:
    """Section 1.3.3: one CREATE_CHILD_SA, one INFORMATIONAL with the Delete, and their answers."""
    world = up()
    before = len(world.sent)
    rekey(world, "left")
    world.run(2)
    exchanges = [decode_header(octets).exchange for _, octets, _ in world.sent[before:]]
    assert exchanges == [ExchangeType.CREATE_CHILD_SA] * 2 + [ExchangeType.INFORMATIONAL] * 2
