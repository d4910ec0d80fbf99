"""Name constraints: which names an authority may issue certificates for (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain

from cryptography import x509
from cryptography.x509.oid import NameOID

from caponier.errors import CaponierError
from caponier.mechanisms.authentication.identity import comparable_name, name_text, printable
from caponier.mechanisms.authentication.parsing import extension

_Name = x509.DNSName | x509.RFC822Name | x509.IPAddress | x509.DirectoryName
_KINDS = (x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.DirectoryName)


class UnusableConstraint(CaponierError):
    """A constraint on a kind of names that we do not compare: it must not be ignored."""


@dataclass(slots=True)
class NameConstraintsState:
    """The constraints of all authorities above: permitted subtrees each narrow, excluded ones add up.

    Attributes:
        permitted: one list for each authority that permits something.
        excluded: everything that any of them excludes.
    """

    permitted: list[tuple[_Name, ...]] = field(default_factory=list)
    excluded: list[_Name] = field(default_factory=list)

    def add(self, constraints: x509.NameConstraints) -> None:
        """Take an authority's constraints into account.

        Raises:
            UnusableConstraint: of a kind that we do not compare.
        """
        if constraints.permitted_subtrees is not None:
            self.permitted.append(tuple(_usable(each) for each in constraints.permitted_subtrees))
        self.excluded += [_usable(each) for each in constraints.excluded_subtrees or ()]

    def first_outside(self, certificate: x509.Certificate) -> str | None:
        """A name of the certificate that is not allowed, for people; None when all are."""
        if not self.permitted and not self.excluded:
            return None
        for name in _names_of(certificate):
            if not self._allows(name):
                return _text(name)
        return next((mail for mail in _mail_addresses_in_subject(certificate) if not self._allows_mail(mail)), None)

    def _allows(self, name: x509.GeneralName) -> bool:
        if any(_within(name, subtree) for subtree in self.excluded):
            return False
        for subtrees in self.permitted:
            same_kind = [subtree for subtree in subtrees if type(subtree) is type(name)]
            if same_kind and not any(_within(name, subtree) for subtree in same_kind):
                return False
        return True

    def _allows_mail(self, mail: str) -> bool:
        try:
            return self._allows(x509.RFC822Name(mail))
        except ValueError:  # nothing that could be compared, so that no constraint can be met
            return not any(isinstance(each, x509.RFC822Name) for each in chain(self.excluded, *self.permitted))


def _usable(name: x509.GeneralName) -> _Name:
    if not isinstance(name, _KINDS):
        raise UnusableConstraint(f"an authority above it has name constraints on a {type(name).__name__}")
    return name


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    subject = certificate.subject
    found: list[x509.GeneralName] = [x509.DirectoryName(subject)] if subject.rdns else []
    return found + list(extension(certificate, x509.SubjectAlternativeName) or ())


def _mail_addresses_in_subject(certificate: x509.Certificate) -> list[str]:
    """What older authorities put there; counts where there is no subject alternative name (RFC 5280 section 4.2.1.10)."""
    if extension(certificate, x509.SubjectAlternativeName) is not None:
        return []
    return [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]


def _within(name: x509.GeneralName, subtree: _Name) -> bool:
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            return _within_domain(name.value, subtree.value)
        case x509.RFC822Name(), x509.RFC822Name():
            return _within_mail(name.value, subtree.value)
        case x509.IPAddress(), x509.IPAddress():
            return _within_network(name.value, subtree.value)
        case x509.DirectoryName(), x509.DirectoryName():
            prefix = comparable_name(subtree.value)
            return comparable_name(name.value)[: len(prefix)] == prefix
        case _:
            return False


def _within_domain(host: str, domain: str) -> bool:
    """Equal, or with labels added on the left; a leading dot is tolerated as "one more label at least"."""
    host, domain = host.lower().rstrip("."), domain.lower().rstrip(".")
    if domain.startswith("."):
        return host.endswith(domain)
    return domain in ("", host) or host.endswith("." + domain)


def _within_mail(mail: str, constraint: str) -> bool:
    """A mailbox, all mailboxes of a host, with a leading dot all hosts of a domain; an empty one means all.

    The part before the @ compares without case too: so do identities (RFC 4945 section 3.1.3), and what is excluded in
    one spelling must not come back in another.
    """
    mail, constraint = mail.lower(), constraint.lower()
    if "@" in constraint:
        return mail == constraint
    host = mail.rpartition("@")[2]
    return host.endswith(constraint) if constraint.startswith(".") else constraint in ("", host)


def _within_network(
    address: IPv4Address | IPv6Address | IPv4Network | IPv6Network,
    network: IPv4Address | IPv6Address | IPv4Network | IPv6Network,
) -> bool:
    match address, network:
        case IPv4Address(), IPv4Network():
            return address in network
        case IPv6Address(), IPv6Network():
            return address in network
        case _:
            return False


def _text(name: x509.GeneralName) -> str:
    value = name.value
    return name_text(value) if isinstance(value, x509.Name) else printable(str(value).encode())
