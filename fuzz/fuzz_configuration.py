"""Configuration files: taken whole, or refused with findings (tomllib below, pydantic above, files beside)."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import tomllib
from functools import cache
from pathlib import Path

from caponier.daemon.config import InvalidConfiguration, load
from caponier.daemon.config.locate import KeyPath, locate
from fuzz.fuzz_certificates import END, KEY, ROOT
from fuzz.telling import require_said

GOOD = """\
[daemon]
control = "/run/caponier/control.sock"
mtu = 1400
workers = 2
log_level = "debug"

[connection.office]
version = 2
local = { address = "192.0.2.1", id = "gw1.example.com", auth = "psk", secret = "file:office.psk" }
remote = { address = ["192.0.2.2", "2001:db8::2"], id = "*.example.com" }
proposals = ["aes256gcm16-prfsha384-ecp384", "aes256-sha256-x25519"]
start = "boot"
encapsulation = "forced"
liveness = 1.5e1

[connection.office.child.lan]
local = "10.1.0.0/16"
remote = ["10.2.0.0/16[tcp/443]", '''10.3.0.1-10.3.0.9''']
replay_window = 0x400
"""

CERTIFICATES = """\
connection."a name".local = {id="gw.example.com",auth="certificate",certificate="gw.pem",key="gw.key"}
connection."a name".remote = {id="%any",ca="ca.pem"} # whoever
[connection."a name".child.'x y'] # a comment
local = [ # several
  "10.1.0.0/16",
  "fd00::/8",
]
remote = ["0.0.0.0/0"]
proposals = "aes128-sha1-modp1024"
[[connection]]
"""


WORDS = (
    "[connection.office]",
    "[connection.office.child.lan]",
    "[daemon]",
    "[[",
    "]]",
    "local = ",
    "remote = ",
    "address = ",
    "secret = ",
    "proposals = ",
    "start = ",
    "child",
    "= {",
    "= [",
    "= true",
    "= nan",
    "= 1e999",
    "= 2026-06-01",
    '"""',
    "'''",
    "\\u0000",
    "file:",
    "env:",
    "%any",
    "\n",
)


def seeds() -> dict[str, bytes]:
    return {
        "psk": GOOD.encode(),
        "certificates": CERTIFICATES.encode(),
        "without-the-array": CERTIFICATES.removesuffix("[[connection]]\n").encode(),
        "and-without-weakness": CERTIFICATES.partition("proposals")[0].encode(),
        "empty": b"",
        "number-at-the-top": b"a = 1e999",
        "array-for-a-table": b"connection = []",
        "nested": b"a = " + b"[" * 3_000,
        "zero-in-a-path": GOOD.replace("office.psk", "\\u0000").encode(),
        "types": b'a = 1979-05-27T07:32:00Z\nb = inf\nc = 0b1\nd = [[[]]]\ne = {f = {}}\n"" = true\n',
    }


@cache
def _directory() -> Path:
    """A directory with the files that the seeds name."""
    directory = Path(tempfile.mkdtemp(prefix="caponier-fuzz-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for name, octets in (("office.psk", b"long enough a secret"), ("gw.pem", END), ("gw.key", KEY), ("ca.pem", ROOT)):
        (directory / name).write_bytes(octets)
        (directory / name).chmod(0o600)
    return directory


def one(octets: bytes) -> None:
    """A configuration, or InvalidConfiguration whose findings can be told."""
    if b"/" in octets and any(word in octets for word in (b"dev", b"proc", b"sys")):
        return  # a file that it names may be any: not one that waits or has effects
    file = _directory() / "caponier.toml"
    file.write_bytes(octets)
    try:
        configuration = load(file)
    except InvalidConfiguration as error:
        _require_places(error, octets.count(b"\n") + 1)
        return
    for name, connection in configuration.connections.items():
        assert connection.children
        assert configuration.place(name, "child.lan.remote") is not None
    _locate(octets.decode())


def _require_places(error: InvalidConfiguration, lines: int) -> None:
    require_said(error)  # in whatever letters: the file is the operator's own
    assert error.findings
    for finding in error.findings:
        assert finding.place.line is None or 1 <= finding.place.line <= lines


def _locate(text: str) -> None:
    """Every key of a text that parses has a line."""
    lines = locate(text)
    for key in _keys(tomllib.loads(text), ()):
        assert key in lines, f"{key} has no line"


def _keys(value: object, key: KeyPath) -> list[KeyPath]:
    found = [key] if key else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _keys(inner, (*key, name))
    return found
