"""Reader, Writer and Secret."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.errors import WireError
from caponier.octets import Reader, Secret, Writer

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


@given(
    st.lists(
        st.sampled_from(sorted(WIDTHS)).flatmap(
            lambda w: st.tuples(st.just(w), st.integers(0, 2 ** (8 * WIDTHS[w]) - 1))
        )
    )
)
def test_what_is_written_is_read(fields: list[tuple[str, int]]) -> None:
    """Network byte order (RFC 7296 section 3: "All multi-octet fields representing integers are laid out in big endian
    order")."""
    writer = Writer()
    for width, value in fields:
        assert getattr(writer, width)(value) is writer
    octets = writer.finish()
    assert len(writer) == len(octets) == sum(WIDTHS[width] for width, _ in fields)
    assert octets == b"".join(value.to_bytes(WIDTHS[width], "big") for width, value in fields)
    reader = Reader(octets)
    assert [getattr(reader, width)("field") for width, _ in fields] == [value for _, value in fields]
    reader.end()


@given(st.binary(max_size=16), st.integers(-3, 20))
def test_a_reader_never_passes_its_end(octets: bytes, count: int) -> None:
    reader = Reader(octets, "KE payload")
    if 0 <= count <= len(octets):
        assert reader.octets(count, "data") == octets[:count]
        assert reader.position == count
        assert reader.remaining == len(octets) - count
        assert reader.rest() == octets[count:]
        return
    with pytest.raises(WireError, match="KE payload: data needs") as caught:
        reader.octets(count, "data")
    assert caught.value.field == "data"
    assert reader.position == 0


@pytest.mark.parametrize(("method", "width"), WIDTHS.items())
def test_a_shortfall_names_the_field(method: str, width: int) -> None:
    with pytest.raises(WireError, match=f"message: length needs {width} octets, {width - 1} are left"):
        getattr(Reader(bytes(width - 1)), method)("length")


def test_a_reader_of_its_own() -> None:
    reader = Reader(bytearray(b"abcdef"))
    sub = reader.sub(3, "body")
    assert sub.what == "body"
    assert sub.rest() == b"abc"
    assert reader.rest() == b"def"
    with pytest.raises(WireError):
        reader.sub(1, "body")
    with pytest.raises(WireError):
        Reader(b"abc").sub(-1, "body")


def test_nothing_may_be_left() -> None:
    reader = Reader(memoryview(b"ab"), "nonce")
    reader.u8("octet")
    with pytest.raises(WireError, match="nonce: 1 octets too many"):
        reader.end()


def test_what_is_read_is_a_copy() -> None:
    buffer = bytearray(b"abcd")
    read = Reader(buffer).octets(2, "data")
    buffer[:] = bytes(4)
    assert read == b"ab"


def test_lengths_are_patched() -> None:
    writer = Writer().u16(0).u32(0).octets(b"xy").octets(memoryview(b"z"))
    writer.patch_u16(0, 0x0102).patch_u32(2, 0x03040506)
    assert writer.finish() == b"\x01\x02\x03\x04\x05\x06xyz"


@pytest.mark.parametrize(
    ("method", "value"), [("u8", 256), ("u16", 65_536), ("u32", 2**32), ("u64", 2**64), ("u8", -1)]
)
def test_a_value_that_does_not_fit_is_our_bug(method: str, value: int) -> None:
    with pytest.raises(OverflowError):
        getattr(Writer(), method)(value)


KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def test_a_secret_never_shows_itself() -> None:
    secret = Secret(KEY)
    for text in (repr(secret), str(secret), f"{secret}", repr([secret])):
        assert "Secret(16 octets)" in text
        assert "11" not in text
    assert secret.expose() == KEY


def test_secrets_are_compared_by_value() -> None:
    assert Secret(KEY) == Secret(bytearray(KEY))
    assert Secret(KEY) != Secret(KEY[:-1])
    assert Secret(KEY) != KEY


def test_a_secret_is_neither_hashed_nor_pickled_nor_copied() -> None:
    with pytest.raises(TypeError):
        hash(Secret(KEY))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(KEY))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Secret(KEY))


def test_a_secret_is_wiped() -> None:
    secret = Secret(KEY)
    with secret as inside:
        assert inside.expose() == KEY
    assert secret.expose() == bytes(16)
    assert len(secret) == 16


def test_the_makers_buffer_is_not_shared() -> None:
    buffer = bytearray(KEY)
    secret = Secret(buffer)
    buffer[:] = bytes(16)
    assert secret.expose() == KEY


@given(st.lists(st.binary(max_size=8), max_size=5))
def test_a_secret_is_split(pieces: list[bytes]) -> None:
    """RFC 7296 section 2.14: "taken in order from the generated bits of the prf+"."""
    split = Secret(b"".join(pieces)).split(*map(len, pieces))
    assert [piece.expose() for piece in split] == pieces


def test_a_split_takes_all() -> None:
    with pytest.raises(ValueError, match="cannot cut 16 octets"):
        Secret(KEY).split(8, 4)
