"""Collisions and accidents of rekeying, by the names that the field's suites give them (RFC 7296 sections 2.8.1, 2.8.2 and 2.25).

Each story holds messages back or loses them, and asks at the end for the same: both sides have the same IKE SA and the
same Child SAs, and no SPI is left over. Those with several key exchanges (``_multi_ke``, ``collision_mixed``) are not here.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Retransmission, Settings
from tests.exchange.test_rekey_child import ESP, only_spi, rekey
from tests.exchange.world import IKE, World, assert_tunnel, connection

CREATE, TELL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL
PATIENT = Settings(retransmission=Retransmission(factor=1.3, attempts=15))


class Post:
    """The messages between the two, of which some wait at the post office."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._held: list[tuple[str, bytes, Path]] = []
        self._rules: list[tuple[str, ExchangeType, bool]] = []
        self._lost: list[tuple[str, ExchangeType, bool]] = []
        world.middle = self._pass

    def hold(self, side: str, exchange: ExchangeType, *, response: bool = False) -> None:
        """Keep back what this side sends of this kind, until :meth:`release`."""
        self._rules.append((side, exchange, response))

    def lose_one(self, side: str, exchange: ExchangeType, *, response: bool = False) -> None:
        """Lose the next message of this kind."""
        self._lost.append((side, exchange, response))

    def release(self) -> None:
        """Deliver all that waits, in the order in which it was sent, and keep back nothing more."""
        self._rules.clear()
        held, self._held = self._held, []
        for side, octets, path in held:
            arrival = Path(path.remote, path.remote_port, path.local, path.local_port, path.encapsulated)
            self.world.deliver("right" if side == "left" else "left", octets, arrival)

    def _pass(self, side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        header = decode_header(octets)
        kind = (side, header.exchange, header.is_response)
        if kind in self._lost:
            self._lost.remove(kind)
            return None
        if kind in self._rules:
            self._held.append((side, octets, path))
            return None
        return octets, path


def tunnel(seed: int, *, left: dict[str, object] | None = None, right: dict[str, object] | None = None) -> World:
    world = World(seed=seed, settings=PATIENT)
    world.connect(connection("left", **(left or {})), connection("right", **(right or {})))  # type: ignore[arg-type]
    world.run(20)  # what is new counts as fresh for ten seconds
    assert_tunnel(world)
    return world


def rekey_ike(world: World, side: str) -> None:
    world.host(side).endpoint.rekey("office", world.now)
    world.settle()


def expire(world: World, side: str, spi: int) -> None:
    """This side deletes its Child SA."""
    world.host(side).endpoint.expire_child(ESP, spi, world.now)
    world.settle()


def down(world: World, side: str) -> None:
    world.host(side).endpoint.terminate("office", world.now)
    world.settle()


# -- child_rekey


def regular(world: World, post: Post) -> None:
    rekey(world, "left")


def regular_responder_ignore_soft_expire(world: World, post: Post) -> None:
    """Its own time comes when it has the successor already."""
    old = only_spi(world.right)
    post.hold("right", CREATE, response=True)
    rekey(world, "left")
    world.run(0.2)
    world.right.endpoint.rekey_child(ESP, old, world.now)
    world.settle()
    post.release()


def regular_responder_handle_hard_expire(world: World, post: Post) -> None:
    """The old one's life ends at the responder before the initiator deletes it."""
    old = only_spi(world.right)
    post.hold("left", TELL)
    rekey(world, "left")
    world.run(0.2)
    expire(world, "right", old)
    world.run(0.2)
    post.release()


def regular_responder_delete(world: World, post: Post) -> None:
    """The responder deletes the old one while its answer is on the way."""
    old = only_spi(world.right)
    post.hold("right", CREATE, response=True)
    rekey(world, "left")
    world.run(0.2)
    expire(world, "right", old)
    world.run(0.2)
    post.release()


def regular_responder_lost_sa(world: World, post: Post) -> None:
    """CHILD_SA_NOT_FOUND: the responder has nothing of that SPI."""
    (sa,) = world.right.endpoint._sas.values()
    for record in sa.children:
        sa.children.remove(record, "lost")
    world.settle()
    rekey(world, "left")


def regular_responder_incorrect_delete(world: World, post: Post) -> None:
    """The responder deletes the new one in place of the old one."""
    post.hold("left", TELL)
    rekey(world, "left")
    world.run(0.2)
    expire(world, "right", max(world.right.installed, key=list(world.right.installed).index))
    world.run(0.2)
    post.release()


def regular_delete_timeout(world: World, post: Post) -> None:
    """Nobody answers the Delete for a while."""
    for _ in range(4):
        post.lose_one("left", TELL)
    rekey(world, "left")


def collision(world: World, post: Post) -> None:
    rekey(world, "left")
    rekey(world, "right")


def collision_delayed_response(world: World, post: Post) -> None:
    """One side knows both successors before the other one knows its own."""
    post.hold("right", CREATE, response=True)
    collision(world, post)
    world.run(0.5)
    post.release()


def collision_delayed_response_delete(world: World, post: Post) -> None:
    """The same, and the Delete of the loser's comes before the answer that made it."""
    post.hold("right", CREATE, response=True)
    collision(world, post)
    world.run(0.5)
    expire(world, "right", next(iter(world.right.installed)))
    world.run(0.5)
    post.release()


def collision_delayed_request(world: World, post: Post) -> None:
    """One request comes when the other exchange is over and the old one is gone."""
    post.hold("left", CREATE)
    collision(world, post)
    world.run(8)
    post.release()


def collision_delayed_request_more(world: World, post: Post) -> None:
    """One request comes when the other exchange is over, and the old one is not deleted yet."""
    post.hold("left", CREATE)
    post.hold("right", TELL)
    collision(world, post)
    world.run(0.5)
    post.release()


def collision_delayed_request_more_delete(world: World, post: Post) -> None:
    """The same, and the Delete is answered before the late request comes."""
    post.hold("left", CREATE)
    collision(world, post)
    world.run(0.2)
    expire(world, "right", next(iter(world.right.installed)))
    world.run(0.2)
    post.release()


def collision_responder_incorrect_delete(world: World, post: Post) -> None:
    """Both rekey, and one of the two deletes the other's successor."""
    post.hold("left", TELL)
    collision(world, post)
    world.run(0.5)
    for spi in list(world.right.installed)[1:]:
        expire(world, "right", spi)
    world.run(0.2)
    post.release()


def collision_delete(world: World, post: Post) -> None:
    """One rekeys what the other one deletes (section 2.25.1)."""
    old = only_spi(world.right)
    rekey(world, "left")
    expire(world, "right", old)


def collision_delete_drop_delete(world: World, post: Post) -> None:
    post.lose_one("right", TELL)
    collision_delete(world, post)


def collision_delete_drop_rekey(world: World, post: Post) -> None:
    post.lose_one("left", CREATE)
    collision_delete(world, post)


def collision_delete_delayed_response(world: World, post: Post) -> None:
    post.hold("right", CREATE, response=True)
    collision_delete(world, post)
    world.run(0.5)
    post.release()


def collision_ike_rekey(world: World, post: Post) -> None:
    """One rekeys a Child SA, the other one the IKE SA (section 2.25.2)."""
    rekey(world, "left")
    rekey_ike(world, "right")


CHILD = (
    regular,
    regular_responder_ignore_soft_expire,
    regular_responder_handle_hard_expire,
    regular_responder_delete,
    regular_responder_lost_sa,
    regular_responder_incorrect_delete,
    regular_delete_timeout,
    collision,
    collision_delayed_response,
    collision_delayed_response_delete,
    collision_delayed_request,
    collision_delayed_request_more,
    collision_delayed_request_more_delete,
    collision_responder_incorrect_delete,
    collision_delete,
    collision_delete_drop_delete,
    collision_delete_drop_rekey,
    collision_delete_delayed_response,
    collision_ike_rekey,
)


#: One side deletes the old one and the other side the new one: nothing is left, and who wants it asks again.
BARE = (regular_responder_incorrect_delete, collision_responder_incorrect_delete)


def agree(world: World, post: Post, *, is_old_gone: Callable[[], bool], least: int = 1) -> None:
    """What all stories end with; a successor that only one side ever knew has its time to go."""
    post.release()
    world.run(400)
    assert is_old_gone()
    assert least <= len(world.left.installed) <= 2
    assert_tunnel(world, len(world.left.installed))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("story", CHILD, ids=lambda story: story.__name__)
def test_child_rekey(story: Callable[[World, Post], None], seed: int) -> None:
    world = tunnel(seed)
    old = set(world.left.installed)
    post = Post(world)
    story(world, post)
    agree(world, post, is_old_gone=lambda: old.isdisjoint(world.left.installed), least=int(story not in BARE))


OURS = {"esp": "aes256gcm16-x25519-ecp256"}
THEIRS = {"esp": "aes256gcm16-ecp256-x25519"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["regular_ke_invalid", "collision_ke_invalid", "collision_ke_invalid_delayed_retry"])
def test_child_rekey_with_another_group(name: str, seed: int) -> None:
    """INVALID_KE_PAYLOAD: each side likes another group best, so that each request is sent twice (section 1.3)."""
    world = tunnel(seed, left=OURS, right=THEIRS)  # type: ignore[arg-type]
    old = set(world.left.installed)
    post = Post(world)
    rekey(world, "left")
    if name != "regular_ke_invalid":
        rekey(world, "right")
    if name == "collision_ke_invalid_delayed_retry":
        world.run(0.021)
        post.hold("left", CREATE)
        world.run(1)
    agree(world, post, is_old_gone=lambda: old.isdisjoint(world.left.installed))


@pytest.mark.parametrize("seed", range(6))
def test_child_rekey_collision_ike_delete(seed: int) -> None:
    """One rekeys a Child SA, the other one ends the IKE SA: nothing is left of both."""
    world = tunnel(seed)
    rekey(world, "left")
    down(world, "right")
    world.run(150)
    for host in (world.left, world.right):
        assert not host.sas
        assert not host.installed
        assert not host.spis


# -- ike_rekey


def ike_regular(world: World, post: Post) -> None:
    rekey_ike(world, "left")


def ike_collision(world: World, post: Post) -> None:
    rekey_ike(world, "left")
    rekey_ike(world, "right")


def ike_collision_delayed_response(world: World, post: Post) -> None:
    post.hold("right", CREATE, response=True)
    ike_collision(world, post)
    world.run(0.5)
    post.release()


def ike_collision_dropped_request(world: World, post: Post) -> None:
    """One request is lost; it comes again when the other exchange is over."""
    post.lose_one("left", CREATE)
    ike_collision(world, post)


def ike_collision_delayed_request(world: World, post: Post) -> None:
    post.hold("left", CREATE)
    post.hold("right", TELL)
    ike_collision(world, post)
    world.run(0.5)
    post.release()


def ike_collision_delayed_request_and_delete(world: World, post: Post) -> None:
    """The late request comes to an IKE SA that is deleted."""
    post.hold("left", CREATE)
    ike_collision(world, post)
    world.run(0.5)
    post.release()


IKE_STORIES = (
    ike_regular,
    ike_collision,
    ike_collision_delayed_response,
    ike_collision_dropped_request,
    ike_collision_delayed_request,
    ike_collision_delayed_request_and_delete,
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("story", IKE_STORIES, ids=lambda story: story.__name__)
def test_ike_rekey(story: Callable[[World, Post], None], seed: int) -> None:
    world = tunnel(seed)
    old, children = world.left.sas[0].id, set(world.left.installed)
    post = Post(world)
    story(world, post)
    agree(world, post, is_old_gone=lambda: old not in {sa.id for sa in world.left.sas})
    assert set(world.left.installed) == children  # they are inherited


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["regular_ke_invalid", "collision_ke_invalid", "collision_ke_invalid_delayed_retry"])
def test_ike_rekey_with_another_group(name: str, seed: int) -> None:
    """INVALID_KE_PAYLOAD for the IKE SA's successor (section 1.3.2)."""
    both = IKE.replace("x25519", "x25519-ecp256"), IKE.replace("x25519", "ecp256-x25519")
    world = tunnel(seed, left={"ike": both[:1]}, right={"ike": both[1:]})
    old = world.left.sas[0].id
    post = Post(world)
    rekey_ike(world, "left")
    if name != "regular_ke_invalid":
        rekey_ike(world, "right")
    if name == "collision_ke_invalid_delayed_retry":
        world.run(0.021)
        post.hold("left", CREATE)
        world.run(1)
    agree(world, post, is_old_gone=lambda: old not in {sa.id for sa in world.left.sas})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_lost", [False, True], ids=["collision_delete", "collision_delete_drop_delete"])
def test_ike_rekey_and_delete(seed: int, *, is_lost: bool) -> None:
    """One rekeys what the other one deletes: nothing is left (section 2.25.2)."""
    world = tunnel(seed)
    post = Post(world)
    if is_lost:
        post.lose_one("right", TELL)
    rekey_ike(world, "left")
    down(world, "right")
    world.run(200)
    for host in (world.left, world.right):
        assert not host.sas
        assert not host.installed
        assert not host.spis
