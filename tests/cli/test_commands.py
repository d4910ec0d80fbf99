"""The command line without a daemon: help, check, doi, version, and what it says when nobody answers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from caponier import __version__
from caponier.api import schema
from caponier.api.registry import registry
from caponier.cli import doi as doi_page
from caponier.cli import status as status_page
from caponier.cli import watch as watch_page
from caponier.cli.main import app
from caponier.doi.registry import REGISTRIES
from tests.daemon.site import CAPONIER, caponier
from tests.unit.config.site import GOOD, furnish

COMMANDS = ("run", "check", "up", "down", "status", "watch", "reload", "doi", "version", "demo")
SPEAKING = ("up", "down", "status", "watch", "reload")  #: those that need a daemon


def invoke(*arguments: str) -> Any:
    """Run a command within this process."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})


# -- help


def test_help_names_every_command() -> None:
    told = invoke("--help")
    assert told.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"^\W*{command} ", told.output, re.MULTILINE), command
    assert "demo-enter" not in told.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    for word in ("--help", "-h"):
        told = invoke(command, word)
        assert told.exit_code == 0
        assert f"caponier {command}" in told.output.replace("root ", "caponier ")
    options = {"run": ["--config"], "check": ["--config", "--json"], "doi": ["--json", "WORD"], "reload": ["--socket"]}
    options |= {"demo": ["--keep", "--down", "--directory"]}
    for option in options.get(command, ["--socket", "--json"]):
        assert option in told.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["statsu"], "status"),
        (["status", "--jsn"], "--json"),
        (["up"], "CONNECTION"),
        (["up", "office", "--timeout", "0"], "0.1"),
        (["up", "office", "--timeout", "soon"], "--timeout"),
        (["check", "-c"], "argument"),
    ],
)
def test_a_command_that_makes_no_sense(arguments: list[str], told: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert told in done.output + done.stderr


# -- version


def test_version() -> None:
    done = invoke("version", "--socket", "/nonexistent")
    assert done.exit_code == 0
    assert f"Caponier {__version__}" in done.output


def test_version_as_json() -> None:
    answer = json.loads(invoke("version", "--json").output)
    assert answer.keys() == schema.VersionInfo.model_fields.keys()
    assert answer["caponier"] == __version__


# -- check


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return furnish(tmp_path)


def test_check_of_a_good_file(file: Path) -> None:
    file.write_text(GOOD)
    done = caponier("check", "-c", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"valid: {file} configures office, branch"


def test_check_of_a_good_file_as_json(file: Path) -> None:
    file.write_text(GOOD)
    done = invoke("check", "-c", str(file), "--json")
    assert done.exit_code == 0
    answer = json.loads(done.output)
    assert answer.keys() == schema.Check.model_fields.keys()
    assert (answer["valid"], answer["findings"]) == (True, [])
    office, branch = answer["connections"]
    assert office.keys() == branch.keys() == schema.ConfiguredConnection.model_fields.keys()
    assert (office["name"], office["start"], office["remote_addresses"]) == ("office", "boot", ["192.0.2.2"])
    assert branch["remote_addresses"] == ["%any"]
    assert office["children"][0] == {
        "name": "lan",
        "protocol": "esp",
        "mode": "tunnel",
        "local": ["10.1.0.0/16", "fd00:1::/64"],
        "remote": ["10.2.0.0/16[tcp/443]"],
        "proposals": ["aes256gcm16"],
    }


def test_check_of_a_bad_file_tells_everything(file: Path) -> None:
    file.write_text(GOOD.replace("liveness", "livenes").replace('mode = "tunnel"', 'mode = "tunel"'))
    done = caponier("check", "-c", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file}:14: connection.office.livenes: there is no such key" in done.stderr
    assert "hint: did you mean 'liveness'?" in done.stderr
    assert f"{file}:21: connection.office.child.lan.mode: 'tunel' is not allowed" in done.stderr
    assert done.stderr.rstrip().endswith("2 mistakes; nothing of the file is taken")


def test_check_of_a_bad_file_as_json(file: Path) -> None:
    file.write_text(GOOD.replace("liveness", "livenes"))
    done = invoke("check", "-c", str(file), "--json")
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert (answer["valid"], answer["connections"]) == (False, [])
    (finding,) = answer["findings"]
    assert finding == {
        "file": str(file),
        "line": 14,
        "key": "connection.office.livenes",
        "message": "there is no such key",
        "hint": "did you mean 'liveness'?",
    }


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("content", [None, b"\xff", b"[", b"connection = 1"])
def test_a_file_that_cannot_be(tmp_path: Path, command: str, content: bytes | None) -> None:
    path = tmp_path / "caponier.toml"
    if content is not None:
        path.write_bytes(content)
    done = invoke(command, "-c", str(path))
    assert done.exit_code == 1
    assert str(path) in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_brackets_in_a_file_are_letters(file: Path) -> None:
    """Rich takes [words] for markup where it is let."""
    file.write_text('[connection."[/x]"]\n"[red]" = 1\n')
    done = invoke("check", "-c", str(file))
    assert done.exit_code == 1
    assert 'connection."[/x]"."[red]"' in done.stderr


# -- doi


def rows(*arguments: str) -> list[dict[str, Any]]:
    done = invoke("doi", "--json", *arguments)
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert all(row.keys() == schema.RegistryEntry.model_fields.keys() for row in found)
    return list(found)


def test_doi_has_every_registry() -> None:
    counts = Counter(row["registry"] for row in rows())
    assert list(counts) == [each.registry for each in REGISTRIES]
    # Lower bounds from the registries of RFC 7296 and its extensions; what grows there, grows here.
    at_least = {
        "IKEv2 Exchange Types": 4,
        "IKEv2 Payload Types": 16,
        "IKEv2 Notify Message Types": 60,
        "Transform Type 1: Encryption Algorithm": 25,
        "Transform Type 2: Pseudorandom Function": 8,
        "Transform Type 3: Integrity Algorithm": 14,
        "Transform Type 4: Key Exchange Method": 25,
        "IKEv2 Authentication Method": 8,
        "IKEv2 Hash Algorithms": 5,
    }
    for name, least in at_least.items():
        assert counts[name] >= least, name


@pytest.mark.parametrize(
    ("keyword", "guidance"),
    [
        # RFC 8247 section 2.1 and RFC 8221 section 5
        ("des", "MUST NOT"),
        ("3des", "IKEv2: MAY; ESP and AH: SHOULD NOT"),
        ("null", "IKEv2: MUST NOT; ESP and AH: MUST"),
        ("aes256", "MUST"),
        ("aes256gcm16", "IKEv2: SHOULD; ESP and AH: MUST"),
        ("chacha20poly1305", "SHOULD"),
        # RFC 8247 sections 2.2 and 2.3, RFC 8221 section 6
        ("prfmd5", "MUST NOT"),
        ("prfsha1", "MUST-"),
        ("prfsha256", "MUST"),
        ("prfsha512", "SHOULD+"),
        ("md5", "MUST NOT"),
        ("sha1", "MUST-"),
        ("sha256", "MUST"),
        # RFC 8247 section 2.4
        ("modp768", "MUST NOT"),
        ("modp1024", "SHOULD NOT"),
        ("modp1024s160", "MUST NOT"),
        ("modp1536", "SHOULD NOT"),
        ("modp2048", "MUST"),
        ("ecp256", "SHOULD"),
    ],
)
def test_doi_says_what_rfc_8221_and_rfc_8247_say(keyword: str, guidance: str) -> None:
    found = [row for row in rows(keyword) if keyword in (row["keyword"] or "").split(", ")]
    assert {row["guidance"] for row in found} == {guidance}
    for row in found:
        assert row["source"]


#: An IKE proposal with room for an algorithm of each kind.
WITH_WEAK = {
    "1": "{}-sha256-ecp384",
    "2": "aes256gcm16-{}-ecp384",
    "3": "aes256-{}-prfsha384-ecp384",
    "4": "aes256gcm16-prfsha384-{}",
}


def test_what_doi_calls_weak_needs_a_word(tmp_path: Path) -> None:
    """RFC 8221 and RFC 8247: nothing that is advised against is used unless the operator says so."""
    file = furnish(tmp_path)
    weak = [
        (word, WITH_WEAK[row["registry"].split()[2].rstrip(":")])
        for row in rows("transform type")
        if row["implemented"] and row["keyword"] and _is_refused_where_it_can_be_used(row["guidance"] or "")
        for word in row["keyword"].split(", ")
    ]
    groups = ["modp1024", "modp1536", "modp1024s160", "modp2048s224", "modp2048s256"]
    assert [word for word, _ in weak] == ["3des", "prfmd5", "md5", *groups]
    for word, proposal in weak:
        text = GOOD.replace("aes256gcm16-prfsha384-ecp384", proposal.format(word))
        assert text != GOOD
        file.write_text(text)
        done = invoke("check", "--config", str(file))
        assert done.exit_code == 1
        assert f"weak: {word}: " in done.stderr
        file.write_text(text.replace("allow_weak = false", "allow_weak = true"))
        assert invoke("check", "--config", str(file)).exit_code == 0


def _is_refused_where_it_can_be_used(guidance: str) -> bool:
    """Of guidance that differs, the part for ESP and AH: what only IKE must not do (no encryption), it cannot."""
    return "NOT" in guidance.rpartition("ESP and AH: ")[2] and "MUST with" not in guidance


def test_doi_of_a_number_and_of_a_word() -> None:
    assert {row["number"] for row in rows("16384")} == {16384}
    assert {row["name"] for row in rows("rfc 8784")} >= {"USE_PPK"}
    assert all("aes" in json.dumps(row).lower() for row in rows("AES"))


def test_doi_of_nothing() -> None:
    done = invoke("doi", "no-such-thing")
    assert done.exit_code == 1
    assert "no entry has 'no-such-thing'" in done.stderr
    done = invoke("doi", "--json", "no-such-thing")
    assert (done.exit_code, json.loads(done.stdout)) == (1, [])


def test_doi_prints_what_must_not_be_used_in_red() -> None:
    console = Console(width=200, force_terminal=True, color_system="standard", no_color=False)
    with console.capture() as captured:
        for table in doi_page.tables(registry("transform type")):
            console.print(table)
    lines = captured.get().splitlines()

    def is_red(name: str) -> bool:
        return "\x1b[31m" in next(
            line for line in lines if f" {name} " in line.replace("\x1b", " \x1b").replace("m", "m ")
        )

    assert [is_red(name) for name in ("ENCR_DES", "AUTH_HMAC_MD5_96", "MODP_1024")] == [True] * 3
    assert [is_red(name) for name in ("ENCR_AES_CBC", "AUTH_NONE", "MODP_2048")] == [False] * 3


# -- nobody answers


@pytest.mark.parametrize("command", SPEAKING)
def test_no_daemon_is_running(tmp_path: Path, command: str) -> None:
    control = tmp_path / "control.sock"
    done = invoke(command, *(["office"] if command in ("up", "down") else []), "--socket", str(control))
    assert done.exit_code == 1
    assert f"no daemon is running: there is no {control}" in done.stderr
    assert "caponier run" in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_a_daemon_that_is_no_more(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(control))
    done = invoke("status", "--socket", str(control))
    assert done.exit_code == 1
    assert "left behind by one that is no more" in done.stderr


def test_what_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path, tmp_path / ("x" * 120), tmp_path / "file" / "beyond"):
        done = invoke("status", "--socket", str(path))
        assert done.exit_code == 1
        assert isinstance(done.exception, SystemExit)
        assert "daemon" in done.stderr


@contextmanager
def answering(control: Path, answer: bytes) -> Iterator[None]:
    """Something that answers everything with the same octets."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(control))
        listener.listen()
        listener.settimeout(10)

        def serve() -> None:
            for _ in range(2):  # the knock, and the question
                with listener.accept()[0] as connection:
                    connection.settimeout(10)
                    if connection.recv(65536) and answer:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[[",
        b"HTTP/1.1 500 no\r\ncontent-length: 3\r\n\r\n<p>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nshort",
    ],
)
def test_somebody_else_answers(tmp_path: Path, answer: bytes) -> None:
    control = tmp_path / "control.sock"
    with answering(control, answer):
        done = invoke("status", "--socket", str(control))
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "daemon" in done.stderr


# -- readers that go


@pytest.mark.parametrize(
    "arguments", [("doi",), ("doi", "--json"), ("version",), ("check", "--json", "-c", "/nonexistent")]
)
def test_a_reader_that_went(arguments: tuple[str, ...]) -> None:
    """As with ``caponier doi | head -1``: not a word about it."""
    source, sink = os.pipe()
    os.close(source)
    done = subprocess.run([*CAPONIER, *arguments], stdout=sink, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(sink)
    assert done.stderr == b""
    assert done.returncode == 0


def test_a_reader_that_goes_in_the_middle() -> None:
    command = [*CAPONIER, "doi", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"["
        process.stdout.close()
        told = process.stderr.read()
        process.wait(30)
    assert (told, process.returncode) == (b"", 0)


# -- pages


def sa(**changes: Any) -> schema.IkeSa:
    traffic = schema.Traffic(packets=12, octets=3456, dropped={"replayed": 2, "bad-icv": 1})
    child = schema.ChildSa(
        name="lan",
        protocol="esp",
        mode="tunnel",
        spi_in=0x0A0B0C0D,
        spi_out=0x01020304,
        suite="aes256gcm16",
        local=["10.1.0.5[tcp/443]"],
        remote=["10.2.0.0/16[udp]"],
        encapsulated=False,
        seconds=90.0,
        inbound=traffic,
        outbound=None,
    )
    usual = schema.IkeSa(
        spi_i="00" * 8,
        spi_r="11" * 8,
        connection="office",
        role="initiator",
        phase="established",
        local_address="fd00::1",
        local_port=500,
        remote_address="fe00::2",
        remote_port=4500,
        suite="aes256gcm16-prfsha384-ecp384",
        local_id="gw1.example.com",
        remote_id="gw2.example.com",
        local_auth="psk",
        remote_auth="psk",
        nat_here=True,
        nat_there=False,
        seconds=100.0,
        silent_seconds=1.0,
        children=[child],
    )
    return usual.model_copy(update=changes)


def page(*, colours: bool = False, **changes: Any) -> str:
    connection = schema.ConfiguredConnection(
        name="office",
        start="boot",
        local_id="gw1.example.com",
        remote_id="gw2.example.com",
        remote_addresses=["fe00::2"],
        interface="vpn0",
        proposals=[],
        children=[schema.ConfiguredChild(name="lan", protocol="esp", mode="tunnel", local=[], remote=[], proposals=[])],
    )
    usual = schema.Status(
        since=datetime(2026, 6, 1, tzinfo=UTC),
        file="/etc/caponier/caponier.toml",
        interface="cap0",
        policies=[schema.ConfiguredPolicy(name="printer", action="bypass", local=["0.0.0.0/0"], remote=["10.9.0.9"])],
        connections=[connection],
        ike_sas=[sa()],
        troubles=[],
        retransmission=schema.Retransmission(first=1.0, factor=1.8, attempts=7, patience=75.3),
        half_open=3,
        drops={"wire-error": 7},
        plane_drops={"unknown-spi": 5},
        warnings=["something of the [system] is in the way"],
    )
    console = Console(
        width=200, force_terminal=colours, color_system="standard" if colours else None, no_color=not colours
    )
    with console.capture() as captured:
        console.print(status_page.render(usual.model_copy(update=changes)))
    return captured.get()


def test_the_status_page_shows_everything() -> None:
    told = page()
    for piece in (
        "printer  bypass  0.0.0.0/0 to 10.9.0.9",
        "office  up  gw1.example.com to gw2.example.com at fe00::2, interface vpn0",
        "[fd00::1]:500 to [fe00::2]:4500, NAT here",
        "10.1.0.5[tcp/443] to 10.2.0.0/16[udp]",
        "SPI 0a0b0c0d, 12 packets, 3.4 KiB, dropped: 1 bad-icv, 2 replayed",
        "SPI 01020304, not counted",
        "for 90 s",
        "something of the [system] is in the way",
        "3 half-open IKE SAs",
        "IKE datagrams dropped: 7 wire-error",
        "packets dropped outside of SAs: 5 unknown-spi",
    ):
        assert piece in told


def test_weak_algorithms_are_shown_in_red() -> None:
    """RFC 8247 section 2, RFC 8221 section 5: of the IKE SA and of its Child SAs, where there are any."""
    child = sa().children[0].model_copy(update={"weak": ["3des", "modp1536"]})
    told = page(ike_sas=[sa(weak=["prfmd5", "modp1024"], children=[child])], colours=True)
    for piece in ("prfmd5, modp1024", "3des, modp1536"):
        assert f"\x1b[1;31m{piece}" in told
    assert "weak" not in page()


def test_a_request_that_nobody_answers_is_shown() -> None:
    assert "a request was sent 3 times of 7" in page(ike_sas=[sa(transmissions=3)])
    assert "unanswered" not in page(ike_sas=[sa(transmissions=1)])


def test_the_identity_of_a_peer_is_letters_on_the_status_page() -> None:
    """A peer chooses its identity; what it says must neither change the page nor break it."""
    told = page(ike_sas=[sa(remote_id="[/bold] [red]C=XX, CN=[link=file:///]gw[/link]")])
    assert "to [/bold] [red]C=XX, CN=[link=file:///]gw[/link] (by psk)" in told


@pytest.mark.parametrize(
    ("sas", "state"),
    [
        ([], "down"),
        ([sa(phase="connecting", children=[])], "connecting"),
        ([sa(children=[])], "partly up"),
        ([sa(phase="closing")], "closing"),
    ],
)
def test_the_headline_of_a_connection(sas: list[schema.IkeSa], state: str) -> None:
    assert f"office  {state}  gw1.example.com" in page(ike_sas=sas)


def test_troubles_on_the_status_page_and_in_the_watch() -> None:
    problem = schema.Problem(
        kind="NoProposalChosen",
        message="nothing in common with [/them]",
        hint="compare the [proposals]",
        offered="[3des]",
        accepted="aes256",
        setting="child.lan.proposals",
        file="/etc/[caponier].toml",
        line=12,
    )
    when = datetime(2026, 6, 1, 12, 34, 56, tzinfo=UTC)
    for connection in ("office", None):
        trouble = schema.Trouble(when=when, connection=connection, child=None, peer="192.0.2.9", problem=problem)
        told = page(troubles=[trouble])
        for piece in ("nothing in common with [/them]", "offered:  [3des]", "accepted: aes256", "2026-06-01 12:34:56"):
            assert piece in told
        assert "look at:  /etc/[caponier].toml:12 (child.lan.proposals)" in told
        assert "hint:     compare the [proposals]" in told
    console = Console(width=200)
    with console.capture() as captured:
        happening = schema.Happening(when=when, kind="failed", connection="office", text="", problem=problem)
        console.print(watch_page.render(happening))
    assert "12:34:56 failed" in captured.get()
    assert "nothing in common with [/them]" in captured.get()
