"""The manual says what is: its configurations are valid, its tables complete, its packets and pictures those of the code."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from caponier.api import schema
from caponier.api.check import check
from caponier.cli.main import app
from caponier.daemon.config import load
from caponier.daemon.config.schema import (
    ChildTable,
    ConnectionTable,
    DaemonTable,
    File,
    LocalTable,
    PolicyTable,
    PoolTable,
    PpkTable,
    RemoteTable,
    RetransmissionTable,
)
from caponier.demo.gateways import write_configurations
from caponier.doi.ikev2 import KeyExchangeId, ProtocolId, TransformType
from caponier.doi.keywords import AH_KEYWORDS, KEYWORDS, TRANSFORM_IDS, AlgorithmName
from caponier.doi.registry import entries
from caponier.mechanisms.algorithms.catalog import is_implemented
from caponier.mechanisms.algorithms.packets import carries
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_AH_PROPOSALS,
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    Proposal,
    Transform,
    format_proposal,
    weak_algorithms,
)
from caponier.mechanisms.negotiation.transforms import ADDITIONAL_KEY_EXCHANGES
from caponier.protocols.ike.effects import AllocateSpi
from caponier.protocols.ike.endpoint import Endpoint
from caponier.protocols.ike.messages.header import HEADER_LENGTH
from caponier.protocols.ike.messages.message import Message, decode_content, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from caponier.protocols.ike.path import Datagram
from caponier.protocols.ike.path import Path as Way
from caponier.protocols.ike.v2.lifecycle import render
from tests.interop.pki import ecdsa_pair

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
FIRST_TUNNEL = DOCS / "concepts" / "first-tunnel.md"
REFUSALS = DOCS / "guides" / "when-it-does-not-come-up.md"
CONFIGURATION = DOCS / "reference" / "configuration.md"
ALGORITHMS = DOCS / "reference" / "algorithms.md"
COMMANDS = DOCS / "reference" / "commands.md"

_FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"\n]*)")?\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["title"] or "", found["text"])
        for found in _FENCE.finditer(text)
    ]


def section(page: Path, heading: str) -> str:
    """A section: from its heading to the next of its level or a higher one."""
    _, found, rest = page.read_text().partition(f"\n{heading}\n")
    assert found, f"{page.name} has no section {heading!r}"
    another = re.compile(rf"#{{1,{heading.index(' ')}}} ")
    kept: list[str] = []
    is_fenced = False
    for line in rest.splitlines(keepends=True):
        is_fenced ^= line.startswith("```")
        if another.match(line) and not is_fenced:
            break
        kept.append(line)
    return "".join(kept)


def tables(text: str) -> list[list[list[str]]]:
    """The rows of each table, without its head."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif found[-1]:
            found.append([])
    return [table[2:] for table in found if table]


def codes(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


# -- configurations

EVERY_BLOCK = [block for page in PAGES for block in blocks(page)]
WHOLE = [block for block in EVERY_BLOCK if block.language == "toml" and not block.title]
MISTAKEN = [
    (block, EVERY_BLOCK[at + 1]) for at, block in enumerate(EVERY_BLOCK) if block.language == "toml" and block.title
]


def test_there_are_configurations() -> None:
    """Else the tests below would be about nothing."""
    assert len(WHOLE) >= 6
    assert len(MISTAKEN) == 3
    assert {block.page for block in WHOLE} >= {ROOT / "README.md", CONFIGURATION, FIRST_TUNNEL}


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_configuration_is_valid(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown as TOML is a whole file, and ``caponier check`` takes it; its secrets and certificates are made here."""
    text = block.text.replace("/etc/caponier/", "")
    _make_what_it_names(tomllib.loads(text), tmp_path, monkeypatch)
    (tmp_path / "caponier.toml").write_text(text)
    found = check(tmp_path / "caponier.toml")
    assert found.findings == []
    assert found.connections


def _make_what_it_names(file: Mapping[str, Any], directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ecdsa_pair()
    for connection in file["connection"].values():
        local, remote = connection["local"], connection["remote"]
        ppk = connection.get("ppk", {})
        for secret in filter(None, (local.get("secret"), remote.get("secret"), ppk.get("secret"))):
            kind, _, name = secret.partition(":")
            if kind == "env":
                monkeypatch.setenv(name, "a secret between the two")
            else:
                _write(directory / name, b"a secret between the two of them\n")
        ours = "ours" if local.get("id") == "gw1.example.com" else "theirs"
        for name, content in (
            (local.get("certificate"), pair[f"{ours}.pem"]),
            (local.get("key"), pair[f"{ours}.key"]),
            (remote.get("ca"), pair["ca.pem"]),
        ):
            if name is not None:
                _write(directory / name, content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


@pytest.mark.parametrize(("block", "told"), MISTAKEN, ids=str)
def test_mistakes_are_told_as_shown(block: Block, told: Block, tmp_path: Path) -> None:
    assert told.title == "caponier check -c caponier.toml"
    (tmp_path / "caponier.toml").write_text(block.text)
    command = [sys.executable, "-m", "caponier.cli.main", "check", "-c", "caponier.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == told.text, f"{told} is not what it says; put in what it says now"


# -- the reference of the configuration

TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("## [daemon]", DaemonTable),
    ("## [daemon.retransmission]", RetransmissionTable),
    ("## [[policy]]", PolicyTable),
    ("## [pool.NAME]", PoolTable),
    ("## [connection.NAME]", ConnectionTable),
    ("## [connection.NAME.local]", LocalTable),
    ("## [connection.NAME.remote]", RemoteTable),
    ("## [connection.NAME.ppk]", PpkTable),
    ("## [connection.NAME.child.CHILD]", ChildTable),
)


@pytest.mark.parametrize(("heading", "model"), TABLES, ids=lambda value: getattr(value, "__name__", value))
def test_every_key_is_documented(heading: str, model: type[BaseModel]) -> None:
    """Exactly the keys that there are, with their defaults."""
    rows = {cells[0].strip("`"): cells[2] for cells in tables(section(CONFIGURATION, heading))[0]}
    assert set(rows) == set(model.model_fields)
    for name, field in model.model_fields.items():
        if field.default is PydanticUndefined:
            assert rows[name] == "required", name
        elif field.default not in (None, []):
            shown = tomllib.loads(f"value = {rows[name].strip('`')}")["value"]
            assert shown == (str(field.default) if isinstance(field.default, Path) else field.default), name


def test_every_table_is_documented() -> None:
    """A table that the schema gains needs a section."""
    assert set(File.model_fields) == {"daemon", "policy", "pool", "connection"}
    of_connection = {name for name, field in ConnectionTable.model_fields.items() if field.is_required()}
    assert of_connection == {"local", "remote", "child"}


PROTOCOLS = (ProtocolId.IKE, ProtocolId.ESP, ProtocolId.AH)


def _serves(protocol: ProtocolId, name: AlgorithmName) -> bool:
    """Whether a proposal for this protocol can name it."""
    if name.transform_type in ADDITIONAL_KEY_EXCHANGES:
        return False  # a sentence tells of the prefixes
    if protocol == ProtocolId.IKE and (name.transform_type, name.id) == (
        TransformType.KEY_EXCHANGE,
        KeyExchangeId.NONE,
    ):
        return False  # an IKE SA cannot go without a key exchange (RFC 7296 section 3.3.3)
    if protocol == ProtocolId.IKE or name.transform_type == TransformType.KEY_EXCHANGE:
        return is_implemented(name.transform_type, name.id, name.key_length)
    return carries(protocol, name.transform_type, name.id, name.key_length)


def _row(name: AlgorithmName) -> tuple[str, str, str, str, str]:
    """Number, source, protocols, guidance, and whether ``allow_weak`` is needed, as the code has them."""
    served = [protocol for protocol in PROTOCOLS if _serves(protocol, name)]
    registry = TRANSFORM_IDS[name.transform_type]
    (entry,) = (each for each in entries() if (each.registry, each.number) == (registry.registry, int(name.id)))
    transform = Transform(name.transform_type, name.id)
    weak = any(weak_algorithms(Proposal(1, protocol, b"", (transform,))) for protocol in served)
    protocols = ", ".join(protocol.name for protocol in served)
    return str(int(name.id)), entry.source, protocols, entry.guidance or "", "needed" if weak else ""


def _spellings() -> dict[str, list[AlgorithmName]]:
    """By keyword: what it means. The GMACs of AH have keywords of ciphers."""
    found: dict[str, list[AlgorithmName]] = {}
    for name in (*KEYWORDS.values(), *AH_KEYWORDS.values()):
        if any(_serves(protocol, name) for protocol in PROTOCOLS) and name not in found.setdefault(name.keyword, []):
            found[name.keyword].append(name)
    return found


def test_every_algorithm_is_documented() -> None:
    """Exactly the algorithms that there are, with what the code says of each (RFC 8247 section 2, RFC 8221 sections 5 and 6)."""
    rows = [row for table in tables(ALGORITHMS.read_text()) for row in table]
    shown = sorted(
        (keyword.strip("`"), (number, source, served, guidance, weak.strip()))
        for keyword, _, number, source, served, _, _, guidance, weak in rows
    )
    assert shown == sorted((keyword, _row(name)) for keyword, names in _spellings().items() for name in names)
    spelt = {(keyword.strip("`"), also) for keyword, others, *_ in rows for also in codes(others)}
    read = {(name.keyword, word) for word, name in KEYWORDS.items() if name.keyword in _spellings()}
    assert spelt == {(keyword, word) for keyword, word in read if keyword != word}


def test_every_weak_algorithm_is_named_at_its_key() -> None:
    (row,) = (row for row in tables(section(CONFIGURATION, "## [connection.NAME]"))[0] if row[0] == "`allow_weak`")
    weak = {keyword for keyword, names in _spellings().items() for name in names if _row(name)[-1]}
    assert {word for word in weak if not re.fullmatch(r"modp\d+s\d+", word)} == codes(row[-1])


@pytest.mark.parametrize(
    ("at", "proposals"), [(0, DEFAULT_IKE_PROPOSALS), (1, DEFAULT_ESP_PROPOSALS), (2, DEFAULT_AH_PROPOSALS)]
)
def test_defaults_are_documented(at: int, proposals: tuple[Proposal, ...]) -> None:
    shown = _FENCE.findall(section(CONFIGURATION, "### Defaults"))[at][2]
    assert shown.splitlines() == [format_proposal(each) for each in proposals]


# -- the reference of the commands

GROUP = typer.main.get_command(app)
VISIBLE = {name: command for name, command in GROUP.commands.items() if not command.hidden}  # type: ignore[attr-defined]


def test_every_command_has_a_section() -> None:
    headings = re.findall(r"^## caponier (\S+)$", COMMANDS.read_text(), re.MULTILINE)
    assert headings == list(VISIBLE)
    synopsis = blocks(COMMANDS)[0].text
    assert re.findall(r"^caponier (\S+)", synopsis, re.MULTILINE) == list(VISIBLE)


@pytest.mark.parametrize("name", VISIBLE)
def test_every_option_is_documented(name: str) -> None:
    """Exactly the options and arguments that the command takes."""
    rows = [cells[0] for table in tables(section(COMMANDS, f"## caponier {name}")) for cells in table]
    shown = {word.split(" ")[0] for row in rows for word in codes(row) if word.startswith("-")}
    (synopsis,) = re.findall(rf"^caponier {name}\b(.*)$", blocks(COMMANDS)[0].text, re.MULTILINE)
    parameters = [each for each in VISIBLE[name].params if each.name != "help"]
    for each in parameters:
        if each.param_type_name == "argument":
            assert f"`{each.metavar}`" in rows, each.metavar
            assert each.metavar in synopsis
        else:
            assert any(word in synopsis for word in each.opts), each.opts
    assert shown == {word for each in parameters if each.param_type_name == "option" for word in each.opts}


SHAPES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("## caponier check", schema.Check),
    ("## caponier check", schema.Finding),
    ("## caponier status", schema.Status),
    ("## caponier status", schema.Retransmission),
    ("### Connections", schema.ConfiguredConnection),
    ("### Connections", schema.ConfiguredChild),
    ("## caponier status", schema.Pool),
    ("### IKE SAs", schema.IkeSa),
    ("### IKE SAs", schema.ChildSa),
    ("### IKE SAs", schema.Traffic),
    ("### Troubles", schema.Trouble),
    ("### Troubles", schema.Problem),
    ("## caponier watch", schema.Happening),
    ("## caponier doi", schema.RegistryEntry),
    ("## caponier version", schema.VersionInfo),
)


@pytest.mark.parametrize(("heading", "model"), SHAPES, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_of_the_json_is_documented(heading: str, model: type[BaseModel]) -> None:
    missing = set(model.model_fields) - codes(section(COMMANDS, heading))
    assert not missing


def test_json_shown_is_json() -> None:
    """The line of ``caponier watch --json``."""
    lines = [line for block in blocks(COMMANDS) for line in block.text.splitlines() if line.startswith('{"')]
    assert lines
    for line in lines:
        schema.Happening.model_validate(json.loads(line))


# -- refusals


def test_every_drop_counter_is_documented() -> None:
    """The data plane's reasons, from the place that names them."""
    source = (ROOT / "rust" / "plane" / "src" / "drops.rs").read_text()
    reasons = set(re.findall(r'^    \w+ = "([a-z-]+)",$', source, re.MULTILINE))
    assert len(reasons) >= 20
    assert not reasons - codes(section(REFUSALS, "### Drop counters"))


def test_hints_are_those_of_the_code() -> None:
    """Each hint that a page shows can be found in the source, its line breaks aside."""
    source = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
    joined = re.sub(r'["\']\s*\n\s*f?["\']', "", source)
    hints = {
        (str(block), line.partition("hint:")[2].strip())
        for block in EVERY_BLOCK
        for line in block.text.splitlines()
        if block.language == "console" and line.startswith("  hint:")
    }
    assert len(hints) >= 20
    suffix = " (the refusal is unauthenticated: anybody on the way can send one)"
    stale = [(where, hint) for where, hint in sorted(hints) if hint.removesuffix(suffix) not in joined]
    assert not stale


# -- the life of an IKE SA


def test_lifecycle_is_drawn_from_the_code() -> None:
    page = (DOCS / "concepts" / "ike-lifecycle.md").read_text()
    assert page.endswith("\n" + render()), "put in what caponier.protocols.ike.v2.lifecycle.render() says"


# -- the first tunnel


@cache
def four_messages(directory: Path) -> tuple[tuple[bytes, Message], ...]:
    """The demonstration's handshake without a network: each message as sent, and opened."""
    write_configurations(directory)
    left, right = _Gateway("gw1", directory), _Gateway("gw2", directory)
    way = Way(ip_address("192.0.2.1"), 500, ip_address("192.0.2.2"), 500)
    left.endpoint.initiate("office", way, 0.0)
    sent: list[tuple[_Gateway, bytes]] = []
    for here, there in ((left, right), (right, left)) * 3:
        for datagram in here.pump():
            sent.append((there, datagram.octets))
            path = datagram.path
            back = Way(path.remote, path.remote_port, path.local, path.local_port)
            there.endpoint.receive_datagram(datagram.octets, back, 0.0)
    return tuple((octets, receiver.open(octets)) for receiver, octets in sent)


class _Gateway:
    """An endpoint that installs nothing."""

    def __init__(self, name: str, directory: Path) -> None:
        configuration = load(directory / f"{name}.toml")
        now = datetime(2026, 1, 1, tzinfo=UTC)
        rng = random.Random(name).randbytes
        self.endpoint = Endpoint(configuration.settings, rng, lambda _: now)
        for connection in configuration.connections.values():
            self.endpoint.add_connection(connection)

    def pump(self) -> list[Datagram]:
        while (effect := self.endpoint.next_effect()) is not None:
            self.endpoint.complete(effect, 0x1000 if isinstance(effect, AllocateSpi) else None, 0.0)
        return [each for each in self.endpoint.datagrams_to_send() if isinstance(each, Datagram)]

    def open(self, octets: bytes) -> Message:
        message = decode_message(octets)
        if str(message.payloads[-1].TYPE) != "SK":
            return message
        (sa,) = self.endpoint._sas.values()
        return decode_content(sa.protector.open(octets))


def _rows(octets: bytes, message: Message) -> Iterator[tuple[str, int]]:
    yield "header", HEADER_LENGTH
    inner = [(_name(payload), _size(message, payload)) for payload in message.payloads]
    if message.is_protected:
        yield "SK", len(octets) - HEADER_LENGTH - sum(size for _, size in inner)
    yield from inner
    yield "whole message", len(octets)


def _name(payload: Payload) -> str:
    return f"N({payload.type.name})" if isinstance(payload, Notify) else str(payload.TYPE)


def _size(message: Message, payload: Payload) -> int:
    return len(encode_message(message.header, (payload,))) - HEADER_LENGTH


MESSAGES = ("1. IKE_SA_INIT, request", "2. IKE_SA_INIT, response", "3. IKE_AUTH, request", "4. IKE_AUTH, response")


@pytest.fixture(scope="module")
def handshake(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[bytes, Message], ...]:
    return four_messages(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize("number", range(4))
def test_messages_are_as_large_as_shown(number: int, handshake: tuple[tuple[bytes, Message], ...]) -> None:
    """RFC 7296 section 1.2: four messages; their payloads, in their order, with their sizes."""
    assert len(handshake) == 4
    table = tables(section(FIRST_TUNNEL, f"### {MESSAGES[number]}"))[-1]
    shown = [(name, int(octets)) for name, octets, *_ in table]
    assert shown == list(_rows(*handshake[number]))


def test_esp_offer_is_as_shown(handshake: tuple[tuple[bytes, Message], ...]) -> None:
    """RFC 7296 sections 1.2 and 3.3.2: what message 3 offers, and what message 4 chooses of it."""
    offered, chosen = (handshake[number][1].one(SecurityAssociation).proposals for number in (2, 3))
    offer = next(block for block in blocks(FIRST_TUNNEL) if "-esn-noesn" in block.text)
    assert offer.text.splitlines() == [format_proposal(each) for each in offered]
    (row,) = (cells for cells in tables(section(FIRST_TUNNEL, f"### {MESSAGES[3]}"))[-1] if cells[0] == "SA")
    assert format_proposal(*chosen) in codes(row[2])


def _octets_of_message_2() -> bytes:
    hexadecimal = next(block for block in blocks(FIRST_TUNNEL) if block.text.startswith("2d0e1de4 "))
    return bytes.fromhex(hexadecimal.text)


def test_message_2_is_a_message() -> None:
    """The octets that the page shows decode to what its tables say."""
    octets = _octets_of_message_2()
    message = decode_message(octets)
    assert (message.spi_i.hex(), message.spi_r.hex()) == ("2d0e1de4fd8ddf03", "65e286f9e3e1e4f2")
    (chosen,) = message.one(SecurityAssociation).proposals
    assert format_proposal(chosen) == "aes256gcm16-prfsha384-x25519"
    assert len(message.one(KeyExchange).public) == 32
    annotated = "".join(
        word
        for cells in tables(section(FIRST_TUNNEL, f"### {MESSAGES[1]}"))[0]
        for word in re.findall(r"`([^`]+)`", cells[0])
    )
    assert octets.startswith(bytes.fromhex(annotated))


def test_keys_open_the_packet() -> None:
    """RFC 7296 sections 2.13, 2.14 and 2.17, RFC 4106: from the nonces to the clear text, as the page computes it."""
    at, program = next((at, block) for at, block in enumerate(blocks(FIRST_TUNNEL)) if block.language == "python")
    shown = blocks(FIRST_TUNNEL)[at + 1].text
    printed = io.StringIO()
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed):
        exec(compile(program.text, str(program), "exec"), names)
    assert [line.rstrip() for line in printed.getvalue().splitlines()] == shown.splitlines()
    assert names["nr"] == decode_message(_octets_of_message_2()).one(Nonce).data
    diagram = section(FIRST_TUNNEL, "## An ESP packet, field by field")
    for part in (names["packet"][:4], names["packet"][4:8], names["iv"], names["packet"][-16:]):
        assert part.hex() in diagram
    assert names["opened"][:20].hex(" ", 4) in diagram
