"""Further Child SAs, both ends in simulated time (RFC 7296 sections 1.3.1, 1.4.1, 2.9, 2.17)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.errors import EngineError, MisuseError, NoProposalChosen, PeerRejected, TsUnacceptable
from caponier.protocols.ike.effects import AllocateSpi, Effect, InstallChildSa
from caponier.protocols.ike.events import ChildSaInstalled, ChildSaRemoved
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, Limits, Settings
from tests.exchange.world import Weather, World, assert_tunnel, child, connection, up

LAN = child("lan", "10.1.0.0/16", "10.2.0.0/16")
VOICE = child("voice", "10.11.0.0/16", "10.12.0.0/16")


def mirrored(policy: ChildPolicy) -> ChildPolicy:
    return replace(policy, local=policy.remote, remote=policy.local)


def both(*policies: ChildPolicy) -> tuple[Connection, Connection]:
    """Left and right, with the same children."""
    return connection("left", children=policies), connection("right", children=tuple(map(mirrored, policies)))


def exchanges(world: World) -> list[int]:
    return [decode_header(octets).exchange for _, octets, _ in world.sent]


def test_the_first_child_comes_with_ike_auth_and_the_others_after_it() -> None:
    """Sections 1.2 and 1.3.1."""
    world = World()
    world.connect(*both(LAN, VOICE, child("v6", "fd00:1::/64", "fd00:2::/64")))
    world.run(1)
    assert_tunnel(world, children=3)
    assert exchanges(world).count(ExchangeType.CREATE_CHILD_SA) == 4
    assert {each.name for each in world.right.sas[0].children} == {"lan", "voice", "v6"}


@pytest.mark.parametrize("esp", ["aes256gcm16-x25519", "aes128-sha256-ecp256", "chacha20poly1305-modp2048"])
def test_a_key_exchange_of_its_own(esp: str) -> None:
    """Section 1.3.1: KEi and KEr give the Child SA forward secrecy; the first one has that of IKE_SA_INIT."""
    world = World()
    world.connect(*both(LAN, child("voice", "10.11.0.0/16", "10.12.0.0/16", esp)))
    world.run(1)
    assert_tunnel(world, children=2)


def test_the_group_that_the_responder_wants() -> None:
    """Section 1.3: INVALID_KE_PAYLOAD in CREATE_CHILD_SA names another group of ours."""
    world = World()
    voice = child("voice", "10.11.0.0/16", "10.12.0.0/16", "aes256gcm16-x25519-ecp256")
    theirs = mirrored(child("voice", "10.11.0.0/16", "10.12.0.0/16", "aes256gcm16-ecp256"))
    world.connect(connection("left", children=(LAN, voice)), connection("right", children=(mirrored(LAN), theirs)))
    world.run(1)
    assert_tunnel(world, children=2)
    assert exchanges(world).count(ExchangeType.CREATE_CHILD_SA) == 4
    proposal = next(each for each in world.left.sas[0].children if each.name == "voice")
    assert proposal.suite == "aes256gcm16-ecp256"


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_children_of_both_sides_at_once(loss: float) -> None:
    """Both directions are independent (section 2.3): each side asks while it answers."""
    for seed in range(10):
        world = World(seed=seed, weather=Weather(loss=loss, duplication=0.2, delay=0.3))
        left = connection("left", children=(LAN, VOICE))
        right = connection("right", children=(mirrored(LAN), mirrored(VOICE)))
        world.connect(left, right)
        world.run(100)
        world.left.endpoint.terminate("office", world.now, "voice")
        world.right.endpoint.terminate("office", world.now, "lan")
        world.settle()
        world.run(100)
        assert not world.left.installed
        world.left.endpoint.initiate_child("office", "lan", world.now)
        world.right.endpoint.initiate_child("office", "voice", world.now)
        world.settle()
        world.run(100)
        assert_tunnel(world, children=2)


def test_asking_again_makes_nothing_twice() -> None:
    world = up()
    world.left.endpoint.initiate_child("office", "lan", world.now)
    world.initiate("left")
    world.run(5)
    assert_tunnel(world)
    assert len(world.left.happened(ChildSaInstalled)) == 1


def test_a_deleted_child_leaves_the_ike_sa() -> None:
    """Section 1.4.1: "The recipient ... SHALL respond with a Delete for the other direction"."""
    world = World()
    world.connect(*both(LAN, VOICE))
    world.run(1)
    world.right.endpoint.terminate("office", world.now, "voice")
    world.settle()
    world.run(5)
    assert_tunnel(world, children=1)
    (gone,) = world.left.happened(ChildSaRemoved)
    assert isinstance(gone, ChildSaRemoved)
    assert gone.name == "voice"
    assert "the peer" in gone.reason


def test_both_delete_the_same_child() -> None:
    """Section 1.4.1: Deletes that cross: "the reply ... MUST NOT include" what was deleted already."""
    world = World()
    world.connect(*both(LAN, VOICE))
    world.run(1)
    world.left.endpoint.terminate("office", world.now, "voice")
    world.right.endpoint.terminate("office", world.now, "voice")
    world.settle()
    world.run(5)
    assert_tunnel(world, children=1)


def test_a_refused_child_leaves_the_others() -> None:
    """Section 1.3.1: NO_PROPOSAL_CHOSEN and TS_UNACCEPTABLE are about the Child SA alone."""
    world = World()
    right = connection(
        "right",
        children=(mirrored(LAN), mirrored(child("voice", "10.11.0.0/16", "10.12.0.0/16", "aes128-sha256"))),
    )
    world.connect(connection("left", children=(LAN, VOICE, child("other", "10.77.0.0/16", "10.78.0.0/16"))), right)
    world.run(5)
    assert_tunnel(world, children=1)
    ours, theirs = world.left.failures, world.right.failures
    assert [failure.child for failure in ours] == ["voice", "other"]
    assert [failure.error.setting for failure in ours] == ["child.voice.proposals", "child.other.remote"]
    assert all(isinstance(failure.error, PeerRejected) for failure in ours)
    assert [type(failure.error) for failure in theirs] == [NoProposalChosen, TsUnacceptable]
    assert "aes256gcm16" in str(theirs[0].error.offered)  # type: ignore[attr-defined]


def test_a_refused_first_child_leaves_the_ike_sa() -> None:
    """Section 1.2: the IKE SA is made although its first Child SA is not."""
    world = World()
    world.connect(connection("left"), connection("right", children=(mirrored(VOICE),)))
    world.run(5)
    assert_tunnel(world, children=0)
    assert world.left.failures[0].child == "lan"
    assert isinstance(world.left.failures[0].error, PeerRejected)
    assert world.left.failures[0].error.notify == NotifyType.TS_UNACCEPTABLE


def test_no_more_children_than_allowed() -> None:
    """Our limit, told by NO_ADDITIONAL_SAS (section 1.3)."""
    names = [child(f"c{number}", f"10.1.{number}.0/24", f"10.2.{number}.0/24") for number in range(4)]
    world = World(settings=Settings(limits=Limits(children_per_ike_sa=2)))
    world.left.endpoint.settings = Settings()
    world.connect(*both(*names))
    world.run(5)
    assert_tunnel(world, children=2)
    assert {failure.error.notify for failure in world.left.failures if isinstance(failure.error, PeerRejected)} == {
        NotifyType.NO_ADDITIONAL_SAS
    }


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [AllocateSpi, InstallChildSa])
def test_a_data_plane_that_refuses_costs_the_child_and_leaks_nothing(side: str, kind: type[Effect]) -> None:
    world = World()
    world.host(side).refuse = lambda effect: EngineError("no room") if isinstance(effect, kind) else None
    world.connect(*both(LAN, VOICE))
    world.run(30)
    assert not world.host(side).installed
    assert not world.host(side).spis
    assert world.host(side).failures
    world.host(side).refuse = lambda _: None
    world.run(300)
    if not world.left.sas:
        world.initiate("left")
        world.run(5)
    world.initiate("left")
    world.run(5)
    assert len(world.host(side).installed) == 2
    assert world.host(side).spis == set(world.host(side).installed)


def test_what_does_not_exist_cannot_be_asked_for() -> None:
    endpoint = up().left.endpoint
    with pytest.raises(MisuseError):
        endpoint.initiate_child("office", "nothing", 1)
    with pytest.raises(MisuseError):
        endpoint.terminate("nothing", 1)
    with pytest.raises(MisuseError):
        endpoint.terminate("office", 1, "nothing")


@pytest.mark.parametrize("is_rekeying", [False, True])
def test_deleted_before_the_answer_came_that_made_it(*, is_rekeying: bool) -> None:
    """Section 2.3: the two directions are independent, so that the responder's Delete of a Child SA may overtake its answer
    that made it. Nobody keeps one that the other side does not have."""
    world = World()
    world.connect(*both(LAN, VOICE))
    world.run(1)
    if not is_rekeying:
        world.left.endpoint.terminate("office", world.now, "voice")
        world.settle()
        world.run(10)
    before, held = set(world.right.installed), []

    def holding_back(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        header = decode_header(octets)
        if side == "right" and header.is_response and header.exchange == ExchangeType.CREATE_CHILD_SA and not released:
            held.append((octets, path))
            return None
        return octets, path

    released: list[bool] = []
    world.middle = holding_back
    if is_rekeying:
        spi = next(spi for spi, each in world.left.installed.items() if each.name == "voice")
        world.left.endpoint.rekey_child(ProtocolId.ESP, spi, world.now)
        world.settle()
    else:
        world.left.endpoint.initiate_child("office", "voice", world.now)
        world.settle()
    world.run(0.5)
    (made,) = set(world.right.installed) - before
    world.right.endpoint.expire_child(ProtocolId.ESP, made, world.now)
    world.settle()
    world.run(0.3)
    released.append(True)
    world.run(60)
    assert held
    assert_tunnel(world, children=len(world.left.installed))
    assert made not in world.right.installed
