"""What a good configuration becomes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from caponier.daemon.config import load
from caponier.daemon.config.secrets import read_secret
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.negotiation.selectors import format_selector
from caponier.octets import Secret
from caponier.protocols.ike.policy import Encapsulation, Start
from tests.unit.config.site import GOOD, SECRET, changed, line_of, loaded


def test_every_key_has_its_meaning(file: Path) -> None:
    configuration = loaded(file, GOOD)
    office = configuration.connections["office"]
    assert (office.local.addresses, office.remote.addresses) == ((ip_address("192.0.2.1"),), (ip_address("192.0.2.2"),))
    assert (office.local.identity.text, office.remote.identity.text) == ("gw1.example.com", "gw2.example.com")
    assert office.local.credential == office.remote.requirement == PresharedKey(Secret(SECRET.encode()))
    assert (office.start, office.encapsulation, office.liveness) == (Start.BOOT, Encapsulation.AUTO, 30.0)
    (child,) = office.children
    assert [format_selector(each) for each in child.local] == ["10.1.0.0/16", "fd00:1::/64"]
    assert [format_selector(each) for each in child.remote] == ["10.2.0.0/16[tcp/443]"]
    assert child.replay_window == 128
    assert (configuration.settings.ports.ike, configuration.settings.ports.encapsulated) == (500, 4500)


def test_certificates_are_read_from_beside_the_file(file: Path) -> None:
    branch = loaded(file, GOOD).connections["branch"]
    assert isinstance(branch.local.credential, CertificateCredential)
    assert isinstance(branch.remote.requirement, CertificateTrust)
    assert branch.start is Start.MANUAL


def test_no_liveness_is_written_as_zero(file: Path) -> None:
    assert loaded(file, changed("liveness = 30", "liveness = 0")).connections["office"].liveness is None


def test_an_empty_file_configures_nothing(file: Path) -> None:
    assert loaded(file, "").connections == {}


def test_a_byte_order_mark_and_the_line_ends_of_others_are_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert list(load(file).connections) == ["office", "branch"]


def test_reading_again_gives_the_same(file: Path) -> None:
    """A reload touches what changed: what did not change must compare equal, secrets and keys included."""
    first = loaded(file, GOOD)
    assert load(file).connections == first.connections
    (file.parent / "office.psk").write_text("another secret, the file's name is the same\n")
    again = load(file)
    assert again.connections["office"] != first.connections["office"]
    assert again.connections["branch"] == first.connections["branch"]


@pytest.mark.parametrize(
    ("setting", "piece"),
    [
        ("proposals", "proposals = ["),
        ("local.secret", "local = { address"),
        ("remote.id", "remote = { address"),
        ("child.lan.remote", 'remote = ["10.2'),
        ("child.lan.proposals", 'proposals = ["aes256gcm16"]'),
        ("child.lan.mode", 'mode = "tunnel"'),
        ("child.lan", "[connection.office.child.lan]"),
        (None, "[connection.office]"),
        ("local.certificate", "local = { address"),  # not there: the table that it belongs into
        ("child.gone.remote", "[connection.office.child.lan]"),  # no such child: where children stand
    ],
)
def test_the_place_of_a_setting(file: Path, setting: str | None, piece: str) -> None:
    """Errors of the core name a setting; people are shown its line, or the nearest table's."""
    place = loaded(file, GOOD).place("office", setting)
    assert place is not None
    assert (place.file, place.line) == (file, line_of(GOOD, piece))


def test_the_place_of_a_setting_of_a_child_with_dots_in_its_name(file: Path) -> None:
    text = changed("child.lan]", 'child."lan.10"]')
    place = loaded(file, text).place("office", "child.lan.10.remote")
    assert place is not None
    assert place.line == line_of(text, 'remote = ["10.2')


def test_what_is_no_connection_has_no_place(file: Path) -> None:
    configuration = loaded(file, GOOD)
    assert configuration.place(None, "proposals") is None
    assert configuration.place("gone", "proposals") is None


def test_hundreds_of_connections_are_read(file: Path) -> None:
    table = GOOD[GOOD.index("[connection.office]") : GOOD.index("[connection.branch")]
    text = "\n".join(table.replace("connection.office", f"connection.office{number}") for number in range(500))
    configuration = loaded(file, text)
    assert len(configuration.connections) == 500
    last = configuration.place("office499", "child.lan.replay_window")
    assert last is not None
    assert last.line == text.count("\n") - 1


def test_a_secret_in_hexadecimal(tmp_path: Path) -> None:
    """RFC 7296 section 2.15: the interface "MUST also accept a hex encoding of the shared secret"."""
    path = tmp_path / "key"
    path.write_text("00ff" * 8 + "\n")
    path.chmod(0o600)
    assert read_secret("hex:file:key", tmp_path).expose() == bytes.fromhex("00ff" * 8)
    path.write_text("no digits at all\n")
    with pytest.raises(ConfigError, match="not hexadecimal") as refused:
        read_secret("hex:file:key", tmp_path)
    assert "no digits" not in str(refused.value)
    path.write_text("00ff\n")
    with pytest.raises(ConfigError, match="2 octets"):
        read_secret("hex:file:key", tmp_path)
