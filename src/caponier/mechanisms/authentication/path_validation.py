"""Path validation (RFC 5280 section 6.1), for private authorities and IKE's names.

The parsing and each single signature are the library's; which certificates may follow each other is decided here. What
RFC 5280 leaves to policy is decided narrowly: no certificate policies, no SHA-1, no short keys, and an unknown critical
extension refuses the path.

A stranger chooses the certificates, so the work is bounded: so many certificates, so many signatures tried, so deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier, SignatureAlgorithmOID

from caponier.errors import CaponierError
from caponier.mechanisms.authentication.identity import ComparableName, comparable_name, name_text
from caponier.mechanisms.authentication.name_constraints import NameConstraintsState, UnusableConstraint
from caponier.mechanisms.authentication.parsing import extension
from caponier.mechanisms.authentication.signatures import PublicKey, weakness_of

MAX_CERTIFICATES = 16  #: of a peer, the end entity's included
MAX_DEPTH = 8  #: certificates between the end entity and a trust anchor
MAX_SIGNATURES = 32  #: signatures tried for one peer

_EKU_IPSEC_IKE = ObjectIdentifier("1.3.6.1.5.5.7.3.17")  # RFC 4945 section 5.1.3.12
_EKU_ALLOWED = {
    _EKU_IPSEC_IKE,
    ObjectIdentifier("1.3.6.1.5.5.8.2.2"),  # iKEIntermediate, as older systems want it
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
}
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PROCESSED = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}


class InvalidPath(CaponierError):
    """No acceptable path: the cause, as the middle of a sentence, and the section that decides."""

    def __init__(self, cause: str, section: str, hint: str | None = None) -> None:
        super().__init__(cause, hint=hint)
        self.cause = cause
        self.section = section


@dataclass(frozen=True, slots=True)
class _Link:
    """A certificate with its names as they compare: worked out once, however often a stranger has them compared."""

    certificate: x509.Certificate
    subject: ComparableName
    issuer: ComparableName

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        return cls(certificate, comparable_name(certificate.subject), comparable_name(certificate.issuer))


@dataclass(slots=True)
class _Search:
    """Where a path may lead, and what may still be spent on a stranger's certificates."""

    intermediates: tuple[_Link, ...]
    anchors: tuple[_Link, ...]
    signatures: int = MAX_SIGNATURES

    def spend(self) -> None:
        self.signatures -= 1
        if self.signatures < 0:
            raise InvalidPath(f"more than {MAX_SIGNATURES} signatures to try", "RFC 5280 section 6.1")


def validate_path(
    certificate: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> PublicKey:
    """Find a path from ``certificate`` to an anchor on which every certificate is acceptable.

    Args:
        certificate: the end entity's; all certificates as :mod:`.parsing` reads them.
        intermediates: what may stand in between, in any order; one that is there twice counts once.
        anchors: whom we trust.
        at: the instant of which validity is asked, UTC.

    Returns:
        The end entity's public key.

    Raises:
        InvalidPath: with the cause of the first path to an anchor, if there was one.
    """
    distinct = dict.fromkeys(intermediates)
    search = _Search(tuple(map(_Link.of, distinct)), tuple(map(_Link.of, anchors)))
    causes: list[InvalidPath] = []
    try:
        for path in _paths((_Link.of(certificate),), search):
            try:
                return _check_path([link.certificate for link in path], at)
            except InvalidPath as error:
                causes.append(error)
    except InvalidPath as error:  # the search's own
        causes.append(error)
    causes.append(
        InvalidPath(
            "its issuer is none of the authorities that we trust, and no certificate that came along leads to one",
            "RFC 5280 section 6.1",
            "add the certificate of the peer's authority to remote.ca, or let the peer send its intermediate certificates",
        )
    )
    raise causes[0]


def _paths(path: tuple[_Link, ...], search: _Search) -> Iterator[tuple[_Link, ...]]:
    """Chains of names and signatures from the end entity to an anchor; an anchor goes before a detour."""
    last = path[-1]
    for anchor in search.anchors:
        if last.certificate == anchor.certificate or _issued(anchor, last, search):
            yield (*path, anchor)
    if len(path) > MAX_DEPTH:
        return
    for candidate in search.intermediates:
        if candidate not in path and _issued(candidate, last, search):
            yield from _paths((*path, candidate), search)


def _issued(issuer: _Link, subject: _Link, search: _Search) -> bool:
    """Whether ``issuer``'s name and key stand behind ``subject`` (RFC 5280 section 6.1.3 a)."""
    if issuer.subject != subject.issuer:
        return False
    search.spend()
    try:
        _verify_issued(issuer.certificate, subject.certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _verify_issued(issuer: x509.Certificate, subject: x509.Certificate) -> None:
    """Verify a certificate's signature; the names were found to be the same.

    The library's function wants them the same octet by octet. Where they differ in case or in the kind of string, which
    RFC 5280 section 7.1 overlooks, only the signature is left to verify.
    """
    if issuer.subject.public_bytes() == subject.issuer.public_bytes():
        subject.verify_directly_issued_by(issuer)
        return
    key, signature, octets = issuer.public_key(), subject.signature, subject.tbs_certificate_bytes
    parameters = subject.signature_algorithm_parameters
    if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PKCS1v15 | padding.PSS):
        function = subject.signature_hash_algorithm or hashes.SHA256()
        key.verify(signature, octets, parameters, function)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, octets, parameters)
    elif isinstance(key, ed25519.Ed25519PublicKey) and subject.signature_algorithm_oid == SignatureAlgorithmOID.ED25519:
        key.verify(signature, octets)
    else:
        raise InvalidSignature


def _check_path(path: Sequence[x509.Certificate], at: datetime) -> PublicKey:
    """RFC 5280 sections 6.1.2 to 6.1.5, from the anchor down to the end entity, whose key it returns.

    The RFC asks nothing of an anchor. Ours is a certificate, and what its authority wrote into it about itself counts.
    """
    anchor, *below = reversed(path)
    _check_validity(anchor, at)
    _usable_key(anchor)
    _check_extensions(anchor)
    _check_authority(anchor)
    constraints = NameConstraintsState()
    remaining, narrowest = _path_length(anchor, MAX_DEPTH), anchor
    _constrain(constraints, anchor)
    for depth, certificate in enumerate(below, start=1):
        is_end = depth == len(below)
        _check_signature_algorithm(certificate)
        _check_validity(certificate, at)
        _usable_key(certificate)
        _check_extensions(certificate)
        if is_end or certificate.issuer != certificate.subject:  # not of self-issued ones: section 6.1.3 (b)
            _check_names(constraints, certificate)
        if is_end:
            break
        if certificate.issuer != certificate.subject:
            remaining -= 1
        if remaining < 0:
            raise InvalidPath(
                f"too many authorities below {name_text(narrowest.subject)}", "RFC 5280 section 6.1.4 (l)"
            )
        if (allowed := _path_length(certificate, remaining)) < remaining:
            remaining, narrowest = allowed, certificate
        _check_authority(certificate)
        _constrain(constraints, certificate)
    _check_end_entity(path[0])
    return _usable_key(path[0])


def _check_validity(certificate: x509.Certificate, at: datetime) -> None:
    name = name_text(certificate.subject)
    if at < certificate.not_valid_before_utc:
        raise InvalidPath(
            f"the certificate of {name} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "RFC 5280 section 6.1.3 (a) (2)",
            "is this machine's clock right?",
        )
    if at > certificate.not_valid_after_utc:
        raise InvalidPath(
            f"the certificate of {name} ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            "RFC 5280 section 6.1.3 (a) (2)",
            "renew it",
        )


def _check_signature_algorithm(certificate: x509.Certificate) -> None:
    try:
        function = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        function = hashes.SHA1()  # noqa: S303 - stands for any that we do not take
    if function is not None and not isinstance(function, _HASHES):
        raise InvalidPath(
            f"the certificate of {name_text(certificate.subject)} is signed over {function.name}, we take SHA-2",
            "RFC 8247 section 3.2",
        )


def _usable_key(certificate: x509.Certificate) -> PublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidPath("its public key is of a kind that we do not know", "RFC 5280 section 4.1.2.7") from None
    weakness = weakness_of(key)
    if weakness is not None or not isinstance(
        key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    ):
        raise InvalidPath(f"the key of {name_text(certificate.subject)} is {weakness}", "RFC 8247 section 3.1.1")
    return key


def _check_extensions(certificate: x509.Certificate) -> None:
    for each in certificate.extensions:
        if each.critical and each.oid not in _PROCESSED:
            raise InvalidPath(
                f"the certificate of {name_text(certificate.subject)} has the critical extension "
                f"{each.oid.dotted_string}, which we do not process",
                "RFC 5280 section 6.1.4 (o)",
            )


def _path_length(certificate: x509.Certificate, default: int) -> int:
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is None or constraints.path_length is None:
        return default
    return constraints.path_length


def _check_authority(certificate: x509.Certificate) -> None:
    """RFC 5280 section 6.1.4 (k) and (n)."""
    name = name_text(certificate.subject)
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise InvalidPath(f"{name} is no authority and yet issued a certificate", "RFC 5280 section 6.1.4 (k)")
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise InvalidPath(f"the key of {name} may not sign certificates", "RFC 5280 section 6.1.4 (n)")


def _check_end_entity(certificate: x509.Certificate) -> None:
    """What a certificate must allow for IKE (RFC 4945 sections 5.1.3.2 and 5.1.3.12)."""
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise InvalidPath("its key may not make signatures", "RFC 4945 section 5.1.3.2")
    purposes = extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not _EKU_ALLOWED.intersection(purposes):
        raise InvalidPath("it was issued for other purposes than IKE", "RFC 4945 section 5.1.3.12")


def _constrain(state: NameConstraintsState, certificate: x509.Certificate) -> None:
    constraints = extension(certificate, x509.NameConstraints)
    if constraints is None:
        return
    if constraints.public_bytes() not in certificate.tbs_certificate_bytes:  # the library reads over these two
        raise InvalidPath(
            f"{name_text(certificate.subject)} has name constraints with a minimum or a maximum",
            "RFC 5280 section 4.2.1.10",
        )
    try:
        state.add(constraints)
    except UnusableConstraint as error:
        raise InvalidPath(str(error), "RFC 5280 section 4.2.1.10") from None


def _check_names(state: NameConstraintsState, certificate: x509.Certificate) -> None:
    outside = state.first_outside(certificate)
    if outside is not None:
        raise InvalidPath(
            f"an authority above it may not issue certificates for {outside}", "RFC 5280 section 6.1.3 (b) and (c)"
        )
