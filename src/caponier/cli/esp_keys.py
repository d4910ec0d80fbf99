"""The file with the keys of SAs, for tools: TOML, one ``[[sa]]`` for each, refused whole with every mistake."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.schema import Table
from caponier.daemon.config.tables import Document, read_document
from caponier.doi.ikev2 import TransformType
from caponier.errors import ConfigError
from caponier.mechanisms.algorithms.packets import carries
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.mechanisms.negotiation.proposals import parse_ah_proposal, parse_esp_proposal
from caponier.mechanisms.negotiation.spelling import TYPE_NAMES, keyword_of
from caponier.mechanisms.negotiation.suites import child_suite
from caponier.octets import Secret
from caponier.protocols.esp import FIRST_SPI, LAST_SPI, ManualSa, key_octets, opener

MAX_FILE = 1 << 20  #: octets
_SPI = re.compile(r"(0x)?[0-9A-Fa-f]{1,8}")
_BETWEEN_DIGITS = re.compile(r"[\s:]")
_LIKE_A_KEY = re.compile(r"[0-9A-Fa-fx\s:]{32,}")  #: must not be repeated in a message

T = TypeVar("T")


def _spi(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _SPI.fullmatch(value):
        raise ValueError("an SPI has at most 8 hexadecimal digits")
    return int(value, 16)


class SaTable(Table):
    """``[[sa]]``: one SA, which is one direction (RFC 4301 section 4.1)."""

    spi: Annotated[int, BeforeValidator(_spi)] = Field(
        ge=FIRST_SPI, le=LAST_SPI, description='the SPI in its packets, hexadecimal: "0xd6fec5af"'
    )
    suite: str = Field(description='its algorithms, as in a proposal: "aes256gcm16", "aes128-sha256"')
    key: str = Field(default="", repr=False, description="the encryption key, hexadecimal, the salt behind it")
    integrity_key: str = Field(default="", repr=False, description="the integrity key, hexadecimal")
    esn: bool = Field(default=False, description="whether its sequence numbers have 64 bits")
    protocol: Literal["esp", "ah"] = Field(default="esp", description="the protocol; ah does not encrypt")
    mode: Literal["tunnel", "transport"] = Field(default="tunnel", description="the mode")
    destination: str | None = Field(default=None, description="the outer address to which it leads")
    source: str | None = Field(default=None, description="the outer address that it comes from")


class KeyFile(Table):
    """The whole file."""

    sa: list[SaTable] = Field(min_length=1, description="the SAs, each under [[sa]]")


def read_keys(path: Path, *, insecure_permissions: bool = False) -> tuple[ManualSa, ...]:
    """The SAs of a key file.

    Args:
        path: of the file.
        insecure_permissions: whether others may be able to read it.

    Raises:
        InvalidConfiguration: it is refused whole; with every finding.
    """
    document = read_document(path, _read(path, insecure_permissions=insecure_permissions), KeyFile)
    composer = _Composer(document)
    sas = [composer.sa(str(index), table) for index, table in enumerate(document.root.sa)]
    if composer.findings:
        raise InvalidConfiguration(composer.findings)
    return tuple(sa for sa in sas if sa is not None)


def by_spi_alone(sas: Sequence[ManualSa]) -> tuple[ManualSa, ...]:
    """The SAs for whichever destination, for packets of which that is not known.

    Raises:
        ConfigError: several have the same SPI.
    """
    if len({(sa.suite.protocol, sa.spi) for sa in sas}) < len(sas):
        raise ConfigError(
            "several SAs of the key file have the same SPI, and nothing else tells which of them is meant",
            hint="leave one of them in the file",
        )
    return tuple(replace(sa, destination=None) for sa in sas)


def _read(path: Path, *, insecure_permissions: bool) -> bytes:
    """Content and permissions are of the same file, whatever stands under its name a moment later."""
    try:
        with path.open("rb") as file:
            octets, mode = file.read(MAX_FILE + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror or error}", "check the path") from None
    if mode & 0o077 and not insecure_permissions:
        hint = f"chmod 600 {path}; or --insecure-permissions, where the keys are no secret"
        raise _refused(path, f"can be read by others than its owner (mode {mode:04o})", hint)
    if len(octets) > MAX_FILE:
        raise _refused(path, f"longer than {MAX_FILE} octets")
    return octets


def _refused(path: Path, message: str, hint: str | None = None) -> InvalidConfiguration:
    return InvalidConfiguration([Finding(Place(path), "", message, hint)])


class _Composer:
    """From tables to SAs; collects what is wrong."""

    def __init__(self, document: Document[KeyFile]) -> None:
        self._document = document
        self._seen: set[tuple[str, int, str | None]] = set()
        self.findings: list[Finding] = []

    def sa(self, index: str, table: SaTable) -> ManualSa | None:
        """One SA; None where something is wrong with it."""
        before = len(self.findings)
        suite = self._attempt(index, "suite", lambda: _suite(table))
        encryption_key = self._attempt(index, "key", lambda: _octets(table.key))
        integrity_key = self._attempt(index, "integrity_key", lambda: _octets(table.integrity_key))
        destination = self._attempt(index, "destination", lambda: _address(table.destination))
        source = self._attempt(index, "source", lambda: _address(table.source))
        self._attempt(index, "spi", lambda: self._check_different(table))
        if suite is None or encryption_key is None or integrity_key is None:
            return None
        self._attempt(index, "key", lambda: _check_encryption_key(suite, encryption_key))
        self._attempt(index, "integrity_key", lambda: _check_integrity_key(suite, integrity_key))
        if len(self.findings) > before:
            return None
        is_transport = table.mode == "transport"
        sa = ManualSa(table.spi, suite, encryption_key, integrity_key, is_transport, destination, source)
        return sa if self._attempt(index, "suite", lambda: opener(sa)) else None

    def _attempt(self, index: str, key: str, make: Callable[[], T]) -> T | None:
        """The value, or None and a finding."""
        try:
            return make()
        except ConfigError as error:
            self.findings.append(self._document.finding(("sa", index, error.setting or key), error))
            return None

    def _check_different(self, table: SaTable) -> None:
        """RFC 4301 section 4.1: protocol, SPI and destination name one SA."""
        name = (table.protocol, table.spi, table.destination)
        if name in self._seen:
            raise ConfigError(
                f"another SA above has SPI {table.spi:08x} too", hint='add destination = "ADDRESS" to tell them apart'
            )
        self._seen.add(name)


def _suite(table: SaTable) -> ChildSuite:
    """The algorithms: exactly one of each type. A key exchange may stand there, as ``caponier status`` writes it."""
    if _LIKE_A_KEY.fullmatch(table.suite):
        raise ConfigError("these are no algorithms", hint='a good suite is "aes256gcm16"')
    is_ah = table.protocol == "ah"
    proposal = (parse_ah_proposal if is_ah else parse_esp_proposal)(table.suite)
    for kind in (TransformType.ENCRYPTION, TransformType.INTEGRITY, TransformType.SEQUENCE_NUMBERS):
        transforms = proposal.of(kind)
        if len(transforms) > 1:
            several = " and ".join(map(keyword_of, transforms))
            raise ConfigError(f"an SA has one {TYPE_NAMES[kind]} algorithm, not {several}")
        if any(not carries(proposal.protocol, kind, each.id, each.key_length) for each in transforms):
            raise ConfigError(f"{keyword_of(transforms[0])} is not implemented", hint="`caponier doi` lists what is")
    suite = child_suite(proposal)
    return replace(suite, esn=suite.esn or table.esn, key_exchange=None)


def _octets(text: str) -> Secret:
    """Keys as people have them: with or without 0x, colons, blanks. What stands there is in no message."""
    digits = _BETWEEN_DIGITS.sub("", text).removeprefix("0x")
    if len(digits) % 2:
        raise ConfigError(f"{len(digits)} hexadecimal digits are no whole octets", hint="each octet has two digits")
    try:
        return Secret(bytes.fromhex(digits))
    except ValueError:
        raise ConfigError("not hexadecimal", hint="digits and the letters a to f; nothing else but colons") from None


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        return None if text is None else ip_address(text)
    except ValueError:
        raise ConfigError("no IP address", hint='write it as "192.0.2.1" or "2001:db8::1"') from None


def _check_encryption_key(suite: ChildSuite, key: Secret) -> None:
    expected, salt, _ = key_octets(suite)
    if len(key) == expected:
        return
    parts = f": a key of {expected - salt} and a salt of {salt} behind it" if salt else ""
    takes = f"takes {expected} octets{parts}" if expected else "takes no encryption key"
    hint = f"the salt is missing: {salt} octets behind the key" if salt and len(key) == expected - salt else None
    raise ConfigError(f"{suite.text} {takes}; found {len(key)}", hint=hint)


def _check_integrity_key(suite: ChildSuite, key: Secret) -> None:
    *_, expected = key_octets(suite)
    if len(key) == expected:
        return
    takes = f"takes an integrity key of {expected} octets" if expected else "takes no integrity key"
    raise ConfigError(f"{suite.text} {takes}; found {len(key)}")
