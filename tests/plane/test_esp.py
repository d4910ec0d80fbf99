"""ESP packet by packet, without I/O: ours against scapy's (RFC 4303, RFC 4106, RFC 7634, RFC 3602, RFC 4868)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Raw

from caponier._plane import Opener, PlaneError, Sealer
from tests.plane.reference import IPV4, IPV6, NO_NEXT_HEADER, Reference, counting, inner_packet
from tests.plane.suites import CBC, CHACHA, GCM, MORE, SUITES, Suite

SPI = 0xC0FFEE01
LAST = 2**32 - 1  #: the last sequence number without ESN (RFC 4303 section 3.3.3)
KINDS = (GCM, CHACHA, CBC)  #: where only the construction matters

every_suite = pytest.mark.parametrize("suite", [*SUITES, *MORE], ids=lambda suite: suite.name)
every_kind = pytest.mark.parametrize("suite", KINDS, ids=lambda suite: suite.name)
sequences = st.integers(1, 1000) | st.integers(LAST - 1000, LAST) | st.integers(1, LAST)
inners = st.builds(inner_packet, st.sampled_from([4, 6]), st.binary(max_size=1500))


def sealer(suite: Suite, sequence: int = 1) -> Sealer:
    return Sealer(spi=SPI, **suite.keys(1), sequence=sequence)


def opener(suite: Suite, replay_window: int = 64) -> Opener:
    return Opener(spi=SPI, **suite.keys(1), replay_window=replay_window)


def reference(suite: Suite) -> Reference:
    return Reference(suite, 1, SPI)


def refusal(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """What is refused, in its words; no call may end in another kind of exception."""
    with pytest.raises(PlaneError) as caught:
        call(*arguments, **named)
    assert type(caught.value) is PlaneError
    return str(caught.value)


def outcome(one: Opener, esp: bytes) -> str:
    """``ok``, or the drop's name."""
    try:
        one.open(esp)
    except PlaneError as error:
        return str(error)
    return "ok"


# --- both ways ---


@every_suite
@settings(max_examples=20, deadline=None)
@given(inners, sequences)
def test_scapy_opens_what_we_seal(suite: Suite, inner: bytes, sequence: int) -> None:
    """RFC 4303 section 3.3: header, IV, payload, the least padding, next header 4 or 41, ICV."""
    esp = sealer(suite, sequence).seal(inner)
    plain = reference(suite).open(esp)
    assert (plain.spi, plain.sequence, plain.payload) == (SPI, sequence, inner)
    assert plain.next_header == (IPV4 if inner[0] >> 4 == 4 else IPV6)
    assert plain.padding == counting(len(plain.padding))
    assert len(esp) == suite.sealed_length(len(inner))


@every_suite
@settings(max_examples=20, deadline=None)
@given(inners, sequences)
def test_we_open_what_scapy_seals(suite: Suite, inner: bytes, sequence: int) -> None:
    """RFC 4303 section 3.4: what another implementation seals comes out octet by octet."""
    assert opener(suite).open(reference(suite).seal(inner, sequence)) == inner


@every_suite
def test_scapy_s_whole_association_agrees(suite: Suite) -> None:
    """RFC 4303 section 3.1.2: tunnel mode with an outer IPv4 header, by scapy's own entry points."""
    inner = inner_packet(4, b"whole")
    sa = reference(suite).sa
    assert opener(suite).open(bytes(sa.encrypt(IP(inner))[ESP])) == inner
    outer = IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(sealer(suite).seal(inner))
    assert bytes(sa.decrypt(IP(bytes(outer)))) == inner


@every_suite
def test_every_payload_length_of_a_block(suite: Suite) -> None:
    """RFC 4303 section 2.4: the padding of each length that there can be, both ways."""
    ours, theirs, both = sealer(suite), reference(suite), opener(suite)
    for number in range(1, 2 * suite.block + 2):
        inner = inner_packet(4, bytes(number))
        assert theirs.open(ours.seal(inner)).payload == inner
        assert both.open(theirs.seal(inner, number)) == inner


@every_suite
def test_sequence_numbers_count_from_the_first(suite: Suite) -> None:
    """RFC 4303 section 2.2: the first packet of an SA has the number 1."""
    ours, theirs = sealer(suite), reference(suite)
    numbers = [theirs.open(ours.seal(inner_packet(4, b""))).sequence for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]


def test_no_iv_of_an_aead_comes_twice() -> None:
    """RFC 4106 section 3.1, RFC 7634 section 2: the IV must be unique under a key."""
    for suite in (GCM, CHACHA):
        ours = sealer(suite, LAST - 99)
        ivs = {ours.seal(inner_packet(4, b""))[8:16] for _ in range(100)}
        assert len(ivs) == 100


def test_ivs_of_cbc_cannot_be_foretold() -> None:
    """RFC 3602 section 3: unpredictable. Two SAs of one key and one sequence number must have different ones."""
    inner = inner_packet(4, b"the same")
    ivs = [one.seal(inner)[8:24] for one in [sealer(CBC) for _ in range(20)] for _ in range(20)]
    assert len(set(ivs)) == 400
    differences = {int.from_bytes(one) ^ int.from_bytes(other) for one, other in pairwise(ivs)}
    assert len(differences) == 399


# --- paddings ---


@every_kind
@pytest.mark.parametrize("version", [4, 6])
def test_longer_paddings_are_legal(suite: Suite, version: int) -> None:
    """RFC 4303 section 2.4: up to 255 octets, whatever the least would be."""
    inner = inner_packet(version, b"padded")
    least = -(len(inner) + 2) % suite.block
    lengths = range(least, 256, suite.block)
    assert len(lengths) >= 15
    one, theirs = opener(suite), reference(suite)
    for number, length in enumerate(lengths, 1):
        assert one.open(theirs.seal(inner, number, padding=counting(length))) == inner


@every_kind
@pytest.mark.parametrize("version", [4, 6])
def test_octets_behind_the_inner_packet_are_cut_off(suite: Suite, version: int) -> None:
    """RFC 4303 section 2.7: TFC padding in tunnel mode; the inner header tells where the packet ends."""
    inner = inner_packet(version, b"hidden length")
    one, theirs = opener(suite), reference(suite)
    for number, length in enumerate((1, 2, 3, 7, 64, 1000, 60_000), 1):
        assert one.open(theirs.seal(inner, number, tfc=b"\xaa" * length)) == inner
    assert outcome(one, theirs.seal(inner, 100, tfc=inner)) == "ok"  # even where they look like a packet


@every_kind
def test_wrong_paddings_are_refused(suite: Suite) -> None:
    """RFC 4303 section 2.4: "the receiver SHOULD inspect the Padding field"."""
    # An inner packet whose least padding is a whole block less its trailer.
    inner = inner_packet(4, bytes(suite.block - 28 % suite.block))
    good = counting(suite.block - 2)
    wrong = [bytes(len(good)), good[::-1], b"\xff" + good[1:], good[:-1] + b"\x00"]
    one, theirs = opener(suite), reference(suite)
    for number, padding in enumerate(wrong, 1):
        assert padding != good
        assert refusal(one.open, theirs.seal(inner, number, padding=padding)) == "bad-padding"
    assert one.open(theirs.seal(inner, 10, padding=good)) == inner


@every_kind
def test_a_pad_length_beyond_the_packet_is_refused(suite: Suite) -> None:
    """RFC 4303 section 2.5: Pad Length counts octets that are there."""
    one, theirs = opener(suite), reference(suite)
    for number, length in enumerate((31, 127, 255), 1):
        esp = theirs.seal(b"", number, next_header=IPV4, padding=counting(suite.block - 2), pad_length=length)
        assert refusal(one.open, esp) == "bad-padding"


# --- what comes out ---


@every_kind
@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"anything at all"])
def test_dummies_are_told_apart_from_errors(suite: Suite, content: bytes) -> None:
    """RFC 4303 section 2.6: next header 59 "MUST be discarded"; it is no error, and its number is used up."""
    one, theirs = opener(suite), reference(suite)
    dummy = theirs.seal(content, 1, next_header=NO_NEXT_HEADER)
    assert refusal(one.open, dummy) == "dummy"
    assert refusal(one.open, dummy) == "replayed"


@every_kind
@pytest.mark.parametrize("next_header", [0, 1, 6, 17, 50, 51, 255])
def test_other_next_headers_are_refused(suite: Suite, next_header: int) -> None:
    """RFC 4303 section 3.1.2: a tunnel-mode SA carries IP packets."""
    esp = reference(suite).seal(inner_packet(4, b""), 1, next_header=next_header)
    assert refusal(opener(suite).open, esp) == "bad-next-header"


def _short(version: int, cut: int) -> bytes:
    return inner_packet(version, b"a payload")[:-cut]


MALFORMED = {
    "nothing": (b"", IPV4),
    "one-octet": (b"\x45", IPV4),
    "version-5": (b"\x55" + inner_packet(4, b"")[1:], IPV4),
    "version-0": (bytes(40), IPV4),
    "header-length-4": (b"\x44" + inner_packet(4, b"")[1:], IPV4),
    "header-beyond-the-packet": (b"\x4f" + inner_packet(4, b"")[1:], IPV4),
    "ipv4-longer-than-its-payload": (_short(4, 1), IPV4),
    "ipv6-longer-than-its-payload": (_short(6, 1), IPV6),
    "ipv6-header-cut": (_short(6, 20), IPV6),
    "ipv4-announced-as-ipv6": (inner_packet(4, b""), IPV6),
    "ipv6-announced-as-ipv4": (inner_packet(6, b""), IPV4),
    "endless-extension-headers": (bytes.fromhex("60000000 00d0 00 40") + bytes(32 + 208), IPV6),
}


@every_kind
@pytest.mark.parametrize("name", MALFORMED)
def test_inner_packets_that_are_none_are_refused(suite: Suite, name: str) -> None:
    """RFC 4303 section 3.4.4.1: authentic is not the same as well-formed."""
    content, next_header = MALFORMED[name]
    esp = reference(suite).seal(content, 1, next_header=next_header)
    assert refusal(opener(suite).open, esp) == "malformed-inner"


@pytest.mark.parametrize("name", sorted(set(MALFORMED) - {"ipv4-announced-as-ipv6", "ipv6-announced-as-ipv4"}))
def test_what_is_no_packet_is_not_sealed(name: str) -> None:
    """RFC 4303 section 2.2: what is not sent takes no sequence number."""
    ours = sealer(GCM)
    assert refusal(ours.seal, MALFORMED[name][0]) == "malformed-inner"
    assert reference(GCM).open(ours.seal(inner_packet(4, b""))).sequence == 1


# --- what must not come in ---


@every_suite
def test_every_changed_octet_is_noticed(suite: Suite) -> None:
    """RFC 4303 section 3.4.4: the ICV covers all but itself, and itself must be right."""
    esp = reference(suite).seal(inner_packet(4, b"untouched"), 0x01020304)
    one = opener(suite)
    for position in range(len(esp)):
        for mask in (0x01, 0x80, 0xFF):
            changed = bytearray(esp)
            changed[position] ^= mask
            expected = "unknown-spi" if position < 4 else "bad-icv"
            assert outcome(one, bytes(changed)) == expected, f"octet {position}"
    assert outcome(one, esp) == "ok"


@every_suite
def test_scapy_notices_every_changed_octet_of_ours(suite: Suite) -> None:
    """RFC 4303 section 3.3.2: our ICV is over all that it must be over."""
    esp = sealer(suite).seal(inner_packet(4, b"untouched"))
    theirs = reference(suite)
    for position in range(4, len(esp)):
        changed = bytearray(esp)
        changed[position] ^= 0x10
        with pytest.raises(IPSecIntegrityError):
            theirs.open(bytes(changed))


@every_suite
def test_truncated_at_every_length(suite: Suite) -> None:
    """RFC 4303 section 3.4: too short for its parts, or another ICV than its own; never anything else."""
    esp = reference(suite).seal(inner_packet(4, bytes(40)), 1)
    one = opener(suite)
    for length in range(len(esp)):
        expected = "bad-icv" if suite.may_be_a_packet(length) else "truncated"
        assert outcome(one, esp[:length]) == expected, f"{length} octets"
    assert outcome(one, esp) == "ok"


@every_suite
def test_octets_behind_the_packet_are_refused(suite: Suite) -> None:
    """RFC 4303 section 2.8: the ICV is the end of the packet."""
    esp = reference(suite).seal(inner_packet(4, b""), 1)
    one = opener(suite)
    for more in range(1, 40):
        expected = "bad-icv" if suite.may_be_a_packet(len(esp) + more) else "truncated"
        assert outcome(one, esp + bytes(more)) == expected


@every_suite
def test_other_keys_open_nothing(suite: Suite) -> None:
    """RFC 4303 section 3.4.4: not another encryption key, not another salt, not another integrity key."""
    esp = reference(suite).seal(inner_packet(4, b"secret"), 1)
    encryption, integrity = suite.keys(1), suite.keys(1)
    encryption["encryption_key"] = suite.keys(2)["encryption_key"]
    assert (outcome(Opener(spi=SPI, **encryption), esp) == "ok") is (suite.key_octets == 0)  # NULL has no key
    if suite.is_aead:
        encryption["encryption_key"] = suite.keys(1)["encryption_key"][:-1] + b"\xff"
        assert outcome(Opener(spi=SPI, **encryption), esp) == "bad-icv"
    else:
        integrity["integrity_key"] = suite.keys(2)["integrity_key"]
        assert outcome(Opener(spi=SPI, **integrity), esp) == "bad-icv"


@pytest.mark.parametrize("sequence", [1, LAST, LAST + 1, 7 << 32])
@every_suite
def test_extended_sequence_numbers(suite: Suite, sequence: int) -> None:
    """RFC 4303 section 2.2.1: the upper half is not sent, and covered by the ICV; scapy counts it in by itself."""
    inner = inner_packet(4, b"far along")
    esp = Sealer(spi=SPI, **suite.keys(1), esn=True, sequence=sequence).seal(inner)
    assert int.from_bytes(esp[4:8]) == sequence & LAST
    cipher, mac = suite.scapy
    keys = suite.keys(1)
    association = SecurityAssociation(
        ESP,
        spi=SPI,
        crypt_algo=cipher,
        crypt_key=keys["encryption_key"],
        auth_algo=mac,
        auth_key=keys["integrity_key"] or None,
        esn_en=True,
        esn=sequence >> 32,
        tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
    )
    opened = association.decrypt(IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / Raw(esp))))
    assert bytes(opened) == inner


@every_kind
def test_another_spi_is_none_of_ours(suite: Suite) -> None:
    """RFC 4303 section 2.1: the SPI names the SA."""
    esp = Reference(suite, 1, SPI + 1).seal(inner_packet(4, b""), 1)
    assert outcome(opener(suite), esp) == "unknown-spi"


@every_kind
@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", SPI.to_bytes(4)]), st.binary(max_size=200))
def test_junk_is_refused_by_name(suite: Suite, start: bytes, junk: bytes) -> None:
    """Whatever the octets are, a named refusal is what comes of them."""
    assert outcome(opener(suite), start + junk) in {"truncated", "bad-icv", "unknown-spi", "too-old"}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([IPV4, IPV6, 6, NO_NEXT_HEADER]))
def test_authentic_junk_is_refused_by_name(junk: bytes, next_header: int) -> None:
    """What a peer with the keys may send is junk all the same."""
    esp = reference(GCM).seal(junk, 1, next_header=next_header)
    assert outcome(opener(GCM), esp) in {"ok", "malformed-inner", "bad-next-header", "dummy"}


# --- replay ---

#: (sequence number, what comes of it), in the order of arrival, for a window of 32 packets.
REPLAY = (
    (0, "too-old"),  # section 3.3.3: the first packet has 1
    (1, "ok"),
    (1, "replayed"),
    (3, "ok"),  # a gap
    (2, "ok"),  # filled later
    (2, "replayed"),
    (32, "ok"),
    (1, "replayed"),  # still in the window: 1 to 32
    (33, "ok"),
    (1, "too-old"),  # left of it now
    (4, "ok"),
    (2, "replayed"),
    (100, "ok"),  # a jump that empties the window
    (68, "too-old"),
    (69, "ok"),
    (69, "replayed"),
    (99, "ok"),
    (33, "too-old"),
    (131, "ok"),  # by just the window's width
    (100, "replayed"),
    (99, "too-old"),
    (LAST, "ok"),
    (LAST, "replayed"),
    (LAST - 31, "ok"),
    (LAST - 32, "too-old"),
    (131, "too-old"),
)


@every_kind
def test_replay_rows(suite: Suite) -> None:
    """RFC 4303 section 3.4.3 and appendix A2.2: right of the window, in it, left of it."""
    one, theirs = opener(suite, 32), reference(suite)
    inner = inner_packet(4, b"")
    for sequence, expected in REPLAY:
        assert outcome(one, theirs.seal(inner, sequence)) == expected, f"sequence number {sequence}"


@pytest.mark.parametrize("size", [32, 33, 63, 64, 65, 127, 128, 129, 1000, 1024, 2048, 4095, 4096])
def test_window_sizes(size: int) -> None:
    """RFC 4303 section 3.4.3: "a minimum window size of 32", larger ones at the receiver's choice."""
    one, theirs = opener(GCM, size), reference(GCM)
    inner = inner_packet(4, b"")
    top = 3 * size
    rows = (
        (top, "ok"),
        (top - size, "too-old"),
        (top - size + 1, "ok"),
        (top - size + 1, "replayed"),
        (top - 1, "ok"),
        (top + 1, "ok"),
        (top - size + 1, "too-old"),
        (top - size + 2, "ok"),
        (top + size, "ok"),
        (top + 1, "replayed"),
        (top, "too-old"),
    )
    for sequence, expected in rows:
        assert outcome(one, theirs.seal(inner, sequence)) == expected, f"sequence number {sequence}"


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([32, 64, 100]), st.data())
def test_the_window_equals_its_definition(size: int, data: st.DataObject) -> None:
    """RFC 4303 section 3.4.3: each number once, and none that is ``size`` or more below the highest."""
    one, theirs = opener(GCM, size), reference(GCM)
    inner = inner_packet(4, b"")
    seen: set[int] = set()
    top = 0
    for step in data.draw(st.lists(st.integers(-size - 3, size + 3), min_size=1, max_size=30)):
        sequence = max(0, top + step)
        is_left = sequence == 0 or sequence <= top - size
        expected = "too-old" if is_left else "replayed" if sequence in seen else "ok"
        assert outcome(one, theirs.seal(inner, sequence)) == expected
        if expected == "ok":
            seen.add(sequence)
            top = max(top, sequence)


@every_kind
def test_a_forged_number_does_not_move_the_window(suite: Suite) -> None:
    """RFC 4303 section 3.4.3: "The receive window is updated only if the integrity verification succeeds"."""
    one, theirs = opener(suite, 32), reference(suite)
    inner = inner_packet(4, b"")
    assert outcome(one, theirs.seal(inner, 1)) == "ok"
    forged = bytearray(theirs.seal(inner, 1_000_000))
    forged[-1] ^= 1
    assert outcome(one, bytes(forged)) == "bad-icv"
    forged = bytearray(theirs.seal(inner, 2))
    forged[-1] ^= 1
    assert outcome(one, bytes(forged)) == "bad-icv"
    assert outcome(one, theirs.seal(inner, 2)) == "ok"


# --- the end of the numbers ---


@every_suite
def test_sealing_never_wraps(suite: Suite) -> None:
    """RFC 4303 section 3.3.3: no packet may be sent that would make the sequence number cycle."""
    ours, theirs = sealer(suite, LAST - 1), reference(suite)
    inner = inner_packet(4, b"the last")
    assert [theirs.open(ours.seal(inner)).sequence for _ in range(2)] == [LAST - 1, LAST]
    for _ in range(100):
        assert refusal(ours.seal, inner) == "sequence-exhausted"


@pytest.mark.parametrize("sequence", [0, 2**32, 2**63])
def test_an_sa_starts_within_the_numbers(sequence: int) -> None:
    """RFC 4303 section 2.2: 32 bits, and the first is 1."""
    assert "sequence number" in refusal(sealer, GCM, sequence)


# --- what makes no SA ---


@pytest.mark.parametrize("spi", [0, 1, 255])
def test_reserved_spis_are_refused(spi: int) -> None:
    """RFC 4303 section 2.1: 1 to 255 are reserved, 0 is never sent."""
    for make in (Sealer, Opener):
        assert "reserved" in refusal(make, spi=spi, **GCM.keys(1))


@pytest.mark.parametrize("size", [0, 1, 31, 4097, LAST])
def test_other_window_sizes_are_refused(size: int) -> None:
    assert "replay window" in refusal(opener, GCM, size)


@every_suite
@pytest.mark.parametrize("which", ["encryption_key", "integrity_key"])
@pytest.mark.parametrize("change", [-1, 1])
def test_keys_of_another_length_are_refused(suite: Suite, which: str, change: int) -> None:
    """RFC 4106 section 8.1, RFC 7634 section 2, RFC 3602 section 2.3, RFC 4868 section 2.1.1."""
    keys = dict(suite.keys(1))
    octets = keys[which]
    assert isinstance(octets, bytes)
    if not octets and change < 0:
        keys["key_length"] = 64  # there is no shorter key than none: another length that no cipher has
    keys[which] = octets[:change] if change < 0 else octets + b"\x00"
    for make in (Sealer, Opener):
        told = refusal(make, spi=SPI, **keys)
        assert "octets" in told or "not implemented" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encryption": 2}, "not implemented"),  # DES
        ({"encryption": 7}, "not implemented"),  # Blowfish
        ({"encryption": 65_535}, "not implemented"),
        ({"key_length": 0}, "not implemented"),
        ({"key_length": 512}, "not implemented"),
        ({"integrity": 12, "integrity_key": bytes(32)}, "which has its own"),
    ],
)
def test_algorithms_that_we_lack_are_refused(changes: dict[str, object], told: str) -> None:
    """RFC 8221 section 5: what is not implemented is refused by name, never replaced by something else."""
    for make in (Sealer, Opener):
        assert told in refusal(make, spi=SPI, **{**GCM.keys(1), **changes})


@pytest.mark.parametrize("integrity", [0, 3, 9, 65_535])
def test_cbc_needs_an_integrity_algorithm_that_we_have(integrity: int) -> None:
    """RFC 8221 section 4: encryption without authentication is not offered. 9 is AH's alone (RFC 4543 section 5.4)."""
    keys = {**CBC.keys(1), "integrity": integrity}
    told = refusal(Opener, spi=SPI, **keys)
    assert "integrity" in told
    assert "octets, not" not in told


def test_no_refusal_shows_a_key() -> None:
    """RFC 4301 section 4.4.2.1 keeps keys in the SAD; messages are for logs."""
    secret = bytes.fromhex("5ec12e75") * 6
    told = refusal(Opener, spi=SPI, **{**GCM.keys(1), "encryption_key": secret})
    assert "5ec12e75" not in told.lower()
    shown = repr(opener(GCM)) + repr(sealer(GCM))
    assert GCM.keys(1)["encryption_key"].hex() not in shown
