"""``caponier esp`` as people and scripts use it; the manual's page says what it does."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.console import Console
from typer.testing import CliRunner, Result

from caponier.cli import esp_schema, progress
from caponier.cli.esp_keys import SaTable
from caponier.cli.main import app
from caponier.cli.terminal import out
from caponier.protocols.captures.decode import VERDICTS
from caponier.protocols.captures.ipsec import Passed
from caponier.protocols.esp import OK
from tests.cli.office import PAGE, furnish, key_file
from tests.unit.protocols.samples import inner, ipv4, pcap

logging.getLogger("scapy").setLevel(logging.ERROR)

RUNNER = CliRunner()
ESP = typer.main.get_command(app).commands["esp"].commands  # type: ignore[attr-defined]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a capture and its keys, to work in."""
    monkeypatch.setattr(out, "width", 180)  # as for a pipe, wherever the tests run
    monkeypatch.chdir(furnish(tmp_path))
    return tmp_path


def run(*arguments: str, given: bytes = b"", expected: int = 0) -> Result:
    """A command, in this process. Its end must be one that it has chosen."""
    result = RUNNER.invoke(app, ["esp", *arguments], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == expected, result.output
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# -- seal and open


def test_what_is_sealed_is_opened(office: Path) -> None:
    packets = [inner(bytes(number)) for number in range(3)]
    text = "\n\n".join(packet.hex() for packet in packets).encode()
    sealed = run("seal", "-k", "office.keys", "--spi", "d6fec5af", given=text).stdout
    assert len(sealed.split("\n\n")) == 3
    opened = run("open", "-k", "office.keys", given=sealed.encode())
    assert opened.stdout.split() == [packet.hex() for packet in packets]
    assert opened.stderr.splitlines() == [
        f"opened ESP d6fec5af #{number}: 10.1.0.2:40000 > 10.2.0.2:443 UDP, {27 + number} octets"
        for number in range(1, 4)
    ]


def test_octets_instead_of_hexadecimal(office: Path) -> None:
    (office / "inner").write_bytes(inner(b"payload"))
    sealed = run("seal", "-k", "office.keys", "--spi", "0xD6FEC5AF", "--binary", "inner").stdout_bytes
    assert sealed[:8].hex() == "d6fec5af00000001"
    (office / "sealed").write_bytes(sealed)
    assert run("open", "-k", "office.keys", "--binary", "sealed").stdout_bytes == inner(b"payload")


def test_hexadecimal_in_every_spelling(office: Path) -> None:
    digits = inner(b"payload").hex()
    expected = run("seal", "-k", "office.keys", "--spi", "d6fec5af", given=digits.encode()).stdout
    for text in (
        digits.upper(),
        f"0x{digits}",
        f"\n {digits[:40]}\n{digits[40:]} \n\n",
        ":".join(re.findall("..", digits)),
    ):
        assert run("seal", "-k", "office.keys", "--spi", "d6fec5af", "-", given=text.encode()).stdout == expected


def test_sequence_numbers_are_as_asked_for(office: Path) -> None:
    """RFC 4303 section 3.3.3."""
    text = b"\n\n".join([inner().hex().encode()] * 2)
    found = lines(run("seal", "-k", "office.keys", "--spi", "d6fec5af", "-n", "4294967294", "--json", given=text))
    assert [(each["protocol"], each["spi"], each["sequence"]) for each in found] == [
        ("esp", 0xD6FEC5AF, 4294967294),
        ("esp", 0xD6FEC5AF, 4294967295),
    ]
    assert [each["packet"][8:16] for each in found] == ["fffffffe", "ffffffff"]
    three = text + b"\n\n" + inner().hex().encode()
    end = run("seal", "-k", "office.keys", "--spi", "d6fec5af", "-n", "4294967294", given=three, expected=1)
    assert "no sequence number is left" in end.stderr
    assert end.stdout == ""


def test_refusals_have_the_names_of_drops_and_an_exit_code(office: Path) -> None:
    """RFC 4303 section 3.4: the first, the same again, and one that was changed."""
    result = run("open", "-k", "office.keys", "--json", "sealed.hex", expected=1)
    assert [(each["verdict"], each["sequence"]) for each in lines(result)] == [(OK, 1), ("replayed", 1), ("bad-icv", 2)]
    assert lines(result)[1]["packet"] is None
    told = run("open", "-k", "office.keys", "sealed.hex", expected=1)
    assert [line.split(" ESP")[0] for line in told.stderr.splitlines()] == ["opened", "replayed", "bad-icv"]
    for text, verdict in (
        ("00001234 00000001 00", "unknown-spi"),
        ("d6fec5af 00000001", "truncated"),
        ("d6", "truncated"),
    ):
        result = run("open", "-k", "office.keys", given=text.encode(), expected=1)
        assert result.stdout.strip() == ""
        assert result.stderr.startswith(verdict)
        assert VERDICTS[verdict] in result.stderr


@pytest.mark.parametrize(
    ("arguments", "given", "told", "code"),
    [
        (["seal"], b"4500", "Missing option", 2),
        (["seal", "-k", "office.keys"], b"4500", "the key file has 2 SAs: d6fec5af, 0b1c2d3e", 1),
        (["seal", "-k", "office.keys", "--spi", "1234"], b"4500", "no SA has SPI 00001234", 1),
        (["seal", "-k", "office.keys", "--spi", "spi"], b"4500", "is no SPI", 2),
        (["seal", "-k", "office.keys", "--spi", "123456789"], b"4500", "is no SPI", 2),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af", "-n", "0"], b"4500", "greater than or equal to 1", 2),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af"], b"4500", "malformed-inner: no IP packet", 1),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af"], b" \n", "is empty", 1),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af"], b"450", "packet 1 is text, but not hexadecimal", 1),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af"], b"45\n\nhello", "packet 2 is text, but not", 1),
        (["seal", "-k", "office.keys", "--spi", "d6fec5af", "nowhere"], b"", "nowhere cannot be read: No such file", 1),
        (["seal", "-k", "nowhere.keys"], b"4500", "nowhere.keys: cannot be read", 1),
        (["open", "-k", "office.keys", "."], b"", "cannot be read: Is a directory", 1),
        (["open", "-k", "office.keys", "--replay-window", "31"], b"", "greater than or equal to 32", 2),
        (["decode", "-k", "office.keys", "nowhere.pcap"], b"", "nowhere.pcap cannot be read: No such file", 1),
        (["decode", "-k", "office.keys", "."], b"", "cannot be read: Is a directory", 1),
        (["decode", "-k", "office.keys", "office.keys"], b"", "at octet 0: neither pcap nor pcapng", 1),
        (["decode", "-k", "office.keys", "-w", "office.pcap", "office.pcap"], b"", "is the capture itself", 1),
        (["decode", "-k", "office.keys", "-w", "no/where.pcap", "office.pcap"], b"", "cannot be written: No such", 1),
        (["decode", "-k", "office.keys", "--udp-port", "0", "office.pcap"], b"", "greater than or equal to 1", 2),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told(office: Path, arguments: list[str], given: bytes, told: str, code: int) -> None:
    result = run(*arguments, given=given, expected=code)
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_several_packets_cannot_be_octets(office: Path) -> None:
    text = b"\n\n".join([inner().hex().encode()] * 2)
    result = run("seal", "-k", "office.keys", "--spi", "d6fec5af", "--binary", given=text, expected=1)
    assert "--binary writes one packet, not 2" in result.stderr


def test_protocols_and_modes(office: Path) -> None:
    """RFC 4302 section 3.1.1, RFC 4303 section 3.1.1: whole IP packets, which open finds the SA of by itself."""
    for spi, protocol, number in (("7a11c0de", "ah", 51), ("51a7e001", "esp", 50)):
        text = inner(b"payload").hex().encode()
        (one,) = lines(run("seal", "-k", "hosts.keys", "--spi", spi, "--json", given=text))
        assert (one["protocol"], one["spi"], one["packet"][18:20]) == (protocol, int(spi, 16), f"{number:02x}")
        (opened,) = lines(run("open", "-k", "hosts.keys", "--json", given=one["packet"].encode()))
        assert (opened["protocol"], opened["verdict"]) == (protocol, OK)
        assert opened["packet"][40:] == inner(b"payload")[20:].hex()
        told = run("open", "-k", "hosts.keys", given=one["packet"].encode()).stderr
        assert told.startswith(f"opened {protocol.upper()} {spi} #1: 10.1.0.2:40000 > 10.2.0.2:443 UDP")


def test_transport_mode_is_for_whole_datagrams(office: Path) -> None:
    """RFC 4303 section 3.3.4."""
    fragment = ipv4(17, bytes(24), fragment=0x2000).hex().encode()
    result = run("seal", "-k", "hosts.keys", "--spi", "51a7e001", given=fragment, expected=1)
    assert "fragment: transport mode is for whole datagrams" in result.stderr


def test_ah_in_tunnel_mode_needs_its_ends(office: Path) -> None:
    """RFC 4302 section 3.1.2."""
    keys = key_file("hosts.keys").replace('mode = "transport"', "", 1)
    ends = 'source = "2001:db8::1"\ndestination = "2001:db8::2"\n'
    for name, text in (("some.keys", keys), ("all.keys", keys.replace("[[sa]]\n", "[[sa]]\n" + ends, 1))):
        (office / name).write_text(text)
        (office / name).chmod(0o600)
    packet = inner(b"payload").hex()
    result = run("seal", "-k", "some.keys", "--spi", "7a11c0de", given=packet.encode(), expected=1)
    assert 'hint: add source = "ADDRESS" and destination = "ADDRESS"' in " ".join(result.stderr.split())
    sealed = run("seal", "-k", "all.keys", "--spi", "7a11c0de", given=packet.encode()).stdout.strip()
    assert (sealed[:2], sealed[12:14]) == ("60", "33")
    for name in ("some.keys", "all.keys"):
        assert run("open", "-k", name, given=sealed.encode()).stdout.strip() == packet


# -- keys


def test_no_option_takes_a_key() -> None:
    """The command line is in the list of processes, for everybody to see."""
    taking = {option for command in ESP.values() for each in command.params for option in each.opts if "key" in option}
    assert taking == {"--keys"}


@pytest.mark.parametrize("command", ["seal", "open", "decode"])
def test_a_key_file_that_others_can_read_is_refused(office: Path, command: str) -> None:
    (office / "office.keys").chmod(0o644)
    spi = ["--spi", "d6fec5af"] if command == "seal" else []
    name = {"seal": "inner.hex", "open": "sealed.hex", "decode": "office.pcap"}[command]
    result = run(command, "-k", "office.keys", *spi, name, expected=1)
    assert "can be read by others than its owner (mode 0644)" in result.stderr
    assert "1 mistake; nothing of the file is taken" in result.stderr
    taken = 1 if command == "open" else 0  # sealed.hex holds a replay
    assert run(command, "-k", "office.keys", "--insecure-permissions", *spi, name, expected=taken).stdout


def test_no_output_shows_a_key(office: Path) -> None:
    shown = "".join(
        run(*arguments, expected=code).output
        for arguments, code in (
            (["seal", "-k", "office.keys", "--spi", "d6fec5af", "inner.hex"], 0),
            (["open", "-k", "office.keys", "sealed.hex"], 1),
            (["decode", "-k", "office.keys", "office.pcap", "--json"], 0),
            (["decode", "-k", "mistaken.keys", "office.pcap"], 1),
        )
    )
    for key in re.findall(r'key = "([0-9a-f]{16})', key_file()):
        assert key not in shown


# -- decode


def test_the_lines_of_json_are_those_of_the_schema(office: Path) -> None:
    *packets, last = lines(run("decode", "office.pcap", "-k", "office.keys", "--json"))
    assert [esp_schema.Packet.model_validate(each).verdict for each in packets] == [
        OK, OK, OK, "replayed", OK, OK, "bad-icv", "unknown-spi",
    ]  # fmt: skip
    summary = esp_schema.Summary.model_validate(last)
    assert (summary.frames, summary.passed["ike"], summary.passed["fragment"]) == (10, 1, 1)
    assert set(summary.passed) == {each.name.lower().replace("_", "-") for each in Passed}
    out, back, unknown = summary.spis
    assert (out.spi, out.suite, out.packets, out.opened, out.missing) == (0xD6FEC5AF, "aes256gcm16", 6, 4, 1)
    assert out.verdicts == {"bad-icv": 1, OK: 4, "replayed": 1}
    assert (back.packets, back.opened, unknown.suite, unknown.spi) == (1, 1, None, 0x1234)
    assert packets[0]["time"] == "2023-11-14T22:13:20.001250Z"
    assert packets[0]["inner"]["protocol_name"] == "ICMP"


def test_inner_packets_are_written_as_pcap(office: Path) -> None:
    """Read by a reader that we did not write; they are the peers' secrets, and so their owner's alone."""
    from scapy.layers.inet import ICMP, IP, TCP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import rdpcap

    run("decode", "office.pcap", "-k", "office.keys", "-w", "inner.pcap", "-q")
    packets = rdpcap("inner.pcap")
    assert len(packets) == 5
    assert (packets[0][IP].src, packets[0][ICMP].type) == ("10.1.0.2", 8)
    assert (packets[1][IP].src, packets[1][ICMP].type) == ("10.2.0.2", 0)
    assert (packets[4][IPv6].src, packets[4][TCP].dport) == ("fd00:1::2", 443)
    assert float(packets[0].time) == 1_700_000_000.00125
    assert (office / "inner.pcap").stat().st_mode & 0o777 == 0o600


def test_only_the_summary(office: Path) -> None:
    quiet = run("decode", "office.pcap", "-k", "office.keys", "--quiet").stdout
    assert quiet == run("decode", "office.pcap", "-k", "office.keys").stdout.partition("\n\n")[2]
    assert len(lines(run("decode", "office.pcap", "-k", "office.keys", "-q", "--json"))) == 1


def test_a_capture_that_is_cut_off_is_decoded_up_to_there(office: Path) -> None:
    whole = (office / "office.pcap").read_bytes()
    for length in range(0, len(whole), 61):
        result = RUNNER.invoke(app, ["esp", "decode", "-", "-k", "office.keys", "--json"], input=whole[:length])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert lines(result)[-1]["kind"] == "summary"
        if result.exit_code:
            assert re.search(r"error: at octet \d+: the file ends inside of", result.stderr)
    assert result.exit_code == 1


def test_a_capture_of_nothing_of_ours_says_where_to_look(office: Path) -> None:
    (office / "other.pcap").write_bytes(pcap([ipv4(6, bytes(20))], link=101))
    result = run("decode", "other.pcap", "-k", "office.keys")
    assert "1 frame: 0 ESP or AH, 1 other" in result.stdout
    assert "--udp-port" in result.stdout


def test_people_are_not_shown_a_thousand_spis(office: Path) -> None:
    """A stranger can send any number of them."""
    strangers = [ipv4(50, (0x1000 + number).to_bytes(4) + bytes(20)) for number in range(1500)]
    (office / "other.pcap").write_bytes(pcap(strangers, link=101))
    shown = run("decode", "other.pcap", "-k", "office.keys", "-q").stdout
    assert "ESP 00001013  no key" in shown
    assert "and 981 more SPIs without keys" in shown
    assert len(shown.splitlines()) < 50
    (summary,) = lines(run("decode", "other.pcap", "-k", "office.keys", "-q", "--json"))
    assert len(summary["spis"]) == 2 + 1000 + 1
    assert (summary["spis"][-1]["spi"], summary["spis"][-1]["packets"]) == (None, 500)


def test_other_keys_say_where_to_look(office: Path) -> None:
    text = key_file().replace("4f2a1c9e", "00000000")
    (office / "office.keys").write_text(text)
    result = run("decode", "office.pcap", "-k", "office.keys", "-q")
    assert "no packet of ESP d6fec5af could be opened: are the keys those of this direction" in result.stdout
    assert "ESP 0b1c2d3e could" not in result.stdout


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 1600), st.integers(0, 255)), max_size=6), length=st.integers(0, 1600))
def test_a_changed_capture_ends_well(office: Path, changes: list[tuple[int, int]], length: int) -> None:
    """Decoded, or refused with its place; never anything else."""
    octets = bytearray((office / "office.pcap").read_bytes())
    for at, value in changes:
        octets[at % len(octets)] = value
    arguments = ["esp", "decode", "-", "-k", "office.keys"]
    result = RUNNER.invoke(app, arguments, input=bytes(octets[: length or None]))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1)
    assert (result.exit_code == 1) == ("error: at octet" in result.stderr)


# -- progress


class Clock:
    """Time, as a test wants it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("total", "shown"), [(1000, "500/1,000 bytes"), (None, "500/? bytes")])
def test_progress_is_shown_to_who_waits(monkeypatch: pytest.MonkeyPatch, total: int | None, shown: str) -> None:
    clock, screen = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "monotonic", clock)
    monkeypatch.setattr(progress, "err", Console(file=screen, force_terminal=True, width=120))
    with progress.ReadingProgress("reading office.pcap", total, is_shown=True) as reading:
        clock.now += progress.PATIENCE - 0.1
        reading.advance(200)
        assert screen.getvalue() == ""
        clock.now += 0.2
        reading.advance(300)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "reading office.pcap" in text
    assert shown in text


def test_progress_is_not_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "monotonic", clock)
    monkeypatch.setattr(progress, "err", Console(file=screen, force_terminal=True))
    with progress.ReadingProgress("reading office.pcap", 1000, is_shown=False) as reading:
        clock.now += 1000
        reading.advance(300)
    assert screen.getvalue() == ""


# -- as a process


def test_a_pipe_from_seal_to_open(office: Path) -> None:
    """As a shell runs it, with real standard streams."""
    caponier = f"{shlex.quote(sys.executable)} -m caponier.cli.main esp"
    command = f"{caponier} seal -k office.keys --spi 0b1c2d3e inner.hex | {caponier} open -k office.keys --binary"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=True)
    assert done.stdout.hex() == (office / "inner.hex").read_text().strip()
    assert done.stderr.decode() == "opened ESP 0b1c2d3e #1: 10.1.0.2 > 10.2.0.2 ICMP echo request, 44 octets\n"


# -- the manual's page


def section(heading: str) -> str:
    """From a heading to the next of its level or a higher one."""
    _, found, rest = PAGE.read_text().partition(f"\n{heading}\n")
    assert found, f"no section {heading!r}"
    return re.split(rf"^#{{1,{heading.index(' ')}}} ", rest, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


EXAMPLES = [
    (first, shown)
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for first, _, shown in [block.partition("\n")]
    if first.startswith("$ ")
]


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_examples_of_the_page_are_what_comes(office: Path, command: str, shown: str) -> None:
    words = shlex.split(command.removeprefix("$ "))
    octets = b""
    if words[0] == "head":
        octets = (office / words[3]).read_bytes()[: int(words[2])]
        words = words[5:]
    assert words[:2] == ["caponier", "esp"]
    result = RUNNER.invoke(app, words[1:], input=octets)
    came = "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())
    assert came == shown, f"the page does not say what comes of {command!r}; it is\n{came}"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 6
    assert {word for command, _ in EXAMPLES for word in ("seal", "open", "decode") if word in command} == set(ESP)


@pytest.mark.parametrize("name", ESP)
def test_every_option_is_on_the_page(name: str) -> None:
    """Exactly the options and arguments that the command takes, in the table and in the synopsis."""
    table = [cells[0] for cells in rows(section(f"## caponier esp {name}").partition("```")[0])]
    shown = {word.split(" ")[0] for cell in table for word in codes(cell) if word.startswith("-")}
    synopsis = PAGE.read_text().partition(f"caponier esp {name} ")[2].partition("caponier")[0].partition("```")[0]
    parameters = [each for each in ESP[name].params if each.name != "help"]
    for each in parameters:
        if each.param_type_name == "argument":
            assert f"`{each.metavar}`" in table
            assert each.metavar in synopsis
        else:
            assert any(option in synopsis for option in each.opts), each.opts
    assert shown == {option for each in parameters if each.param_type_name == "option" for option in each.opts}


def test_every_key_of_the_key_file_is_on_the_page() -> None:
    found = {
        cells[0].strip("`"): cells[1] for cells in rows(PAGE.read_text().partition("\n## The key file\n")[2])[2:11]
    }
    assert set(found) == set(SaTable.model_fields)
    for name, field in SaTable.model_fields.items():
        if field.is_required():
            assert found[name] == "required"
        elif field.default is not None:
            assert json.loads(found[name].strip("`")) == field.default


def test_every_verdict_is_on_the_page() -> None:
    """With the words that the tool has for it."""
    found = {cells[0].strip("`"): cells[1] for cells in rows(section("### Verdicts"))[2:]}
    assert found == {OK: "opened", **VERDICTS}


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("## caponier esp seal", esp_schema.Sealed),
        ("## caponier esp open", esp_schema.Opened),
        ("### JSON", esp_schema.Packet),
        ("### JSON", esp_schema.Summary),
        ("### JSON", esp_schema.Spi),
        ("### Inner packets", esp_schema.Inner),
    ],
)
def test_every_field_of_the_json_is_on_the_page(heading: str, model: type[BaseModel]) -> None:
    assert set(model.model_fields) <= codes(section(heading))
