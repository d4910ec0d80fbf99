"""Certificates as credentials and as proof (RFC 7296 sections 3.6 and 3.7, RFC 4945)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from caponier.errors import AuthenticationFailed, ConfigError
from caponier.mechanisms.authentication.identity import Identity, name_text
from caponier.mechanisms.authentication.parsing import MalformedCertificate, extension, parse_certificate, parse_pem
from caponier.mechanisms.authentication.path_validation import MAX_CERTIFICATES, InvalidPath, validate_path
from caponier.mechanisms.authentication.signatures import PrivateKey, PublicKey, weakness_of
from caponier.mechanisms.authentication.subject import confirms, identities_of

MAX_CERTIFICATE = 16_384  #: octets of one certificate of a peer


@dataclass(frozen=True, slots=True)
class CertificateCredential:
    """How we prove who we are.

    Attributes:
        certificate: ours.
        intermediates: what leads from it towards the peer's trust anchor; sent along.
        key: the private key.
    """

    certificate: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def encoded(self) -> tuple[bytes, ...]:
        """The chain in DER, our own first (RFC 7296 section 3.6)."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.intermediates))


@dataclass(frozen=True, slots=True)
class CertificateTrust:
    """How a peer must prove who it is: by a certificate from one of these authorities."""

    anchors: tuple[x509.Certificate, ...]

    @property
    def text(self) -> str:
        """The authorities' names."""
        return "; ".join(name_text(anchor.subject) for anchor in self.anchors)


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A certificate that leads to a trust anchor and confirms an identity.

    Attributes:
        public_key: the key that may now speak for the identity.
        subject: for people.
        not_after: when it ends, UTC.
    """

    public_key: PublicKey
    subject: str
    not_after: datetime


def load_certificates(octets: bytes) -> tuple[x509.Certificate, ...]:
    """Read certificates: any number in PEM, or one in DER.

    Raises:
        ConfigError: none in there, or one that does not parse.
    """
    try:
        return parse_pem(octets) if b"-----BEGIN" in octets else (parse_certificate(octets),)
    except MalformedCertificate as error:
        raise ConfigError(
            f"this is no certificate: {error}", hint="give it as PEM: -----BEGIN CERTIFICATE-----"
        ) from None


def load_credential(certificates: bytes, key: bytes, identity: Identity) -> CertificateCredential:
    """Our certificate (the first), its intermediates, and the private key.

    Raises:
        ConfigError: one of them does not parse, they do not belong together, or the certificate does not confirm
            ``identity``: no peer would believe us.
    """
    first, *others = load_certificates(certificates)
    private = PrivateKey.load(key)
    _require_strong_key(first)
    if _spki(first.public_key()) != _spki(private.public_key):
        raise ConfigError(
            f"the private key does not belong to the certificate of {name_text(first.subject)}",
            hint="the first certificate of the file must be the one that was issued for this key",
        )
    if not confirms(first, identity):
        raise ConfigError(
            f"the certificate is not for {identity.text}, but for {_listed(identities_of(first))}",
            hint="set local.id to a name that stands in the certificate",
        )
    return CertificateCredential(first, tuple(others), private)


def _require_strong_key(certificate: x509.Certificate) -> None:
    try:
        weakness = weakness_of(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        weakness = "of a kind that we do not know"
    if weakness is not None:
        raise ConfigError(
            f"the key of the certificate of {name_text(certificate.subject)} is {weakness}",
            hint="let it be made anew, with a key of RSA 2048 bits or more, or on P-256",
        )


def _spki(key: object) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets


def load_trust(octets: bytes) -> CertificateTrust:
    """Trust anchors.

    Raises:
        ConfigError: they do not parse, or one is no authority's, or has a key that we do not trust.
    """
    anchors = load_certificates(octets)
    for anchor in anchors:
        constraints = extension(anchor, x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            raise ConfigError(
                f"the certificate of {name_text(anchor.subject)} is not an authority's",
                hint="give the certificate of the authority that issued the peer's, not the peer's own",
            )
        _require_strong_key(anchor)
    return CertificateTrust(anchors)


def authority_hashes(anchors: Iterable[x509.Certificate]) -> bytes:
    """What a CERTREQ payload says: SHA-1 of each authority's SubjectPublicKeyInfo (RFC 7296 section 3.7).

    SHA-1 is a name here, not a protection.
    """
    return b"".join(hashlib.sha1(_spki(anchor.public_key()), usedforsecurity=False).digest() for anchor in anchors)


def verify_chain(
    end_entity: bytes, others: Sequence[bytes], trust: CertificateTrust, identity: Identity, at: datetime
) -> VerifiedCertificate:
    """Verify a peer's certificate up to a trust anchor (RFC 5280 section 6), and that it is for its identity.

    Args:
        end_entity: the first CERT payload's certificate, DER.
        others: the other ones', in any order; what does not parse is passed over (RFC 4945 section 3.3.10.2), and
            what is there twice counts once (section 3.3.10.4).
        trust: what we accept.
        identity: what the peer says that it is.
        at: the instant of which validity is asked, UTC.

    Raises:
        AuthenticationFailed: with the cause, what the peer offered and what we accept.
    """
    certificate = _parse(end_entity)
    intermediates = _parse_others(tuple(dict.fromkeys(others))[: MAX_CERTIFICATES - 1])
    try:
        key = validate_path(certificate, intermediates, trust.anchors, at)
    except InvalidPath as error:
        raise AuthenticationFailed(
            f"the certificate of {name_text(certificate.subject)}, issued by {name_text(certificate.issuer)}, "
            f"is not acceptable: {error.cause}; we accept what {trust.text} issued",
            section=error.section,
            hint=error.hint,
            setting="remote.ca",
        ) from None
    if not confirms(certificate, identity):
        raise AuthenticationFailed(
            f"the peer says that it is {identity.text}, but its certificate is for {_listed(identities_of(certificate))}",
            section="RFC 4945 section 3.1",
            hint="let the peer use an identity that stands in its certificate, and name that in remote.id",
            setting="remote.id",
        )
    return VerifiedCertificate(key, name_text(certificate.subject), certificate.not_valid_after_utc)


def _parse(octets: bytes) -> x509.Certificate:
    if len(octets) > MAX_CERTIFICATE:
        raise AuthenticationFailed(
            f"the peer's certificate has {len(octets)} octets, we take {MAX_CERTIFICATE} at most",
            section="RFC 7296 section 3.6",
            setting="remote.ca",
        )
    try:
        return parse_certificate(octets)
    except MalformedCertificate as error:
        raise AuthenticationFailed(
            f"the peer's certificate does not parse as X.509 in DER, which is what we accept: {error}",
            section="RFC 5280 section 4",
            setting="remote.ca",
        ) from None


def _parse_others(others: Sequence[bytes]) -> list[x509.Certificate]:
    parsed = []
    for octets in others:
        with suppress(AuthenticationFailed):
            parsed.append(_parse(octets))
    return parsed


def _listed(identities: Sequence[Identity]) -> str:
    return ", ".join(each.text for each in identities) or "nobody"
