"""Secrets and keys that a configuration names: from files with narrow permissions, or from the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from caponier.errors import ConfigError
from caponier.octets import Secret

MAX_FILE = 1 << 20  #: octets of a secret, a key or a bundle of certificates
SHORTEST_SECRET = 8  #: octets; a shorter preshared key is guessed offline within hours


def read_secret(value: str, directory: Path) -> Secret:
    """The preshared key that ``file:PATH`` or ``env:NAME`` names. A last newline does not belong to it.

    With ``hex:`` before that, the file or variable holds the key in hexadecimal: RFC 7296 section 2.15 wants keys of any
    octets to be possible.

    Raises:
        ConfigError: not there, not readable, readable by others, too short, or not hexadecimal. The value itself is in
            no message.
    """
    source = value.removeprefix("hex:")
    octets = _named(source, directory).removesuffix(b"\n").removesuffix(b"\r")
    if source != value:
        octets = _from_hexadecimal(octets)
    if len(octets) < SHORTEST_SECRET:
        raise ConfigError(
            f"the secret has {len(octets)} octets, fewer than {SHORTEST_SECRET}",
            hint="make a good one: head -c 32 /dev/urandom | base64 > FILE",
        )
    return Secret(octets)


def _named(source: str, directory: Path) -> bytes:
    kind, _, rest = source.partition(":")
    match kind:
        case "file" if rest:
            return read_private_file(rest, directory)
        case "env" if rest:
            return _from_environment(rest)
        case _:
            raise ConfigError(
                "a secret does not stand in the configuration file itself",
                hint='write "file:PATH" for a file that only its owner can read, or "env:NAME" for an environment variable',
            )


def _from_hexadecimal(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise ConfigError(
            "the secret is not hexadecimal, and hex: says that it is", hint="two digits of 0-9 and a-f for each octet"
        ) from None


def _from_environment(name: str) -> bytes:
    found = os.environb.get(name.encode())
    if found is None:
        raise ConfigError(f"the environment has no variable {name!r}", hint="set it where the daemon is started")
    return found


def read_private_file(name: str, directory: Path) -> bytes:
    """The octets of a file that nobody else may read.

    Raises:
        ConfigError: as :func:`read_file`, or others may read it.
    """
    path = directory / name
    octets, mode = _read(path)
    if mode & 0o077:
        raise ConfigError(
            f"{_shown(path)} can be read by others than its owner (mode {mode:04o})", hint=f"chmod 600 {_shown(path)}"
        )
    return octets


def read_file(name: str, directory: Path) -> bytes:
    """The octets of a file; a relative name starts at the configuration file's directory.

    Raises:
        ConfigError: not there, not readable, or too long.
    """
    return _read(directory / name)[0]


def _read(path: Path) -> tuple[bytes, int]:
    """Content and permissions, both of the file that was opened, whatever stands under its name a moment later."""
    try:
        with path.open("rb") as file:
            octets, mode = file.read(MAX_FILE + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise ConfigError(
            f"{_shown(path)} cannot be read: {error.strerror}", hint="check the path and who runs the daemon"
        ) from None
    except ValueError:  # a zero octet, which no file's name has
        raise ConfigError(f"{str(path)!r} is no file's name") from None
    if len(octets) > MAX_FILE:
        raise ConfigError(f"{_shown(path)} is longer than {MAX_FILE} octets")
    return octets, mode


def _shown(path: Path) -> str:
    """A path as people read it, without what would move their terminal's cursor."""
    text = str(path)
    return text if text.isprintable() else repr(text)
