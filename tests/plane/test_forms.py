"""Every algorithm of ESP and AH, in both modes and both families, ours against scapy's (RFC 4303, RFC 4302).

Algorithms that scapy lacks are those of OpenSSL in scapy's constructions: see ``tests/plane/beyond_scapy.py``.
"""

from __future__ import annotations

import pytest

from caponier._plane import PlaneError
from tests.plane.beyond_scapy import xcbc
from tests.plane.forms import LOWER, Form, Peer, datagram, forms, opener, sealer, suites_of
from tests.plane.suites import Suite

CASES = [pytest.param(form, suite, id=f"{form.name}-{suite.name}") for form in forms() for suite in suites_of(form)]
LENGTHS = (0, 1, 2, 3, 13, 14, 15, 16, 17, 64, 1400)  #: of payloads; with these each padding of a block comes
every_case = pytest.mark.parametrize(("form", "suite"), CASES)


def numbers(form: Form) -> list[int]:
    """A sequence number for each length; with ESN across the end of the lower half."""
    first = LOWER - 4 if form.esn else LOWER - 2 * len(LENGTHS)
    found = [first + step for step in range(len(LENGTHS) + 1)]
    return [number for number in found if number & LOWER][: len(LENGTHS)]


def content(length: int) -> bytes:
    return (bytes(range(256)) * 6)[:length]


@every_case
def test_scapy_opens_what_we_seal(form: Form, suite: Suite) -> None:
    """RFC 4303 section 3.3, RFC 4302 section 3.3."""
    peer = Peer(form, suite)
    for length, number in zip(LENGTHS, numbers(form), strict=True):
        packet = datagram(form.inner, content(length))
        sealed = sealer(form, suite, number).seal(packet)
        assert peer.open(sealed, number) == packet, f"{length} octets"


@every_case
def test_we_open_what_scapy_seals(form: Form, suite: Suite) -> None:
    """RFC 4303 section 3.4, RFC 4302 section 3.4."""
    peer, ours = Peer(form, suite), opener(form, suite)
    for number in (1, 1 << 31):  # half of the numbers in one step is as much as the upper half can be guessed over
        ours.open(peer.seal(datagram(form.inner, b""), number))
    for length, number in zip(LENGTHS, numbers(form), strict=True):
        packet = datagram(form.inner, content(length))
        assert ours.open(peer.seal(packet, number)) == packet, f"{length} octets"


@every_case
def test_every_changed_octet_of_the_payload_is_noticed(form: Form, suite: Suite) -> None:
    """RFC 4303 section 3.4.4.1, RFC 4302 section 3.4.4: from the SPI on everything is covered, the ICV included."""
    packet = datagram(form.inner, b"untouched")
    sealed = Peer(form, suite).seal(packet, 1)
    ours = opener(form, suite)
    start = 0 if form.is_bare else 20 if sealed[0] >> 4 == 4 else 40
    for position in range(start, len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 0x40
        with pytest.raises(PlaneError):
            ours.open(bytes(changed))
    assert ours.open(sealed) == packet


@pytest.mark.parametrize("form", forms(), ids=lambda form: form.name)
def test_numbers_come_once(form: Form) -> None:
    """RFC 4303 section 3.4.3 and appendix A2, RFC 4302 section 3.4.3 and appendix B2.

    With extended numbers what is left of the window counts as one of the next upper half, which fails the check.
    """
    suite = suites_of(form)[0]
    peer, ours = Peer(form, suite), opener(form, suite, 32)
    packets = {number: peer.seal(datagram(form.inner, b""), number) for number in (1, 2, 40, 41)}
    told = []
    for number in (1, 40, 2, 1, 40, 41, 41):
        try:
            ours.open(packets[number])
            told.append("ok")
        except PlaneError as error:
            told.append(str(error))
    left = "bad-icv" if form.esn else "too-old"
    assert told == ["ok", "ok", left, left, "replayed", "ok", "replayed"]


@pytest.mark.parametrize("form", [form for form in forms() if not form.esn], ids=lambda form: form.name)
def test_sealing_never_wraps(form: Form) -> None:
    """RFC 4303 section 3.3.3, RFC 4302 section 3.3.2."""
    ours = sealer(form, suites_of(form)[0], LOWER)
    ours.seal(datagram(form.inner, b"the last"))
    with pytest.raises(PlaneError, match=r"^sequence-exhausted$"):
        ours.seal(datagram(form.inner, b"one more"))


@pytest.mark.parametrize("octets", [3, 16, 20], ids=lambda octets: f"{octets}-octets")
def test_the_reference_s_xcbc_is_that_of_the_rfc(octets: int) -> None:
    """RFC 3566 section 4.6, cases 2, 3 and 4: so the tests above compare with the right thing."""
    tags = {
        3: "5b376580ae2f19afe7219ceef172756f",
        16: "d2a246fa349b68a79998a4394ff7a263",
        20: "47f51b4564966215b8985c63055ed308",
    }
    assert xcbc(bytes(range(16)), bytes(range(octets))).hex() == tags[octets]
