"""X.509 certificates, parsed whole (RFC 5280 section 4).

The library parses a part only when it is asked for, and tells what is wrong by many kinds of exceptions. Here all of a
certificate is read at once, and one exception tells it: a stranger's certificate can fail in no other place.
"""

from __future__ import annotations

import warnings
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from caponier.errors import CaponierError

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

#: What the library raises for octets that are no certificate as we know it. DuplicateExtension: RFC 5280 section 4.2.
_REFUSALS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class MalformedCertificate(CaponierError):
    """Octets that are no certificate, or one with a part that does not parse."""


def parse_certificate(octets: bytes) -> x509.Certificate:
    """Parse a certificate from DER, all of it but the public key, whose kind may be unknown to us.

    The library warns of serial numbers that are not positive; we do: RFC 5280 section 4.1.2.2 asks users of
    certificates to handle them gracefully.

    Raises:
        MalformedCertificate: with what the library says.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(octets)
            _read_all_of(certificate)
    except _REFUSALS as error:
        raise MalformedCertificate(str(error)) from None
    return certificate


def parse_pem(octets: bytes) -> tuple[x509.Certificate, ...]:
    """Parse certificates from PEM.

    Raises:
        MalformedCertificate: one does not parse, or there is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificates = tuple(x509.load_pem_x509_certificates(octets))
            for certificate in certificates:
                _read_all_of(certificate)
    except _REFUSALS as error:
        raise MalformedCertificate(str(error)) from None
    return certificates


def _read_all_of(certificate: x509.Certificate) -> None:
    for part in ("subject", "issuer", "not_valid_before_utc", "not_valid_after_utc", "extensions"):
        getattr(certificate, part)


def extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    """An extension of a certificate that :func:`parse_certificate` read; None where it has none of that kind."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
