"""Somebody on the way who reads, changes, repeats and invents datagrams (RFC 7296 sections 2.1 to 2.3, 2.4, 2.21)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ExchangeType, NotifyType, PayloadType, ProtocolId
from caponier.errors import PeerError
from caponier.protocols.ike.events import DatagramDropped, IkeSaClosed, NegotiationFailed
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import encode_message
from caponier.protocols.ike.messages.payloads import Delete, Nonce, Notify, Payload, Unknown
from caponier.protocols.ike.path import Path
from tests.exchange.world import LEFT, RIGHT, SECRET, World, assert_tunnel, connection, up

TO_RIGHT = Path(RIGHT, 500, LEFT, 500)
TO_LEFT = Path(LEFT, 500, RIGHT, 500)
SEALED = (PayloadType.SK, PayloadType.SKF)  #: never inside of one another


def unknown(kind: int, body: bytes = b"later", *, critical: bool = False) -> Unknown:
    return Unknown(PayloadType(kind), critical, body)


def paths(side: str) -> Path:
    return TO_LEFT if side == "left" else TO_RIGHT


def mutated(octets: bytes, source: random.Random) -> bytes:
    """One of the usual accidents."""
    changed = bytearray(octets)
    match source.randrange(6):
        case 0:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
        case 1:
            del changed[source.randrange(len(changed)) :]
        case 2:
            changed += source.randbytes(source.randrange(1, 64))
        case 3:
            at = source.randrange(len(changed))
            changed[at : at + 4] = source.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", source.randbytes(4)))
        case 4:
            at, size = source.randrange(len(changed)), source.randrange(1, 40)
            del changed[at : at + size]
        case _:
            at = source.randrange(len(changed))
            changed[at:at] = changed[at : at + source.randrange(1, 40)]
    return bytes(changed)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_changed_datagrams_never_hinder_a_tunnel(seed: int) -> None:
    """Each datagram is accompanied by changed copies of it, before and after; the tunnel comes up all the same."""
    source = random.Random(seed)
    world = World(seed=seed)
    inject = world.deliver

    def middle(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
        other = "right" if side == "left" else "left"
        forged.extend((other, mutated(octets, source)) for _ in range(3))
        return octets, path

    forged: list[tuple[str, bytes]] = []
    world.middle = middle
    world.connect(connection("left"), connection("right"))
    for _ in range(400):
        world.run(0.05)
        batch, forged[:] = forged[:20], []
        for side, octets in batch:
            inject(side, octets, paths(side))
        if world.left.sas and world.left.sas[0].phase == "established" and world.right.sas:
            break
    world.middle = lambda side, octets, path: (octets, path)
    world.run(60)
    assert_established(world)


def assert_established(world: World) -> None:
    ours = [sa for sa in world.left.sas if sa.phase == "established"]
    theirs = [sa for sa in world.right.sas if sa.phase == "established"]
    assert {sa.id for sa in ours} & {sa.id for sa in theirs}


def test_nothing_from_outside_touches_an_established_sa() -> None:
    """Section 2.21: "MUST NOT change state" by what is not protected: 6000 forgeries, truncations and repetitions."""
    world = up()
    source = random.Random(1)
    material = [octets for _, octets, _ in world.sent]
    for number in range(3000):
        for side in ("left", "right"):
            octets = source.choice(material)
            octets = octets if number % 5 == 0 else mutated(octets, source)
            world.deliver(side, octets, paths(side))
    for length in range(len(material[2])):
        world.deliver("right", material[2][:length], TO_RIGHT)
    world.run(60)
    assert_tunnel(world)
    assert not world.left.happened(IkeSaClosed)
    for host in (world.left, world.right):
        assert host.endpoint.drops
        assert {type(event) for event in host.events[-1000:]} <= {DatagramDropped, NegotiationFailed}


@pytest.mark.parametrize("size", [0, 1, 27, 28, 29, 1000, 65_507])
def test_datagrams_of_every_size(size: int) -> None:
    world = up()
    for filling in (b"\0", b"\xff", b"\x21"):
        world.deliver("right", filling * size, TO_RIGHT)
    assert_tunnel(world)


def unprotected(world: World, exchange: ExchangeType, *payloads: Payload, response: bool, message_id: int) -> bytes:
    (sa,) = world.left.sas
    header = Header(
        spi_i=sa.id.spi_i,
        spi_r=sa.id.spi_r,
        exchange=exchange,
        is_initiator=True,
        is_response=response,
        message_id=message_id,
    )
    return encode_message(header, payloads)


@pytest.mark.parametrize(
    "payload",
    [
        Delete(ProtocolId.IKE),
        Notify(NotifyType.AUTHENTICATION_FAILED),
        Notify(NotifyType.INVALID_SYNTAX),
        Notify(NotifyType.INITIAL_CONTACT),
        Nonce(b"n" * 32),
        unknown(200, critical=True),
    ],
)
@pytest.mark.parametrize("exchange", [ExchangeType.INFORMATIONAL, ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA])
@pytest.mark.parametrize("response", [True, False])
def test_what_must_be_encrypted_counts_only_when_it_is(
    payload: Payload, exchange: ExchangeType, *, response: bool
) -> None:
    """Section 1.4: "MUST only occur ... cryptographically protected"."""
    world = up()
    before = world.right.sas
    for message_id in range(4):
        world.deliver(
            "right", unprotected(world, exchange, payload, response=response, message_id=message_id), TO_RIGHT
        )
    assert world.right.sas == before
    assert_tunnel(world)


def seal(world: World, side: str, exchange: ExchangeType, *payloads: Payload, message_id: int | None = None) -> bytes:
    """What the other end would send if it were malicious or broken: protected, with the right message id."""
    (sa,) = world.host(side).endpoint._sas.values()
    number = sa.requests._next_id if message_id is None else message_id
    sa.requests._next_id = max(sa.requests._next_id, number + 1)
    (octets,) = sa.seal(exchange, is_response=False, message_id=number, payloads=payloads)
    return octets


def test_a_request_out_of_the_window_is_dropped() -> None:
    """Section 2.3: the window is 1."""
    world = up()
    for message_id in (0, 1, 3, 4, 1000, (1 << 32) - 1):
        world.deliver("right", seal(world, "left", ExchangeType.INFORMATIONAL, message_id=message_id), TO_RIGHT)
    assert world.right.endpoint.drops["unexpected-message"] == 6
    assert_tunnel(world)


def test_a_request_that_comes_twice_has_the_same_answer() -> None:
    """Section 2.1: "octet for octet", and it has its effect once."""
    world = up()
    octets = seal(world, "left", ExchangeType.INFORMATIONAL)
    sent = len(world.sent)
    for _ in range(3):
        world.deliver("right", octets, TO_RIGHT)
    answers = [each for side, each, _ in world.sent[sent:] if side == "right"]
    assert len(answers) == 3
    assert len(set(answers)) == 1


def test_an_unknown_payload_is_skipped_and_a_critical_one_refused() -> None:
    """Section 2.5."""
    world = up()
    sent = len(world.sent)
    world.deliver("right", seal(world, "left", ExchangeType.INFORMATIONAL, unknown(201)), TO_RIGHT)
    critical = unknown(201, critical=True)
    world.deliver("right", seal(world, "left", ExchangeType.INFORMATIONAL, critical), TO_RIGHT)
    assert len(world.sent) == sent + 2
    assert_tunnel(world)


def test_a_broken_request_of_a_proven_peer() -> None:
    """Section 2.21.3: INVALID_SYNTAX in an authentic message ends the IKE SA."""
    world = up()
    world.deliver("right", seal(world, "left", ExchangeType.CREATE_CHILD_SA, Nonce(b"x" * 32)), TO_RIGHT)
    world.run(1)
    assert not world.right.sas


@settings(max_examples=150, deadline=None)
@given(
    exchange=st.sampled_from(
        [ExchangeType.INFORMATIONAL, ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_AUTH, 43, 240]
    ),
    kinds=st.lists(st.integers(33, 60).filter(lambda kind: kind not in SEALED), max_size=6),
    data=st.data(),
)
def test_junk_with_valid_keys(exchange: int, kinds: list[int], data: st.DataObject) -> None:
    """A peer with valid keys that speaks nonsense can end its own IKE SA, and nothing else: no bug surfaces."""
    world = up()
    payloads = [unknown(kind, data.draw(st.binary(max_size=80))) for kind in kinds]
    world.deliver("right", seal(world, "left", ExchangeType(exchange), *payloads), TO_RIGHT)
    world.run(30)
    for event in world.right.happened(IkeSaClosed):
        assert isinstance(event, IkeSaClosed)
        assert event.error is None or isinstance(event.error, PeerError) or "bug" not in event.error.message
    assert set(world.right.installed) == world.right.spis


def test_secrets_never_show() -> None:
    """No key and no preshared key in any event, status, effect or error of a whole life."""
    seen: list[str] = []
    world = World()
    for host in (world.left, world.right):
        host.perform = _watching(host.perform, seen)  # type: ignore[method-assign]
    world.connect(connection("left"), connection("right"))
    world.run(1)
    secrets = [secret for keys in (world.left.keys, world.right.keys) for each in keys.values() for secret in each]
    for endpoint in (world.left.endpoint, world.right.endpoint):
        (sa,) = endpoint._sas.values()
        keys = sa.protector.keys
        secrets += [getattr(keys, name).expose() for name in ("sk_d", "sk_ei", "sk_er", "sk_pi", "sk_pr")]
        seen += [repr(keys), repr(sa.protector), repr(sa.connection), repr(sa.status())]
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(2)
    seen += [repr(event) for host in (world.left, world.right) for event in host.events]
    everything = "\n".join(seen)
    for secret in (*secrets, SECRET):
        if secret:
            assert secret.hex() not in everything
            assert repr(secret)[2:-1] not in everything


def _watching(perform: Callable[..., object], seen: list[str]) -> Callable[..., object]:
    def watched(effect: object) -> object:
        seen.append(repr(effect))
        return perform(effect)

    return watched


def test_keys_are_wiped_at_the_end() -> None:
    world = up()
    (sa,) = world.left.endpoint._sas.values()
    keys = sa.protector.keys
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(2)
    assert not any(keys.sk_d.expose())


def test_the_same_forged_first_message_from_many_addresses() -> None:
    """Section 2.6 and 2.21: answers to strangers are bounded, and never larger than a small multiple of the question."""
    world = World()
    world.right.endpoint.add_connection(connection("right"))
    world.left.endpoint.add_connection(connection("left"))
    world.initiate("left")
    request = world.sent[0][1]
    before = len(world.sent)
    for number in range(500):
        source = replace(TO_RIGHT, remote_port=1000 + number)
        world.deliver("right", number.to_bytes(8) + request[8:], source)
    answers = [octets for side, octets, _ in world.sent[before:] if side == "right"]
    assert sum(map(len, answers)) <= 2 * 500 * len(request)
    assert world.right.endpoint.half_open <= world.settings.limits.half_open_per_address


def test_a_first_message_that_comes_again_takes_no_place_for_good() -> None:
    """Section 2.6: half-open IKE SAs are limited. One that a repeated first request begins leaves its place, though the one that
    the same octets began before has ended meanwhile."""
    world = up()
    first = world.sent[0][1]
    for _ in range(3):
        world.deliver("right", first, TO_RIGHT)
        world.run(1)
        assert world.right.endpoint.half_open == 1
        world.left.endpoint.terminate("office", world.now)
        world.settle()
        world.run(60)
        assert world.right.endpoint.half_open == 0
        world.initiate("left")
        world.run(1)
        first = next(octets for side, octets, _ in reversed(world.sent) if side == "left" and octets[18] == 34)
