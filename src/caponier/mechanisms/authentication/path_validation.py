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

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from caponier.errors import CaponierError
from caponier.mechanisms.authentication.identity import comparable_name
from caponier.mechanisms.authentication.name_constraints import NameConstraintsState, UnusableConstraint
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


def name_text(name: x509.Name) -> str:
    """A distinguished name for people."""
    text = ", ".join(reversed([rdn.rfc4514_string() for rdn in name.rdns])) or "(no name)"
    return "".join(each if " " <= each <= "~" else "?" for each in text)[:256]


@dataclass(slots=True)
class _Budget:
    """What may still be spent on a stranger's certificates."""

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
        certificate: the end entity's.
        intermediates: what may stand in between, in any order.
        anchors: whom we trust.
        at: the instant of which validity is asked, UTC.

    Returns:
        The end entity's public key.

    Raises:
        InvalidPath: with the cause that got furthest.
    """
    budget = _Budget()
    nearest: InvalidPath | None = None
    for path in _paths((certificate,), intermediates, anchors, budget):
        try:
            _check_path(path, at)
        except InvalidPath as error:
            nearest = nearest or error
        else:
            return _usable_key(certificate)
    raise nearest or InvalidPath(
        "its issuer is none of the authorities that we trust, and no certificate that came along leads to one",
        "RFC 5280 section 6.1",
        "add the certificate of the peer's authority to remote.ca, or let the peer send its intermediate certificates",
    )


def _paths(
    path: tuple[x509.Certificate, ...],
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    budget: _Budget,
) -> Iterator[tuple[x509.Certificate, ...]]:
    """Chains of names and signatures from the end entity to an anchor, the shortest first."""
    last = path[-1]
    for anchor in anchors:
        if last == anchor or _issued(anchor, last, budget):
            yield (*path, anchor)
    if len(path) > MAX_DEPTH:
        return
    for candidate in intermediates:
        if candidate not in path and _issued(candidate, last, budget):
            yield from _paths((*path, candidate), intermediates, anchors, budget)


def _issued(issuer: x509.Certificate, subject: x509.Certificate, budget: _Budget) -> bool:
    """Whether ``issuer``'s name and key stand behind ``subject`` (RFC 5280 section 6.1.3 a)."""
    if comparable_name(issuer.subject) != comparable_name(subject.issuer):
        return False
    budget.spend()
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_path(path: tuple[x509.Certificate, ...], at: datetime) -> None:
    """RFC 5280 sections 6.1.2 to 6.1.5, from the anchor down to the end entity."""
    anchor, *below = reversed(path)
    _check_validity(anchor, at)
    _usable_key(anchor)
    constraints = NameConstraintsState()
    remaining = _path_length(anchor, MAX_DEPTH)
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
            _check_end_entity(certificate)
            return
        if certificate.issuer != certificate.subject:
            remaining -= 1
        if remaining < 0:
            raise InvalidPath(f"too many authorities below {name_text(anchor.subject)}", "RFC 5280 section 6.1.4 (l)")
        remaining = min(remaining, _path_length(certificate, remaining))
        _check_authority(certificate)
        _constrain(constraints, certificate)


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
            f"the certificate of {name_text(certificate.subject)} is signed over {function.name}",
            "RFC 8247 section 4.1",
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
        raise InvalidPath(f"the key of {name_text(certificate.subject)} is {weakness}", "RFC 8247 section 4.1")
    return key


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except ValueError as error:  # also a duplicate: RFC 5280 section 4.2 forbids it
        raise InvalidPath(f"its extensions do not parse: {error}", "RFC 5280 section 4.2") from None


def _check_extensions(certificate: x509.Certificate) -> None:
    for extension in _extensions(certificate):
        if extension.critical and extension.oid not in _PROCESSED:
            raise InvalidPath(
                f"the certificate of {name_text(certificate.subject)} has the critical extension "
                f"{extension.oid.dotted_string}, which we do not process",
                "RFC 5280 section 6.1.4 (o)",
            )


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return _extensions(certificate).get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return _extensions(certificate).get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _path_length(certificate: x509.Certificate, default: int) -> int:
    constraints = _basic_constraints(certificate)
    if constraints is None or constraints.path_length is None:
        return default
    return constraints.path_length


def _check_authority(certificate: x509.Certificate) -> None:
    """RFC 5280 section 6.1.4 (k) and (n)."""
    name = name_text(certificate.subject)
    constraints = _basic_constraints(certificate)
    if constraints is None or not constraints.ca:
        raise InvalidPath(f"{name} is no authority and yet issued a certificate", "RFC 5280 section 6.1.4 (k)")
    usage = _key_usage(certificate)
    if usage is not None and not usage.key_cert_sign:
        raise InvalidPath(f"the key of {name} may not sign certificates", "RFC 5280 section 6.1.4 (n)")


def _check_end_entity(certificate: x509.Certificate) -> None:
    """What a certificate must allow for IKE (RFC 4945 sections 5.1.3.2 and 5.1.3.12)."""
    usage = _key_usage(certificate)
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise InvalidPath("its key may not make signatures", "RFC 4945 section 5.1.3.2")
    try:
        purposes = _extensions(certificate).get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not _EKU_ALLOWED.intersection(purposes):
        raise InvalidPath("it was issued for other purposes than IKE", "RFC 4945 section 5.1.3.12")


def _constrain(state: NameConstraintsState, certificate: x509.Certificate) -> None:
    try:
        extension = _extensions(certificate).get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return
    try:
        state.add(extension.value)
    except UnusableConstraint as error:
        raise InvalidPath(str(error), "RFC 5280 section 4.2.1.10") from None


def _check_names(state: NameConstraintsState, certificate: x509.Certificate) -> None:
    outside = state.first_outside(certificate)
    if outside is not None:
        raise InvalidPath(
            f"an authority above it may not issue certificates for {outside}", "RFC 5280 section 6.1.3 (b) and (c)"
        )
