"""Whom a certificate is for: its identities in IKE's terms (RFC 4945 sections 3.1 and 5.1.3.6)."""

from __future__ import annotations

from cryptography import x509

from caponier.doi.ikev2 import IdType
from caponier.mechanisms.authentication.identity import Identity, address_identity, same


def identities_of(certificate: x509.Certificate) -> tuple[Identity, ...]:
    """The identities that a certificate confirms: its subject, if it has one, and its subject alternative names."""
    subject = certificate.subject
    found = [Identity(IdType.ID_DER_ASN1_DN, subject.public_bytes())] if subject.rdns else []
    return (*found, *_alternative_names(certificate))


def confirms(certificate: x509.Certificate, identity: Identity) -> bool:
    """Whether a certificate is for an identity.

    Names, addresses and mail addresses must stand in the subject alternative name; a common name that looks like one
    confirms nothing (RFC 4945 section 3.1: implementations "MUST be able to" compare with the alternative name; the
    subject is for distinguished names). A wildcard in a certificate is not expanded.
    """
    return any(same(each, identity) for each in identities_of(certificate))


def _alternative_names(certificate: x509.Certificate) -> list[Identity]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    found = [Identity(IdType.ID_FQDN, name.encode()) for name in names.get_values_for_type(x509.DNSName)]
    found += [Identity(IdType.ID_RFC822_ADDR, name.encode()) for name in names.get_values_for_type(x509.RFC822Name)]
    for address in names.get_values_for_type(x509.IPAddress):
        if address.__class__.__name__ in ("IPv4Address", "IPv6Address"):
            found.append(address_identity(address))  # type: ignore[arg-type]
    return found
