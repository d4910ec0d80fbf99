"""A directory with everything that a good configuration names, and the good configuration itself."""

from __future__ import annotations

from pathlib import Path

from caponier.daemon.config import Configuration, Finding, InvalidConfiguration, load
from tests.interop.pki import ecdsa_pair

SECRET = "the secret that no message may show"

GOOD = """\
[daemon]
control = "/run/caponier/control.sock"
interface = "cap0"
port = 500
nat_port = 4500

[connection.office]
version = 2
local = { address = "192.0.2.1", id = "gw1.example.com", auth = "psk", secret = "file:office.psk" }
remote = { address = "192.0.2.2", id = "gw2.example.com", auth = "psk" }
proposals = ["aes256gcm16-prfsha384-ecp384"]
start = "boot"
encapsulation = "auto"
liveness = 30
allow_weak = false

[connection.office.child.lan]
local = ["10.1.0.0/16", "fd00:1::/64"]
remote = ["10.2.0.0/16[tcp/443]"]
protocol = "esp"
mode = "tunnel"
proposals = ["aes256gcm16"]
replay_window = 128

[connection.branch.local]
id = "gw1.example.com"
auth = "certificate"
certificate = "ours.pem"
key = "ours.key"

[connection.branch.remote]
id = "*.example.com"
ca = "ca.pem"

[connection.branch.child.all]
local = "0.0.0.0/0"
remote = "10.3.0.0/16"
"""


def furnish(directory: Path) -> Path:
    """Put the files there that :data:`GOOD` names; the path for the configuration."""
    (directory / "office.psk").write_text(SECRET + "\n")
    for name, octets in ecdsa_pair().items():
        (directory / name).write_bytes(octets)
    for each in directory.iterdir():
        each.chmod(0o600)
    return directory / "caponier.toml"


def findings(file: Path, text: str | bytes) -> tuple[Finding, ...]:
    """What is wrong with a text; nothing when it is good."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return findings_of(file)


def findings_of(file: Path) -> tuple[Finding, ...]:
    """What is wrong with a file."""
    try:
        load(file)
    except InvalidConfiguration as error:
        return error.findings
    return ()


def loaded(file: Path, text: str) -> Configuration:
    file.write_text(text)
    return load(file)


def changed(old: str, new: str, text: str = GOOD) -> str:
    """A text with one place changed."""
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


def line_of(text: str, piece: str) -> int:
    """The line on which a piece stands, counted from 1."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if piece in line)
