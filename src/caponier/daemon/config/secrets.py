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

    Raises:
        ConfigError: not there, not readable, readable by others, or too short. The value itself is in no message.
    """
    kind, _, rest = value.partition(":")
    match kind:
        case "file" if rest:
            octets = read_private_file(rest, directory)
        case "env" if rest:
            octets = _from_environment(rest)
        case _:
            raise ConfigError(
                "a secret does not stand in the configuration file itself",
                hint='write "file:PATH" for a file that only its owner can read, or "env:NAME" for an environment variable',
            )
    octets = octets.removesuffix(b"\n").removesuffix(b"\r")
    if len(octets) < SHORTEST_SECRET:
        raise ConfigError(
            f"the secret has {len(octets)} octets, fewer than {SHORTEST_SECRET}",
            hint="make a good one: head -c 32 /dev/urandom | base64 > FILE",
        )
    return Secret(octets)


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
        raise ConfigError(f"{path} can be read by others than its owner (mode {mode:04o})", hint=f"chmod 600 {path}")
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
            f"{path} cannot be read: {error.strerror}", hint="check the path and who runs the daemon"
        ) from None
    except ValueError:  # a zero octet, which no file's name has
        raise ConfigError(f"{str(path)!r} is no file's name") from None
    if len(octets) > MAX_FILE:
        raise ConfigError(f"{path} is longer than {MAX_FILE} octets")
    return octets, mode
