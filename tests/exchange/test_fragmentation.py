"""IKE fragmentation, both ends in simulated time (RFC 7383)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ExchangeType, NotifyType, PayloadType
from caponier.errors import Silent
from caponier.octets import Writer
from caponier.protocols.ike.messages.header import HEADER_LENGTH, Header
from caponier.protocols.ike.messages.message import Content, decode_header, decode_message, seal_content
from caponier.protocols.ike.messages.payloads import Notify, Unknown
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Retransmission, Settings
from caponier.protocols.ike.v2.timers import REASSEMBLY_SECONDS, Timer
from tests.exchange.certificates import Authority, Party, authority
from tests.exchange.world import LEFT, RIGHT, Weather, World, assert_tunnel, connection, up

TO_RIGHT = Path(RIGHT, 500, LEFT, 500)
HEADERS = 28  #: of IPv4 and UDP


def long_chains(size: int | None = 1280, theirs: int | None = 1280) -> tuple[Connection, Connection]:
    """Both sides prove themselves with chains of certificates that no datagram holds."""
    root = authority("Root")
    below: list[Authority] = [root]
    for number in range(5):
        below.append(below[-1].below(f"Authority {number} of a long chain that nobody has heard of"))
    made = []
    for side, most in (("left", size), ("right", theirs)):
        party = Party.issued(below[-1], f"{side}.example.com", through=tuple(reversed(below[1:])))
        made.append(
            replace(
                connection(side, credential=party.credential, requirement=root.trust),
                fragment_size=most,
            )
        )
    return made[0], made[1]


def auth_messages(world: World, side: str) -> list[bytes]:
    return [
        octets
        for who, octets, _ in world.sent
        if who == side and decode_header(octets).exchange == ExchangeType.IKE_AUTH
    ]


def is_fragment(octets: bytes) -> bool:
    return decode_header(octets).next_payload == PayloadType.SKF


def narrow(octets_at_most: int, sides: str = "left right") -> Callable[[str, bytes, Path], tuple[bytes, Path] | None]:
    """A path that swallows IP packets that are longer."""

    def middle(side: str, octets: bytes, path: Path) -> tuple[bytes, Path] | None:
        return None if side in sides and len(octets) + HEADERS > octets_at_most else (octets, path)

    return middle


def test_both_sides_announce_it() -> None:
    """Section 2.3: in IKE_SA_INIT, without data."""
    world = up()
    for _, octets, _ in world.sent[:2]:
        notify = decode_message(octets).notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
        assert notify == Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
    assert [sa.fragment_size for sa in (*world.left.sas, *world.right.sas)] == [1280, 1280]


@pytest.mark.parametrize(("ours", "theirs"), [(None, 1280), (1280, None), (None, None)])
def test_without_both_there_are_no_fragments(ours: int | None, theirs: int | None) -> None:
    """Section 2.4: "MUST NOT be used unless both peers have indicated their support"."""
    world = World()
    world.connect(*long_chains(ours, theirs))
    world.run(1)
    assert_tunnel(world)
    assert not any(is_fragment(octets) for _, octets, _ in world.sent)
    assert max(len(octets) for _, octets, _ in world.sent) > 2000
    answer = decode_message(next(octets for side, octets, _ in world.sent if side == "right"))
    assert answer.notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) is None
    assert [sa.fragment_size for sa in (*world.left.sas, *world.right.sas)] == [None, None]


def test_only_long_messages_are_cut() -> None:
    """Section 2.5.1: "the resulting IP datagrams will be smaller than some fragmentation threshold"."""
    world = World()
    world.connect(*long_chains())
    world.run(1)
    assert_tunnel(world)
    for side in ("left", "right"):
        sent = auth_messages(world, side)
        assert len(sent) == 3
        assert all(is_fragment(octets) and len(octets) + HEADERS <= 1280 for octets in sent)
        assert {decode_header(octets).message_id for octets in sent} == {1}
    assert not any(is_fragment(octets) for _, octets, _ in up().sent)


@pytest.mark.parametrize("ike", ["aes256gcm16-prfsha256-x25519", "aes128-sha256-ecp256"])
def test_ipv6_has_longer_headers(ike: str) -> None:
    """Appendix B: 40 octets; and the padding of CBC is counted."""
    left6, right6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    left, right = long_chains()
    proposals = connection("left", ike=(ike,)).proposals
    world = World()
    for host, side, ours, theirs in ((world.left, left, left6, right6), (world.right, right, right6, left6)):
        local, remote = replace(side.local, addresses=(ours,)), replace(side.remote, addresses=(theirs,))
        host.endpoint.add_connection(replace(side, local=local, remote=remote, proposals=proposals))
    world.left.endpoint.initiate("office", Path(left6, 500, right6, 500), 0.0)
    world.settle()
    world.run(1)
    assert_tunnel(world)
    longest = max(len(octets) for octets in auth_messages(world, "left"))
    assert 1280 - 16 < longest + HEADERS + 20 <= 1280


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    duplication=st.sampled_from([0.0, 0.5, 1.0]),
    delay=st.sampled_from([0.02, 0.8, 3.0]),
    size=st.sampled_from([576, 700, 1280]),
)
def test_any_weather_ends_in_a_tunnel_or_in_silence(
    seed: int, loss: float, duplication: float, delay: float, size: int
) -> None:
    """Section 2.6: lost, repeated and reordered fragments; never anything but a tunnel or a clear end."""
    world = World(seed=seed, weather=Weather(loss, duplication, delay))
    world.connect(*long_chains(size))
    world.run(300)
    if world.left.sas and world.right.sas:
        assert_tunnel(world)
    else:
        assert all(isinstance(each.error, Silent) for each in (*world.left.failures, *world.right.failures))
        assert world.left.failures or world.right.failures
    for host in (world.left, world.right):
        for sa in host.endpoint._sas.values():
            assert sa.fragmentation is not None
            assert not sa.fragmentation.is_waiting


def test_a_retransmission_is_the_same_fragments() -> None:
    """Section 2.6.1: fragments are repeated as they were, the first ones before they are cut anew."""
    world = World()
    world.middle = lambda side, octets, path: None if is_fragment(octets) and side == "right" else (octets, path)
    world.connect(*long_chains())
    world.run(1.5)
    sent = auth_messages(world, "left")
    assert len(sent) == 6
    assert sent[:3] == sent[3:]
    answers = auth_messages(world, "right")
    assert answers[:3] == answers[3:6]


def test_blocks_do_not_make_the_sizes_shrink() -> None:
    """Section 2.5.1: the peer's datagrams are a little shorter than its size, with CBC; ours are not for that."""
    left, right = long_chains()
    proposals = connection("left", ike=("aes128-sha256-ecp256",)).proposals
    world = World()
    world.connect(replace(left, proposals=proposals), replace(right, proposals=proposals))
    world.run(1)
    assert_tunnel(world)
    assert [sa.fragment_size for sa in (*world.left.sas, *world.right.sas)] == [1280, 1280]


def test_a_narrow_path_is_found_by_cutting_again() -> None:
    """Section 2.5.2: from larger sizes to smaller ones, with more fragments each time, and timers that start over."""
    world = World(middle=narrow(1000))
    world.connect(*long_chains())
    world.run(6)
    assert_tunnel(world)
    totals = [int.from_bytes(octets[34:36]) for octets in auth_messages(world, "left")]
    assert totals[:6] == [3] * 6
    assert set(totals[6:]) == {totals[-1]}
    assert totals[-1] > 3
    assert [sa.fragment_size for sa in (*world.left.sas, *world.right.sas)] == [576, 576]


def test_a_path_that_is_narrow_only_back() -> None:
    """Section 2.5.1: the responder takes its size from the request's fragments, the second time they come in others."""
    world = World(middle=narrow(1000, "right"))
    world.connect(*long_chains())
    world.run(6)
    assert_tunnel(world)
    assert world.right.sas[0].fragment_size is not None
    assert world.right.sas[0].fragment_size <= 1000


def test_a_short_request_with_a_long_answer() -> None:
    """Section 2.4: "receiving repeated retransmissions of the request for the responder" is a reason to cut smaller."""
    _, right = long_chains()
    left = replace(connection("left"), remote=replace(connection("left").remote, requirement=authority("Root").trust))
    right = replace(right, remote=replace(right.remote, requirement=connection("right").remote.requirement))
    world = World(middle=narrow(1000, "right"))
    world.connect(left, right)
    world.run(10)
    assert_tunnel(world)
    assert not any(is_fragment(octets) for octets in auth_messages(world, "left"))


def test_with_the_smallest_size_it_goes_on_to_the_end() -> None:
    """Section 2.5.2: "MUST continue retransmitting until the exchange either completes or times out"."""
    world = World(settings=Settings(retransmission=Retransmission(first=0.5, factor=1.2, attempts=5)))
    world.middle = lambda side, octets, path: None if is_fragment(octets) else (octets, path)
    world.connect(*long_chains())
    world.run(60)
    (failed,) = world.left.failures
    assert isinstance(failed.error, Silent)
    totals = [int.from_bytes(octets[34:36]) for octets in auth_messages(world, "left")]
    assert totals.count(3) == 2 * 3
    assert totals.count(totals[-1]) == 5 * totals[-1]


def test_another_path_gives_no_more_time_than_a_new_request_has() -> None:
    """RFC 4555 section 3.5 sends along a new path what is out; the transmissions that cutting had added do not stay."""
    world = World(settings=Settings(retransmission=Retransmission(first=0.5, factor=1.2, attempts=5)))
    world.middle = lambda side, octets, path: None if is_fragment(octets) else (octets, path)
    world.connect(*long_chains())
    world.run(2)
    (sa,) = world.left.endpoint._sas.values()
    assert sa.fragmentation is not None
    assert sa.fragmentation.size == 576
    sa.requests.resend()
    world.settle()
    world.run(60)
    (failed,) = world.left.failures
    assert isinstance(failed.error, Silent)
    assert failed.error.attempts == 5


def test_intermediate_exchanges_in_fragments() -> None:
    """RFC 9242 section 3.3.2: AUTH covers the message as it was before it was cut, however it was cut."""
    for size in (576, 1280):
        sides = [connection(side, ike=("aes256gcm16-prfsha384-x25519-ke1_mlkem1024",)) for side in ("left", "right")]
        world = World()
        world.connect(*(replace(side, fragment_size=size) for side in sides))
        world.run(1)
        assert_tunnel(world)
        cut = [decode_header(octets).exchange for _, octets, _ in world.sent if is_fragment(octets)]
        assert cut.count(ExchangeType.IKE_INTERMEDIATE) >= 4


def test_a_later_exchange_begins_with_the_size_that_was_found() -> None:
    """Section 2.5.2: "In subsequent exchanges, the node should start with the current value", and so does a successor."""
    world = World(middle=narrow(1000))
    world.connect(*long_chains())
    world.run(6)
    world.left.endpoint.rekey("office", world.now)
    world.settle()
    world.run(10)
    assert_tunnel(world)
    assert world.left.sas[0].fragment_size == 576


# -- what a peer with our keys, or somebody without them, sends


def fragment(
    world: World,
    number: int,
    total: int,
    octets: bytes = b"",
    *,
    message_id: int | None = None,
    unprotected: tuple[Unknown, ...] = (),
) -> bytes:
    """A fragment of an INFORMATIONAL request from the left side, with any content."""
    (sa,) = world.left.endpoint._sas.values()
    header = Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        exchange=ExchangeType.INFORMATIONAL,
        is_initiator=True,
        is_response=False,
        message_id=sa.requests._next_id if message_id is None else message_id,
    )
    cipher = sa.protector._outbound
    first = PayloadType.N if number == 1 else PayloadType.NO_NEXT
    return seal_content(
        Content(header, first, octets, number, total), cipher, (1 << 40 | number << 16 | total).to_bytes(8), unprotected
    )


def notify(length: int) -> bytes:
    """A chain of one notification with so much data."""
    w = Writer()
    Notify(NotifyType(40_000), data=bytes(length)).encode(w)
    return bytes(2) + (4 + len(w.finish())).to_bytes(2) + w.finish()


def waiting(world: World) -> int:
    (sa,) = world.right.endpoint._sas.values()
    assert sa.fragmentation is not None
    return sa.fragmentation.incoming(is_response=False).length


def answers(world: World, *messages: bytes) -> int:
    """How many datagrams these lead to."""
    before = len(world.sent)
    for octets in messages:
        world.deliver("right", octets, TO_RIGHT)
    return sum(side == "right" for side, _, _ in world.sent[before:])


def test_in_any_order() -> None:
    """Section 2.6: "Store the message in the reassembling queue waiting for the rest"."""
    world, chain = up(), notify(100)
    assert answers(world, fragment(world, 3, 3, chain[60:]), fragment(world, 1, 3, chain[:20])) == 0
    assert answers(world, fragment(world, 2, 3, chain[20:60])) == 1
    assert waiting(world) == 0


def test_the_first_fragment_again_is_answered_again_the_others_are_not() -> None:
    """Section 2.6.1: "only ... if the Fragment Number field in the received fragment is set to 1; otherwise, it MUST be
    ignored", also where the request was cut anew meanwhile."""
    world, chain = up(), notify(100)
    parts = [fragment(world, 1, 2, chain[:50]), fragment(world, 2, 2, chain[50:])]
    assert answers(world, *parts) == 1
    assert answers(world, parts[1]) == 0
    assert answers(world, parts[0]) == 1
    assert answers(world, fragment(world, 2, 3, chain[30:60])) == 0
    assert answers(world, fragment(world, 1, 3, chain[:30])) == 1
    forged = bytearray(fragment(world, 1, 4, chain[:10]))
    forged[-1] ^= 1
    assert answers(world, bytes(forged)) == 0


def test_a_fragment_that_is_there_already_is_dropped() -> None:
    """Section 2.6: "this message is considered a replay and MUST be silently discarded"."""
    world, chain = up(), notify(100)
    one = fragment(world, 1, 3, chain[:50])
    assert answers(world, one, one) == 0
    assert waiting(world) == 50
    assert world.right.endpoint.drops == {"unexpected-message": 1}


def test_a_larger_total_starts_over_and_a_smaller_one_is_dropped() -> None:
    """Section 2.6: sets of different sizes are not mixed."""
    world, chain = up(), notify(100)
    assert answers(world, fragment(world, 1, 3, chain[:50]), fragment(world, 1, 4, chain[:40])) == 0
    assert waiting(world) == 40
    assert answers(world, fragment(world, 2, 3, chain[50:60])) == 0
    assert waiting(world) == 40
    rest = [fragment(world, number, 4, chain[20 * number : 20 * number + 20]) for number in (2, 3)]
    assert answers(world, *rest, fragment(world, 4, 4, chain[80:])) == 1


def test_a_whole_message_ends_an_incomplete_one() -> None:
    """Section 2.4: the sender may go back to one piece."""
    world, chain = up(), notify(100)
    assert answers(world, fragment(world, 1, 3, chain[:50])) == 0
    (sa,) = world.left.endpoint._sas.values()
    (octets,) = sa.seal(ExchangeType.INFORMATIONAL, is_response=False, message_id=sa.requests._next_id, payloads=())
    assert answers(world, octets) == 1
    assert waiting(world) == 0
    (theirs,) = world.right.endpoint._sas.values()
    assert Timer.REASSEMBLY not in theirs.timers._instants


def test_nothing_is_kept_of_a_forged_fragment() -> None:
    """Section 2.6 and appendix A: "If the ICV check fails, the message MUST be silently discarded"."""
    world = up()
    octets = fragment(world, 1, 3, notify(100)[:50])
    for position in range(HEADER_LENGTH, len(octets)):
        forged = bytearray(octets)
        forged[position] ^= 0x80
        assert answers(world, bytes(forged)) == 0
        assert waiting(world) == 0
    assert "integrity-failed" in world.right.endpoint.drops


def test_fragments_that_never_get_complete_are_forgotten() -> None:
    """Section 2.6: "The responder in this case acts as if no request message was received"."""
    world = up()
    assert answers(world, fragment(world, 1, 3, notify(100)[:50])) == 0
    world.run(REASSEMBLY_SECONDS + 1)
    assert waiting(world) == 0
    assert_tunnel(world)


def test_more_than_a_message_can_hold_ends_the_ike_sa() -> None:
    """Section 5: "the receiver SHOULD drop the connection and discard all the received fragments"."""
    world = up()
    for number in range(1, 40):
        world.deliver("right", fragment(world, number, 200, bytes(2000)), TO_RIGHT)
        assert number < 33 or not world.right.sas
    assert not world.right.sas


def test_too_many_fragments_are_refused_before_any_work() -> None:
    world = up()
    assert answers(world, fragment(world, 1, 256, bytes(10)), fragment(world, 1, 65535, bytes(10))) == 0
    assert waiting(world) == 0


def test_a_fragment_without_agreement_is_dropped() -> None:
    """Section 2.4."""
    world = World()
    left, right = (replace(connection(side), fragment_size=None) for side in ("left", "right"))
    world.connect(left, right)
    world.run(1)
    assert answers(world, fragment(world, 1, 1, notify(10))) == 0
    assert world.right.endpoint.drops == {"unexpected-message": 1}


def test_another_request_than_the_next_one_is_not_kept() -> None:
    """Section 2.6.1: fragments of messages outside of the window cost no memory."""
    world = up()
    for message_id in (0, 5, 1000):
        assert answers(world, fragment(world, 1, 2, bytes(100), message_id=message_id)) == 0
    assert waiting(world) == 0


def test_fragments_with_unknown_payloads_in_front_of_them() -> None:
    """Section 2.5.3, and the class of Libreswan's CVE-2026-12413: payloads in clear beside fragments, as many as fit."""
    world, chain = up(), notify(100)
    (sa,) = world.left.endpoint._sas.values()
    unknown = tuple(Unknown(PayloadType(200 + number % 50), critical=False, body=b"x") for number in range(98))
    first = fragment(world, 1, 2, chain[:50], unprotected=unknown)
    assert answers(world, first, fragment(world, 2, 2, chain[50:], unprotected=unknown)) == 1
    critical = (Unknown(PayloadType(200), critical=True, body=b""),)
    number = sa.requests._next_id + 1
    assert answers(world, fragment(world, 1, 2, b"", message_id=number, unprotected=critical)) == 1
    assert world.right.sas
    assert answers(world, fragment(world, 1, 2, b"", message_id=number + 1, unprotected=unknown * 2)) == 0


def test_a_message_of_the_most_fragments_in_the_worst_order() -> None:
    """The class of racoon's CVE-2016-10396, whose list was walked for every fragment: each is opened once, and looked up by
    its number."""
    world, chain = up(), notify(10_000)
    (sa,) = world.right.endpoint._sas.values()
    opened: list[bytes] = []
    protection = sa.protector
    assert sa.fragmentation is not None
    parts = [
        fragment(world, number, 255, chain[40 * (number - 1) :][: 40 if number < 255 else None])
        for number in range(1, 256)
    ]
    original = type(protection).open

    def count(self: object, octets: bytes, header: Header | None = None) -> Content:
        opened.append(octets)
        return original(protection, octets, header)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(protection), "open", count)
        assert answers(world, *(part for part in reversed(parts[1:]) for _ in range(3))) == 0
        assert answers(world, parts[0]) == 1
    assert len(opened) == 255
