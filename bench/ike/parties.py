"""A gateway and its peers: connections of each kind of authentication, and endpoints that count the CPU time they take."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.identity import parse_identity, parse_identity_pattern
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.authentication.signatures import PrivateKey
from caponier.mechanisms.negotiation.proposals import parse_esp_proposal, parse_ike_proposal
from caponier.mechanisms.negotiation.selectors import parse_selector
from caponier.octets import Secret
from caponier.protocols.ike.effects import AllocateSpi, Effect, Sign
from caponier.protocols.ike.endpoint import Endpoint
from caponier.protocols.ike.path import Datagram, Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, Limits, Local, Remote, Settings

CLASSIC = "aes128gcm16-prfsha256-x25519"
HYBRID = "aes256gcm16-prfsha256-x25519-ke1_mlkem768"
GATEWAY = IPv4Address("192.0.2.1")
_FIRST_PEER = IPv4Address("10.0.0.1")
_EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
_SETTINGS = Settings(Limits(half_open=100_000, half_open_per_address=1000, cookie_threshold=100_000, ike_sas=100_000))

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Kind:
    """A way to shake hands.

    Attributes:
        key: in the results.
        name: for people.
        proposal: for IKE.
        certificates: ``p256`` or ``rsa2048``; None for a preshared key.
    """

    key: str
    name: str
    proposal: str
    certificates: str | None = None


KINDS = (
    Kind("psk", "PSK, X25519", CLASSIC),
    Kind("ecdsa", "certificates, ECDSA P-256, X25519", CLASSIC, "p256"),
    Kind("rsa", "certificates, RSA-2048, X25519", CLASSIC, "rsa2048"),
    Kind("pq", "PSK, X25519 and ML-KEM-768", HYBRID),
)


def is_built(kind: Kind) -> bool:
    """Whether this Caponier speaks it."""
    try:
        parse_ike_proposal(kind.proposal)
    except Exception:  # noqa: BLE001 - whatever it is, it is not there
        return False
    return True


def gateways(kind: Kind) -> Connection:
    """One connection for everybody whose name ends in ``.example.com``."""
    return Connection(
        name="everybody",
        local=Local((GATEWAY,), parse_identity("gw.example.com"), _credential(kind, "gw.example.com")),
        remote=Remote((), parse_identity_pattern("*.example.com"), _requirement(kind)),
        proposals=(parse_ike_proposal(kind.proposal),),
        children=(_child("0.0.0.0/0", "10.0.0.0/8"),),
        rekey=None,
    )


def gateways_own(kind: Kind, number: int) -> Connection:
    """A connection for one peer alone, by its address and name."""
    everybody = gateways(kind)
    remote = Remote((address(number),), parse_identity_pattern(_name(number)), everybody.remote.requirement)
    return replace(everybody, name=f"peer{number}", remote=remote)


def peers(kind: Kind, number: int) -> Connection:
    """The other end."""
    return Connection(
        name=f"peer{number}",
        local=Local((address(number),), parse_identity(_name(number)), _credential(kind, _name(number))),
        remote=Remote((GATEWAY,), parse_identity_pattern("gw.example.com"), _requirement(kind)),
        proposals=(parse_ike_proposal(kind.proposal),),
        children=(_child(f"{address(number)}/32", "0.0.0.0/0"),),
        liveness=None,
        rekey=None,
    )


def address(number: int) -> IPv4Address:
    """Where a peer is, and the one address behind it."""
    return _FIRST_PEER + number


def _name(number: int) -> str:
    return f"peer{number}.example.com"


def _child(local: str, remote: str) -> ChildPolicy:
    return ChildPolicy("net", (parse_selector(local),), (parse_selector(remote),), (parse_esp_proposal("aes128gcm16"),))


# -- how they prove who they are


def _credential(kind: Kind, name: str) -> PresharedKey | CertificateCredential:
    if kind.certificates is None:
        return PresharedKey(Secret(b"a secret between all of them"))
    authority, certificate = _authority(kind.certificates)
    # One key for all peers: making ten thousand of them would take longer than everything else.
    key = _key(kind.certificates, "gw" if name == "gw.example.com" else "peers")
    return CertificateCredential(_issued(name, key, certificate.subject, authority), (), PrivateKey(key))


def _requirement(kind: Kind) -> PresharedKey | CertificateTrust:
    if kind.certificates is None:
        return PresharedKey(Secret(b"a secret between all of them"))
    return CertificateTrust((_authority(kind.certificates)[1],))


@cache
def _key(kind: str, owner: str) -> Key:
    if kind == "p256":  # the same in every process: the gateway may be in another one than its peers
        return ec.derive_private_key(int.from_bytes(hashlib.sha256(owner.encode()).digest()) >> 8, ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


@cache
def _authority(kind: str) -> tuple[Key, x509.Certificate]:
    key, name = _key(kind, "authority"), _common("authority")
    constraint = x509.BasicConstraints(ca=True, path_length=None)
    return key, _builder(name, name, key).add_extension(constraint, critical=True).sign(key, hashes.SHA256())


def _issued(name: str, key: Key, issuer: x509.Name, authority: Key) -> x509.Certificate:
    alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
    built = _builder(_common(name), issuer, key).add_extension(alternative, critical=False)
    return built.sign(authority, hashes.SHA256())


def _common(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_EPOCH - timedelta(days=1))
        .not_valid_after(_EPOCH + timedelta(days=365))
    )


# -- endpoints


class Party:
    """An endpoint with a data plane that only counts SPIs.

    Attributes:
        nanoseconds: of CPU time that it has taken so far.
        is_working: whether it is at work now: for who takes samples.
    """

    def __init__(self) -> None:
        self.endpoint = Endpoint(_SETTINGS, os.urandom, lambda now: _EPOCH + timedelta(seconds=now))
        self.nanoseconds = 0
        self.is_working = False
        self._next_spi = 256

    def initiate(self, number: int, now: float) -> list[Datagram]:
        """Let a peer speak first."""
        self.endpoint.initiate(f"peer{number}", Path(address(number), 500, GATEWAY, 500), now)
        return self._settle(now)

    def receive(self, octets: bytes, path: Path, now: float) -> list[Datagram]:
        """Take a datagram; returns what leaves because of it."""
        self.is_working, began = True, time.thread_time_ns()
        self.endpoint.receive_datagram(octets, path, now)
        leaving = self._settle(now)
        self.nanoseconds += time.thread_time_ns() - began
        self.is_working = False
        return leaving

    def wake(self, now: float) -> list[Datagram]:
        """Do what is due; returns what leaves because of it."""
        began = time.thread_time_ns()
        self.endpoint.handle_timeout(now)
        leaving = self._settle(now)
        self.nanoseconds += time.thread_time_ns() - began
        return leaving

    def _settle(self, now: float) -> list[Datagram]:
        leaving: list[Datagram] = []
        is_busy = True
        while is_busy:
            is_busy = False
            while (effect := self.endpoint.next_effect()) is not None:
                self.endpoint.complete(effect, self._perform(effect), now)
                is_busy = True
            leaving += [each for each in self.endpoint.datagrams_to_send() if isinstance(each, Datagram)]
        while self.endpoint.next_event() is not None:
            pass
        return leaving

    def _perform(self, effect: Effect) -> object:
        match effect:
            case AllocateSpi():
                self._next_spi += 1
                return self._next_spi
            case Sign(key, scheme, octets):
                return key.sign(scheme, octets)
        return None


def converse(gateway: Party, others: Party, leaving: list[Datagram], now: float) -> None:
    """Carry datagrams in both directions, those of ``others`` first, until nobody says anything more."""
    receiver, sender = gateway, others
    while leaving:
        answers = []
        for datagram in leaving:
            answers += receiver.receive(datagram.octets, turned(datagram.path), now)
        leaving, receiver, sender = answers, sender, receiver


def turned(path: Path) -> Path:
    """A path as its other end sees it."""
    return replace(path, local=path.remote, local_port=path.remote_port, remote=path.local, remote_port=path.local_port)
