"""What a good configuration becomes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from caponier.daemon.config import load
from caponier.daemon.config.secrets import read_secret
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import ConfigError
from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.negotiation.proposals import DEFAULT_AH_PROPOSALS
from caponier.mechanisms.negotiation.selectors import format_selector
from caponier.mechanisms.negotiation.spd import Action
from caponier.octets import Secret
from caponier.protocols.ike.policy import (
    Attachment,
    DontFragment,
    Encapsulation,
    Handling,
    Lifetime,
    Mode,
    Retransmission,
    Start,
)
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
    assert (child.protocol, child.mode) == (ProtocolId.ESP, Mode.TUNNEL)
    assert (child.handling, child.lifetime, office.rekey) == (Handling(), Lifetime(soft_seconds=3600.0), 14400.0)
    assert office.attachment == Attachment(None, routes=True)
    assert configuration.policies == ()
    assert (configuration.settings.ports.ike, configuration.settings.ports.encapsulated) == (500, 4500)


def test_how_packets_are_built(file: Path) -> None:
    lines = 'tfc = "mtu"\ndscp = 46\necn = false\ndf = "clear"\nmss = false'
    (child,) = loaded(file, changed("replay_window = 128", lines)).connections["office"].children
    expected = Handling(tfc=None, dscp=46, ecn=False, dont_fragment=DontFragment.CLEAR, clamps_mss=False)
    assert child.handling == expected
    text = changed("replay_window = 128", 'tfc = 1200\ndscp = "copy"\nmss = "auto"')
    assert loaded(file, text).connections["office"].children[0].handling == Handling(tfc=1200)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5", 5), ('"5"', 5), ('"5 B"', 5), ('"2kB"', 2000), ('"2 KiB"', 2048), ('"1.5 GB"', 1_500_000_000),
        ('"10 GiB"', 10 * 2**30), ('"1 TB"', 10**12), ('"1 TiB"', 2**40), ("9007199254740993", 2**53 + 1), ("0", 0),
    ],
)  # fmt: skip
def test_octets_as_people_write_them(file: Path, written: str, meant: int) -> None:
    (child,) = loaded(file, changed("replay_window = 128", f"life_bytes = {written}")).connections["office"].children
    assert child.lifetime.hard_octets == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("90", 90), ("1.5", 1.5), ('"90 s"', 90), ('"30 min"', 1800), ('"8h"', 28_800), ('"1 d"', 86_400), ('"0"', 0)],
)
def test_times_as_people_write_them(file: Path, written: str, meant: float) -> None:
    (child,) = loaded(file, changed("replay_window = 128", f"life_time = {written}")).connections["office"].children
    assert child.lifetime.hard_seconds == meant


def test_ah_in_transport_mode(file: Path) -> None:
    text = changed('["10.1.0.0/16", "fd00:1::/64"]', '"192.0.2.1"')
    text = changed('"10.2.0.0/16[tcp/443]"', '"192.0.2.2[tcp]"', text)
    text = changed(
        '"esp"', '"ah"', changed('"tunnel"', '"transport"', changed('proposals = ["aes256gcm16"]\n', "", text))
    )
    (child,) = loaded(file, text).connections["office"].children
    assert (child.protocol, child.mode, child.proposals) == (ProtocolId.AH, Mode.TRANSPORT, DEFAULT_AH_PROPOSALS)


def test_transport_mode_with_peers_from_anywhere(file: Path) -> None:
    """RFC 7296 section 2.23.1: "the server's SPD will contain wildcard entries matching any addresses"."""
    text = changed(
        'local = "0.0.0.0/0"\nremote = "10.3.0.0/16"', 'local = "192.0.2.1"\nremote = "0.0.0.0/0"\nmode = "transport"'
    )
    (child,) = loaded(file, text).connections["branch"].children
    assert format_selector(child.remote[0]) == "0.0.0.0/0"


@pytest.mark.parametrize(
    ("lines", "attachment"),
    [
        ("routes = false", Attachment(None, routes=False)),
        ('interface = "vpn0"', Attachment("vpn0", routes=False)),
        ('interface = "vpn0"\nroutes = true', Attachment("vpn0", routes=True)),
    ],
)
def test_an_interface_of_its_own_has_no_routes_unless_asked(file: Path, lines: str, attachment: Attachment) -> None:
    assert loaded(file, changed("liveness = 30", lines)).connections["office"].attachment == attachment


def test_policies_keep_the_order_of_the_file(file: Path) -> None:
    """RFC 4301 section 4.4.1: the SPD is ordered."""
    text = """
[[policy]]
name = "resolver"
action = "bypass"
local = "10.1.0.0/16"
remote = ["10.2.0.53[udp/53]", "10.2.0.53[tcp/53]"]

[[policy]]
name = "telnet"
action = "discard"
remote = ["0.0.0.0/0[tcp/23]", "::/0[tcp/23]"]
"""
    first, second = loaded(file, GOOD + text).policies
    assert (first.name, first.action, second.name, second.action) == (
        "resolver",
        Action.BYPASS,
        "telnet",
        Action.DISCARD,
    )
    assert [format_selector(each) for each in first.local] == ["10.1.0.0/16"]
    assert [format_selector(each) for each in first.remote] == ["10.2.0.53[udp/53]", "10.2.0.53[tcp/53]"]
    assert [format_selector(each) for each in second.local] == ["0.0.0.0/0", "::/0"]


def test_certificates_are_read_from_beside_the_file(file: Path) -> None:
    branch = loaded(file, GOOD).connections["branch"]
    assert isinstance(branch.local.credential, CertificateCredential)
    assert isinstance(branch.remote.requirement, CertificateTrust)
    assert branch.start is Start.MANUAL


def test_fragmentation_is_a_size_or_off(file: Path) -> None:
    """RFC 7383."""
    assert loaded(file, GOOD).connections["office"].fragment_size == 1280
    for lines, size in (("fragment_size = 576", 576), ('fragmentation = "off"\nfragment_size = 1400', None)):
        assert loaded(file, changed("liveness = 30", lines)).connections["office"].fragment_size == size


def test_no_liveness_is_written_as_zero(file: Path) -> None:
    assert loaded(file, changed("liveness = 30", "liveness = 0")).connections["office"].liveness is None


def test_retransmission_may_be_left_out_or_written(file: Path) -> None:
    """RFC 7296 section 2.4."""
    assert loaded(file, GOOD).settings.retransmission == Retransmission()
    text = changed("nat_port = 4500", "nat_port = 4500\nretransmission = { first = 2.0, factor = 1.5, attempts = 10 }")
    pattern = loaded(file, text).settings.retransmission
    assert pattern == Retransmission(2.0, 1.5, 10)
    assert round(pattern.patience) == 227


@pytest.mark.parametrize(("written", "seconds"), [("0", None), ("5.5", 5.5)])
def test_no_keepalive_is_written_as_zero(file: Path, written: str, seconds: float | None) -> None:
    text = changed("liveness = 30", f"nat_keepalive = {written}")
    assert loaded(file, text).connections["office"].nat_keepalive == seconds


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


def test_a_short_life_is_rekeyed_in_time(file: Path) -> None:
    """Nothing is written of ``rekey_time``: an hour would be too late."""
    (child,) = loaded(file, changed("replay_window = 128", 'life_time = "10 min"')).connections["office"].children
    assert (child.lifetime.soft_seconds, child.lifetime.hard_seconds) == (540.0, 600.0)
    (child,) = loaded(file, changed("replay_window = 128", "rekey_time = 0")).connections["office"].children
    assert child.lifetime.soft_seconds == 0
