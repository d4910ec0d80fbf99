"""Whom a certificate is for: its identities in IKE's terms (RFC 4945 sections 3.1 and 5.1.3.6)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from cryptography import x509

from caponier.doi.ikev2 import IdType
from caponier.mechanisms.authentication.identity import Identity, address_identity, same
from caponier.mechanisms.authentication.parsing import extension


def identities_of(certificate: x509.Certificate) -> tuple[Identity, ...]:
    """The identities that a certificate confirms: its subject, if it has one, and its subject alternative names."""
    subject = certificate.subject
    found = [Identity(IdType.ID_DER_ASN1_DN, subject.public_bytes())] if subject.rdns else []
    return (*found, *_alternative_names(certificate))


def confirms(certificate: x509.Certificate, identity: Identity) -> bool:
    """Whether a certificate is for an identity.

    Names, addresses and mail addresses must stand in the subject alternative name; a common name that looks like one
    confirms nothing (RFC 4945 section 3.1.9). A wildcard in a certificate is not expanded (section 3.1.2).
    """
    return any(same(each, identity) for each in identities_of(certificate))


def _alternative_names(certificate: x509.Certificate) -> list[Identity]:
    names = extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return []
    found = [Identity(IdType.ID_FQDN, name.encode()) for name in names.get_values_for_type(x509.DNSName)]
    found += [Identity(IdType.ID_RFC822_ADDR, name.encode()) for name in names.get_values_for_type(x509.RFC822Name)]
    for address in names.get_values_for_type(x509.IPAddress):
        if isinstance(address, IPv4Address | IPv6Address):  # a network is nobody's name (RFC 4945 section 5.1.3.6.2)
            found.append(address_identity(address))
    return found
