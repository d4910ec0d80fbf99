"""Whatever stands in the file: it is taken, or refused with findings; nothing else ever comes out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.daemon.config import Configuration, InvalidConfiguration, load
from caponier.errors import ConfigError
from tests.unit.config.site import GOOD, SECRET, furnish

MORE = """
[connection.host]
local = { address = "192.0.2.1", secret = "file:office.psk" }
remote = { address = "192.0.2.2" }
interface = "vpn0"
routes = false

[connection.host.child.all]
local = "192.0.2.1"
remote = "192.0.2.2[tcp]"
protocol = "esp"
mode = "tunnel"
tfc = "mtu"
dscp = 46
ecn = true
df = "copy"
mss = "auto"
rekey_bytes = "9 GiB"
life_bytes = "10 GiB"
rekey_packets = 1
life_packets = 2
rekey_time = "7h"
life_time = "8h"

[[policy]]
name = "printer"
action = "bypass"
local = "10.1.0.0/16"
remote = "10.9.0.9"
"""
LINES = (GOOD + MORE).splitlines()

VALUES = st.sampled_from(
    [
        *("0", "-1", "1.5", "nan", "inf", "1e999", "true", "65536", "99999999999999999999", "0x7fffffffffffffff"),
        *('""', '"%any"', '"\\u0000"', '"*"', '"*.*"', '"::"', '"::/0"', '"0.0.0.0/0"', '"10.0.0.0/8[tcp]"', '"[]"'),
        *('"file:office.psk"', '"file:"', '"env:"', '"env:="', '"env:\\u0000"', '"file:.."', '"office.psk"', '"-"'),
        *("[]", "{}", "[[]]", "[{}]", '["", 1, {}]', "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "{ a.b.c = 1 }"),
        *('"aes128"', '"aes128-aes128"', '"null"', '"-"', '"aes256gcm16-prfsha384-ecp384-ecp384"', '"esn"', '"none"'),
        *(
            '"copy"',
            '"mtu"',
            '"10 GiB"',
            '"8h"',
            '"1e9 B"',
            '"-1"',
            '"transport"',
            '"ah"',
            '"discard"',
            '"cap0"',
            '"9" * 99',
        ),
        *('"CN=gw"', '"CN="', '"keyid:zz"', '"keyid:"', '"@"', '"a@b"', '"ours.pem"', '"' + "x" * 300 + '"'),
    ]
)


@st.composite
def other_value(draw: st.DrawFn) -> tuple[int, str]:
    """A line with another value."""
    number = draw(st.integers(0, len(LINES) - 1))
    key, equals, _ = LINES[number].partition(" = ")
    return number, f"{key} = {draw(VALUES)}" if equals else f"[{draw(VALUES)}]"


@st.composite
def other_letters(draw: st.DrawFn) -> tuple[int, str]:
    """A line with some letters replaced."""
    number = draw(st.integers(0, len(LINES) - 1))
    start = draw(st.integers(0, len(LINES[number])))
    length = draw(st.integers(0, 8))
    letters = draw(st.text(max_size=4) | st.text("[]{}\"'=.,#\n\\%-/:", max_size=6))
    return number, LINES[number][:start] + letters + LINES[number][start + length :]


@st.composite
def other_lines(draw: st.DrawFn) -> tuple[int, str]:
    """A line left out, or another one in its place."""
    number = draw(st.integers(0, len(LINES) - 1))
    return number, draw(st.just("") | st.sampled_from(LINES))


MUTATIONS = st.lists(other_value() | other_letters() | other_lines(), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """One directory for all examples."""
    with tempfile.TemporaryDirectory() as directory:
        yield furnish(Path(directory))


def taken(file: Path, octets: bytes) -> Configuration | None:
    """The configuration, or None with findings that a person can use."""
    file.write_bytes(octets)
    try:
        return load(file)
    except InvalidConfiguration as error:
        assert isinstance(error, ConfigError)
        assert error.findings
        for each in error.findings:
            assert each.place.file == file
            assert each.place.line is None or 1 <= each.place.line <= octets.count(b"\n") + 1
            assert 0 < len(each.message) < 2000
        assert SECRET not in str(error)
        return None


def test_the_unchanged_file_is_taken(site: Path) -> None:
    assert taken(site, GOOD.encode()) is not None
    assert taken(site, (GOOD + MORE).encode()) is not None


@settings(max_examples=400, deadline=None)
@given(mutations=MUTATIONS)
def test_mutated_files(site: Path, mutations: list[tuple[int, str]]) -> None:
    lines = list(LINES)
    for number, line in mutations:
        lines[number] = line
    taken(site, "\n".join(lines).encode())


@settings(max_examples=200, deadline=None)
@given(octets=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_junk(site: Path, octets: bytes) -> None:
    taken(site, octets)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(GOOD)))
def test_truncated_files(site: Path, at: int) -> None:
    """As an editor leaves it on a full disk."""
    taken(site, GOOD.encode()[:at])
