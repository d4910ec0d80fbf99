"""What is wrong with a configuration is told whole: file, line, key, what was found, and the nearest right spelling."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from caponier.daemon.config.load import MAX_FILE
from caponier.daemon.config.secrets import MAX_FILE as MAX_SECRET
from caponier.mechanisms.negotiation.proposals import format_proposal
from tests.interop.pki import ecdsa_pair
from tests.unit.config.site import GOOD, SECRET, changed, findings, findings_of, line_of, loaded

OFFICE, LAN = "connection.office", "connection.office.child.lan"

#: What is written in place of what, the line and the key that are blamed, and what the message and the hint say.
MISTAKES = [
    # keys
    ("liveness =", "livenes =", "livenes =", f"{OFFICE}.livenes", "no such key", "'liveness'"),
    ("[connection.office]\n", "[konnection.office]\n", "[konnection", "konnection", "no such key", "'connection'"),
    ('id = "gw1.example.com", auth = "psk"', 'id = "a", autth = "psk"', "autth", f"{OFFICE}.local.autth", "no", "'auth'"),
    ("replay_window", "window", "window = 128", f"{LAN}.window", "no such key", "'replay_window'"),
    ('local = ["10.1.0.0/16", "fd00:1::/64"]\n', "", "child.lan]", f"{LAN}.local", "missing", "networks on our side"),
    # values out of their set
    ('start = "boot"', 'start = "on demand"', "start =", f"{OFFICE}.start", "'on demand'", "'on-demand'"),
    ("version = 2", "version = 3", "version = 3", f"{OFFICE}.version", "3 is not allowed; allowed: 2", None),
    ('auth = "psk", secret', 'auth = "pks", secret', "local = { a", f"{OFFICE}.local.auth", "'pks'", "'psk'"),
    ('mode = "tunnel"', 'mode = "tunel"', "mode =", f"{LAN}.mode", "'tunel' is not allowed", "tunnel"),
    # numbers out of range
    ("port = 500\n", "port = 0\n", "port = 0", "daemon.port", "greater than or equal to 1, found 0", "UDP port"),
    ("port = 500\n", "port = 65536\n", "port = 65536", "daemon.port", "less than or equal to 65535", "UDP port"),
    ("nat_port = 4500", "nat_port = -1", "nat_port = -1", "daemon.nat_port", "found -1", "UDP port"),
    ("nat_port = 4500", "nat_port = 500", "nat_port = 500", "daemon.nat_port", "daemon.port already", "4500"),
    ("replay_window = 128", "replay_window = 31", "replay_w", f"{LAN}.replay_window", "equal to 32", "packets"),
    ("liveness = 30", "liveness = -1", "liveness", f"{OFFICE}.liveness", "equal to 0", "seconds"),
    ("liveness = 30", "nat_keepalive = 3601", "nat_k", f"{OFFICE}.nat_keepalive", "equal to 3600", "seconds between"),
    ("liveness = 30", "fragment_size = 575", "fragm", f"{OFFICE}.fragment_size", "equal to 576", "octets of an IP"),
    ("liveness = 30", 'fragmentation = "on"', "fragm", f"{OFFICE}.fragmentation", "'on' is not allowed", None),
    ("liveness = 30", "liveness = nan", "liveness", f"{OFFICE}.liveness", "found nan", "seconds"),
    # types
    ("allow_weak = false", 'allow_weak = "no"', "allow_weak", f"{OFFICE}.allow_weak", "boolean, found 'no'", "algorithms"),
    ("liveness = 30", "liveness = true", "liveness", f"{OFFICE}.liveness", "number, found True", "seconds"),
    ("port = 500\n", 'port = "500"\n', "port =", "daemon.port", "integer, found '500'", "UDP port"),
    ('start = "boot"', "start = 1979-05-27", "start =", f"{OFFICE}.start", "a date or a time is not allowed", None),
    ('proposals = ["aes256gcm16-prfsha384-ecp384"]', "proposals = [1]", "[1]", f"{OFFICE}.proposals", "found 1", None),
    ('child.lan]\nlocal = ["10.1.0.0/16", "fd00:1::/64"]', "child]\nlan = 5\n[x]", "lan = 5", LAN, "a table, found a num", None),
    # names
    ('interface = "cap0"', 'interface = "cap/0"', "interface", "daemon.interface", "'cap/0' is not allowed", "cap%d"),
    ('interface = "cap0"', 'interface = "a0123456789abcde"', "interface", "daemon.interface", "15", "cap%d"),
    ("control.sock", "\\u0000", "control =", "daemon.control", "no path of a UNIX socket", "control socket"),
    ("control.sock", "x" * 100, "control =", "daemon.control", "no path of a UNIX socket", "control socket"),
    ("office.child.lan]", 'office.child."l\\nn"]', "child.", f'{OFFICE}.child."l\\nn"', "no name", "letters"),
    # addresses, networks, identities
    ('"192.0.2.2"', '"192.0.2.256"', "remote = {", f"{OFFICE}.remote.address", "'192.0.2.256'", "2001:db8::1"),
    ('"192.0.2.2"', '"0.0.0.0"', "remote = {", f"{OFFICE}.remote.address", "no host's address", "%any"),
    ('"192.0.2.2"', '"fe80::1%eth0"', "remote = {", f"{OFFICE}.remote.address", "zones", "global"),
    ('"10.1.0.0/16"', '"10.1.0.0/33"', "10.1", f"{LAN}.local", "10.1.0.0/33", None),
    ('"10.1.0.0/16"', '"10.1.0.1/16"', "10.1", f"{LAN}.local", "10.1.0.1/16", "10.1.0.0/16"),
    ("10.2.0.0/16[tcp/443]", "10.2.0.0/16[tcp/99999]", "10.2", f"{LAN}.remote", "99999", None),
    ("10.2.0.0/16[tcp/443]", "10.2.0.0/16[tpc/443]", "10.2", f"{LAN}.remote", "tpc", "tcp"),
    ('"gw2.example.com"', '"gw 2"', "remote = {", f"{OFFICE}.remote.id", "'gw 2' is no identity", "gw.example.com"),
    ('"gw2.example.com"', '"gw*.example.com"', "remote = {", f"{OFFICE}.remote.id", "no pattern", "*.example.com"),
    # algorithms
    ("aes256gcm16-prf", "aes265gcm16-prf", "prfsha384", f"{OFFICE}.proposals", "'aes265gcm16'", "'aes256gcm16'"),
    ("-ecp384", "", "prfsha384", f"{OFFICE}.proposals", "key exchange", None),
    ('["aes256gcm16"]', '["aes256gcm16-ecp348"]', "ecp348", f"{LAN}.proposals", "'ecp348'", "'ecp384'"),
    ('["aes256gcm16"]', '["blowfish128-sha256"]', "blowfish128", f"{LAN}.proposals", "blowfish128 is not implemented", "caponier doi"),
    ('["aes256gcm16"]', '["3des-sha256"]', "3des", f"{LAN}.proposals", "3des: SHOULD NOT (RFC 8221)", "allow_weak = true"),
    ('["aes256gcm16"]', "[]", "proposals = []", f"{LAN}.proposals", "allows nothing", "leave the key out"),
    # what does not fit together
    ('address = "192.0.2.2", id', "id", 'start = "boot"', f"{OFFICE}.start", "where the peer is", "remote.address"),
    (', secret = "file:office.psk"', "", "local = {", f"{OFFICE}.local", "needs secret", "secret ="),
    ('certificate = "ours.pem"\n', "", "branch.local]", "connection.branch.local", "needs certificate", "certificate ="),
    ('ca = "ca.pem"\n', "", "branch.remote]", "connection.branch.remote", "needs ca", "ca ="),
    ("[connection.branch.child.all]", "[connection.branch.child]", 'local = "0.0.0.0/0"', "connection.branch.child.local", "a table, found a string", None),
    # protocol and mode
    ('protocol = "esp"', 'protocol = "ah"', 'proposals = ["aes256gcm16"]', f"{LAN}.proposals", "'aes256gcm16' has no place in a proposal for AH", "leave"),
    ('["aes256gcm16"]', '["sha256"]', "sha256", f"{LAN}.proposals", "no encryption algorithm", "aes256gcm16"),
    ('mode = "tunnel"', 'mode = "transport"', "10.1.0.0/16", f"{LAN}.local", "10.1.0.0/16 is a network", "the host"),
    ('mode = "tunnel"', 'mode = "transport"', "10.2.0.0/16", f"{LAN}.remote", "is a network", 'mode = "tunnel"'),
    ('["10.1.0.0/16", "fd00:1::/64"]\nremote = ["10.2.0.0/16[tcp/443]"]\nprotocol = "esp"\nmode = "tunnel"', '"192.0.2.1"\nremote = "192.0.2.3"\nmode = "transport"', '"192.0.2.3"', f"{LAN}.remote", "does not have 192.0.2.3", 'remote = "192.0.2.2"'),
    ('["10.1.0.0/16", "fd00:1::/64"]\nremote = ["10.2.0.0/16[tcp/443]"]\nprotocol = "esp"\nmode = "tunnel"', '"192.0.2.1"\nremote = "192.0.2.2"\nmode = "transport"\nmss = "auto"', "mss =", f"{LAN}.mss", "mss is for tunnels", "leave mss out"),
    ('protocol = "esp"', 'protocol = "ah"\ntfc = 100', "tfc =", f"{LAN}.tfc", "only ESP pads", "leave tfc out"),
    # how packets are built
    ("replay_window = 128", "tfc = 70000", "tfc =", f"{LAN}.tfc", 'from 0 to 65535, or "mtu", found 70000', "padded"),
    ("replay_window = 128", 'tfc = "full"', "tfc =", f"{LAN}.tfc", '"mtu", found \'full\'', "padded"),
    ("replay_window = 128", "dscp = 64", "dscp =", f"{LAN}.dscp", 'from 0 to 63, or "copy", found 64', "as inside"),
    ("replay_window = 128", "dscp = true", "dscp =", f"{LAN}.dscp", "found True", "as inside"),
    ("replay_window = 128", 'df = "copi"', "df =", f"{LAN}.df", "'copi' is not allowed; allowed: 'copy', 'set' or 'clear'", "'copy'"),
    ("replay_window = 128", "mss = true", "mss =", f"{LAN}.mss", "allowed: 'auto' or false", None),
    ("replay_window = 128", 'ecn = "yes"', "ecn =", f"{LAN}.ecn", "boolean, found 'yes'", "congestion"),
    # lifetimes
    ("replay_window = 128", 'life_bytes = "10 GiBs"', "life_b", f"{LAN}.life_bytes", "\"10 GiB\", found '10 GiBs'", "deleted"),
    ("replay_window = 128", "life_bytes = -1", "life_b", f"{LAN}.life_bytes", "octets: a number", "deleted"),
    ("replay_window = 128", 'life_bytes = "9000000000 TB"', "life_b", f"{LAN}.life_bytes", "9223372036854775807 at most", "deleted"),
    ("replay_window = 128", 'rekey_time = "8 hours"', "rekey_t", f"{LAN}.rekey_time", '"8h"', "replaced"),
    ("replay_window = 128", "rekey_time = inf", "rekey_t", f"{LAN}.rekey_time", "a time", "replaced"),
    ("replay_window = 128", 'rekey_time = "9999d"', "rekey_t", f"{LAN}.rekey_time", "at most", "replaced"),
    ("replay_window = 128", "life_packets = 1.5", "life_p", f"{LAN}.life_packets", "found 1.5", "deleted"),
    ("replay_window = 128", "rekey_bytes = 5\nlife_bytes = 5", "rekey_b", f"{LAN}.rekey_bytes", "before it is replaced (rekey_bytes = 5)", "life_bytes"),
    ("replay_window = 128", 'life_time = "1h"\nrekey_time = "90 min"', "rekey_t", f"{LAN}.rekey_time", "(life_time = 3600)", "life_time"),
    # interfaces
    ("liveness = 30", 'interface = "cap0"', None, f"{OFFICE}.interface", "of the daemon (daemon.interface) already", "another"),
    ("liveness = 30", 'interface = "vpn%d"', "vpn%d", f"{OFFICE}.interface", "'vpn%d' is not allowed", "of its own"),
    ("liveness = 30", 'routes = "no"', "routes", f"{OFFICE}.routes", "boolean, found 'no'", "routed into"),
    # reauthentication
    ("liveness = 30", "reauth = 5", "reauth", f"{OFFICE}.reauth", "every 5 seconds is too often, 10 are allowed", '"8h"'),
    ("liveness = 30", 'reauth = "often"', "reauth", f"{OFFICE}.reauth", "a time", "authenticate anew"),
    # retransmission
    ("nat_port = 4500\n", "nat_port = 4500\nretransmission = { attempts = 0 }\n", "attempts", "daemon.retransmission.attempts", "equal to 1, found 0", "in all"),
    ("nat_port = 4500\n", "nat_port = 4500\nretransmission = { frst = 2.0 }\n", "frst", "daemon.retransmission.frst", "no such key", "'first'"),
    ("nat_port = 4500\n", "nat_port = 4500\nretransmission = { factor = 4.0, attempts = 20 }\n", "retransmission", "daemon.retransmission", "3600 are allowed", "fewer attempts"),
    # policies
    ("[connection.office]\n", '[[policy]]\nname = "a"\naction = "pass"\nremote = "10.9.0.0/16"\n[connection.office]\n', "action", "policy.action", "'bypass' or 'discard'", "'bypass'"),
    ("[connection.office]\n", '[[policy]]\nname = "a"\naction = "bypass"\n[connection.office]\n', "[[policy", "policy.remote", "missing", "far side"),
    ("[connection.office]\n", '[[policy]]\nname = ""\naction = "bypass"\nremote = "10.9.0.0/16"\n[connection.office]\n', "[[policy", "policy", "'' is no name", "letters"),
    ("[connection.office]\n", '[[policy]]\nname = "a"\naction = "bypass"\nremote = "10.9.0.0/33"\n[connection.office]\n', "10.9", "policy.remote", "10.9.0.0/33", None),
    ("[connection.office]\n", '[[policy]]\nname = "a"\naction = "bypass"\nlocal = []\nremote = "10.9.0.0/16"\n[connection.office]\n', "local = []", "policy.local", "at least one", None),
    ("[connection.office]\n", '[[policy]]\nname = "a"\naction = "bypass"\nlocal = "::/0"\nremote = "10.9.0.0/16"\n[connection.office]\n', 'local = "::', "policy.local", "one address family to the other", None),
    # TOML
    ("[daemon]\n", "[daemon\n", "[daemon", "", "Expected ']'", "TOML"),
    ("[connection.branch.child.all]", f"[{LAN}]", None, "", f"Cannot declare {LAN} twice", "TOML"),
    ("liveness = 30", "liveness = 30\nliveness = 31", "liveness = 31", "", "Cannot overwrite a value", "TOML"),
    ("liveness = 30", f"liveness = {'9' * 5000}", None, "", "too many digits", None),
    ("liveness = 30", f"liveness = {'[' * 5000}{']' * 5000}", None, "", "too deeply", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "piece", "key", "message", "hint"), MISTAKES, ids=[f"{row[3]}: {row[4]}" for row in MISTAKES]
)
def test_one_mistake(
    file: Path, old: str, new: str, piece: str | None, key: str, message: str, hint: str | None
) -> None:
    text = changed(old, new)
    found = findings(file, text)
    assert found, "the file was taken"
    blamed = next((each for each in found if each.key == key and message in each.message), None)
    assert blamed is not None, "\n".join(map(str, found))
    assert blamed.place.file == file
    assert piece is None or blamed.place.line == line_of(text, piece)
    if hint is not None:
        assert hint in (blamed.hint or "")


def test_a_table_that_is_declared_twice_is_blamed_where_it_comes_again(file: Path) -> None:
    text = f'{GOOD}\n[{LAN}]\nlocal = "10.9.0.0/16"\nremote = "10.8.0.0/16"\n'
    (found,) = findings(file, text)
    assert f"Cannot declare {LAN} twice" in found.message
    assert found.place.line == text.count("\n") - 2


TWO_POLICIES = """\
[[policy]]
name = "{0}"
action = "bypass"
remote = "10.9.0.0/16"

[[policy]]
name = "{1}"
action = "discard"
remote = "{2}"
"""


def test_a_policy_that_no_packet_comes_to(file: Path) -> None:
    """RFC 4301 section 4.4.1: "the SPD is an ordered database"; the first entry that fits decides."""
    text = GOOD + TWO_POLICIES.format("printer", "lab", "10.9.7.0/24[tcp]")
    (found,) = findings(file, text)
    assert (found.key, found.place.line) == ("policy", line_of(text, '"lab"') - 1)
    assert "fits printer, which stands before it" in found.message
    assert findings(file, GOOD + TWO_POLICIES.format("printer", "lab", "10.0.0.0/8")) == ()


def test_two_policies_of_one_name(file: Path) -> None:
    text = GOOD + TWO_POLICIES.format("lab", "lab", "10.8.0.0/16")
    (found,) = findings(file, text)
    assert found.key == "policy.name"
    assert found.place.line == text[: text.rindex('name = "lab"')].count("\n") + 1


def test_two_connections_on_one_interface(file: Path) -> None:
    text = changed("liveness = 30", 'interface = "vpn0"')
    text = changed(
        "[connection.branch.local]", '[connection.branch]\ninterface = "vpn0"\n[connection.branch.local]', text
    )
    (found,) = findings(file, text)
    assert (found.key, found.message) == ("connection.branch.interface", "vpn0 is of connection office already")


def test_ah_does_not_travel_in_udp(file: Path) -> None:
    """RFC 3948 section 1: UDP encapsulation is for ESP."""
    text = changed('encapsulation = "auto"', 'encapsulation = "forced"')
    text = changed('protocol = "esp"', 'protocol = "ah"', text)
    text = changed('["aes256gcm16"]', '["sha256"]', text)
    (found,) = findings(file, text)
    assert (found.key, found.place.line) == (f"{LAN}.protocol", line_of(text, 'protocol = "ah"'))
    assert "does not travel in UDP" in found.message


def test_two_children_for_the_same_networks(file: Path) -> None:
    """RFC 4301 section 4.4.1: the SPD is ordered; of two equal entries the second never matches."""
    text = changed(
        "[connection.branch.child.all]",
        '[connection.branch.child.first]\nlocal = "0.0.0.0/0"\nremote = "10.3.0.0/16"\n[connection.branch.child.all]',
    )
    (found,) = findings(file, text)
    assert found.key == "connection.branch.child.all"
    assert found.place.line == line_of(text, "child.all]")
    assert "child first" in found.message


def test_several_mistakes_are_told_at_once_in_the_order_of_their_lines(file: Path) -> None:
    text = changed('"10.1.0.0/16"', '"10.1.0.0/99"')
    text = changed("-ecp384", "-ecp385", text)
    text = changed('"192.0.2.1"', '"192.0.2"', text)
    text = changed("file:office.psk", "file:nowhere.psk", text)
    text = changed('ca = "ca.pem"', 'ca = "office.psk"', text)
    found = findings(file, text)
    assert [each.key for each in found] == [
        f"{OFFICE}.local.address",
        f"{OFFICE}.local.secret",
        f"{OFFICE}.proposals",
        f"{LAN}.local",
        "connection.branch.remote.ca",
    ]
    lines = [each.place.line for each in found]
    assert lines == sorted(lines, key=lambda line: line or 0)


def test_several_mistakes_of_shape_are_told_at_once(file: Path) -> None:
    text = changed("liveness = 30", "livenes = 30")
    text = changed('mode = "tunnel"', 'mode = "bridge"', text)
    text = changed('id = "*.example.com"', "id = 5", text)
    assert [each.key for each in findings(file, text)] == [
        f"{OFFICE}.livenes",
        f"{LAN}.mode",
        "connection.branch.remote.id",
    ]


@pytest.mark.parametrize(
    ("proposal", "told"),
    [
        ("aes256gcm16-prfsha384-modp1024", "modp1024: SHOULD NOT (RFC 8247)"),
        ("aes256gcm16-prfsha384-modp1536", "modp1536: SHOULD NOT (RFC 8247)"),
        ("aes256gcm16-prfsha384-modp1024s160", "modp1024s160: MUST NOT (RFC 8247)"),
        ("aes256gcm16-prfsha384-modp2048s224", "modp2048s224: SHOULD NOT (RFC 8247)"),
        ("aes256gcm16-prfsha384-modp2048s256", "modp2048s256: SHOULD NOT (RFC 8247)"),
        ("aes256gcm16-prfmd5-ecp256", "prfmd5: MUST NOT (RFC 8247)"),
        ("aes256-md5-prfsha256-ecp256", "md5: MUST NOT (RFC 8247)"),
        ("3des-sha256-ecp256", "3des: SHOULD NOT (RFC 8221)"),
    ],
)
def test_weak_algorithms_need_a_word(file: Path, proposal: str, told: str) -> None:
    """RFC 8247 sections 2.1 to 2.4; of 3DES RFC 8221 section 5."""
    text = changed("aes256gcm16-prfsha384-ecp384", proposal)
    (found,) = findings(file, text)
    assert (found.key, found.place.line) == (f"{OFFICE}.proposals", line_of(text, proposal))
    assert found.message == f"weak: {told}"
    assert "allow_weak = true" in (found.hint or "")
    assert findings(file, changed("allow_weak = false", "allow_weak = true", text)) == ()


def test_a_weak_algorithm_that_is_not_there_is_refused_with_and_without_a_word(file: Path) -> None:
    text = changed('["aes256gcm16"]', '["des-sha256"]')
    for each in (text, changed("allow_weak = false", "allow_weak = true", text)):
        (found,) = findings(file, each)
        assert "des is not implemented" in found.message


@pytest.mark.parametrize(
    ("proposal", "told"),
    [
        ("3des-sha256", "weak: 3des: SHOULD NOT (RFC 8221)"),
        ("aes128-md5", "weak: md5: MUST NOT (RFC 8221)"),
        ("3des-md5", "weak: 3des: SHOULD NOT (RFC 8221); md5: MUST NOT (RFC 8221)"),
    ],
)
def test_what_is_weak_for_esp_needs_a_word(file: Path, proposal: str, told: str) -> None:
    """RFC 8221 sections 5 and 6; both are implemented, so that nothing but the word stands between."""
    text = changed('["aes256gcm16"]', f'["{proposal}"]')
    (found,) = findings(file, text)
    assert (found.key, found.place.line) == (f"{LAN}.proposals", line_of(text, proposal))
    assert found.message == told
    child = loaded(file, changed("allow_weak = false", "allow_weak = true", text)).connections["office"].children[0]
    assert [format_proposal(each) for each in child.proposals] == [proposal]


@pytest.mark.parametrize(
    "proposal", ["blowfish128-sha256-modp2048", "aes256gcm16-prfsha256-modp768", "aes128-md5_128-modp2048"]
)
def test_what_is_not_there_for_ike_is_refused_with_and_without_a_word(file: Path, proposal: str) -> None:
    text = changed("aes256gcm16-prfsha384-ecp384", proposal)
    for each in (text, changed("allow_weak = false", "allow_weak = true", text)):
        (found,) = findings(file, each)
        assert found.key == f"{OFFICE}.proposals"
        assert "is not implemented" in found.message


# -- files that it names


def put(file: Path, name: str, octets: bytes, mode: int = 0o600) -> None:
    (file.parent / name).write_bytes(octets)
    (file.parent / name).chmod(mode)


@pytest.mark.parametrize(
    ("secret", "message", "hint"),
    [
        ("file:nowhere.psk", "No such file", "check the path"),
        ("file:.", "Is a directory", "check the path"),
        ("file:/proc/self/mem", "cannot be read", "check the path"),
        ("file:\\u0000", "no file's name", None),
        ("file:open.psk", "read by others than its owner (mode 0640)", "chmod 600"),
        ("file:empty.psk", "0 octets, fewer than 8", "/dev/urandom"),
        ("file:newline.psk", "0 octets, fewer than 8", "/dev/urandom"),
        ("file:short.psk", "7 octets, fewer than 8", "/dev/urandom"),
        ("file:huge.psk", "longer than", None),
        ("file:", "does not stand in the configuration", "file:PATH"),
        ("env:CAPONIER_THAT_NOBODY_SETS", "no variable 'CAPONIER_THAT_NOBODY_SETS'", "where the daemon is started"),
        (SECRET, "does not stand in the configuration", "env:NAME"),
    ],
)
def test_secrets_that_cannot_be(file: Path, secret: str, message: str, hint: str | None) -> None:
    put(file, "open.psk", SECRET.encode(), 0o640)
    put(file, "empty.psk", b"")
    put(file, "newline.psk", b"\n")
    put(file, "short.psk", b"1234567\n")
    put(file, "huge.psk", bytes(MAX_SECRET + 1))
    text = changed("file:office.psk", secret)
    (found,) = findings(file, text)
    assert found.key == f"{OFFICE}.local.secret"
    assert found.place.line == line_of(text, "local = {")
    assert message in found.message
    assert hint is None or hint in (found.hint or "")


def test_a_secret_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPONIER_TEST_PSK", SECRET)
    assert findings(file, changed("file:office.psk", "env:CAPONIER_TEST_PSK")) == ()


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ('"ours.pem"', '"nowhere.pem"', "local.certificate", "No such file"),
        ('"ours.pem"', '"office.psk"', "local.certificate", "no certificate"),
        ('"ours.key"', '"nowhere.key"', "local.key", "No such file"),
        ('"ours.key"', '"theirs.key"', "local.certificate", "does not belong to the certificate"),
        ('"ours.key"', '"ours.pem"', "local.certificate", "no private key"),
        ('"ours.key"', '"open.key"', "local.key", "read by others"),
        ('"ours.pem"', '"theirs.pem"', "local.certificate", "does not belong to the certificate"),
        ('id = "gw1.example.com"\nauth', 'id = "gw3.example.com"\nauth', "local.certificate", "not for gw3.example.com"),
        ('"ca.pem"', '"nowhere.pem"', "remote.ca", "No such file"),
        ('"ca.pem"', '"theirs.pem"', "remote.ca", "not an authority's"),
        ('"ca.pem"', '"."', "remote.ca", "Is a directory"),
    ],
)  # fmt: skip
def test_certificates_and_keys_that_cannot_be(file: Path, old: str, new: str, key: str, message: str) -> None:
    put(file, "open.key", ecdsa_pair()["ours.key"], 0o644)
    text = changed(old, new)
    (found,) = findings(file, text)
    assert found.key == f"connection.branch.{key}"
    assert found.place.line == line_of(text, f"{key.split('.')[1]} = ") if key != "local.key" else True
    assert message in found.message


# -- the file itself


def test_a_file_that_is_not_there(file: Path) -> None:
    (found,) = findings_of(file.parent / "nowhere.toml")
    assert (found.place.line, found.key) == (None, "")
    assert "No such file" in found.message


def test_a_directory_instead_of_a_file(file: Path) -> None:
    (found,) = findings_of(file.parent)
    assert "Is a directory" in found.message


def test_a_file_that_is_not_utf_8(file: Path) -> None:
    (found,) = findings(file, GOOD.encode() + b"# \xff\n")
    assert (found.place.line, found.message) == (GOOD.count("\n") + 1, "not UTF-8")


def test_a_file_of_another_kind(file: Path) -> None:
    (found,) = findings(file, bytes(range(128)))
    assert found.message


def test_a_huge_file(file: Path) -> None:
    (found,) = findings(file, b"#" * (MAX_FILE + 1))
    assert f"longer than {MAX_FILE} octets" in found.message


def test_a_huge_key_does_not_make_a_huge_message(file: Path) -> None:
    (found,) = findings(file, f'"{"k" * 1_000_000}" = 1')
    assert "no such key" in found.message
    assert len(str(found)) < 500


# -- secrets stay out of messages


@pytest.mark.parametrize(
    "text",
    [
        changed('"file:office.psk"', f'"{SECRET}"'),
        changed('"file:office.psk"', f'["{SECRET}"]'),
        changed('"file:office.psk"', f'{{ value = "{SECRET}" }}'),
        changed('"file:office.psk"', "8475629103847562"),
        f'[connection.office]\nlocal = "{SECRET}"\nremote = ["{SECRET}"]\nchild = {{ lan = "{SECRET}" }}\n',
        f'[connection]\noffice = "{SECRET}"\n',
        changed('secret = "file:office.psk" }', f'secret = "{SECRET} }}'),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(file: Path, text: str) -> None:
    """People write the secret itself where its place should be named; terminals and logs are read by others."""
    found = "\n".join(map(str, findings(file, text)))
    assert found
    for form in (SECRET, SECRET.encode().hex(), base64.b64encode(SECRET.encode()).decode(), "8475629103847562"):
        assert form not in found
