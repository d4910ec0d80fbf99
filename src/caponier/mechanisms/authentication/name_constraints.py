"""Name constraints: which names an authority may issue certificates for (RFC 5280 section 4.2.1.10)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cryptography import x509

from caponier.errors import CaponierError
from caponier.mechanisms.authentication.identity import comparable_name

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
        return None

    def _allows(self, name: x509.GeneralName) -> bool:
        if any(_within(name, subtree) for subtree in self.excluded):
            return False
        for subtrees in self.permitted:
            same_kind = [subtree for subtree in subtrees if type(subtree) is type(name)]
            if same_kind and not any(_within(name, subtree) for subtree in same_kind):
                return False
        return True


def _usable(name: x509.GeneralName) -> _Name:
    if not isinstance(name, _KINDS):
        raise UnusableConstraint(f"an authority above it has name constraints on a {type(name).__name__}")
    return name


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    if certificate.subject.rdns:
        found.append(x509.DirectoryName(certificate.subject))
    with suppress(x509.ExtensionNotFound):
        found += certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found


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
    """A mailbox, all mailboxes of a host, or with a leading dot all hosts of a domain."""
    if "@" in constraint:
        user, _, host = mail.rpartition("@")
        wanted_user, _, wanted_host = constraint.rpartition("@")
        return user == wanted_user and host.lower() == wanted_host.lower()
    host = mail.rpartition("@")[2].lower()
    return host.endswith(constraint.lower()) if constraint.startswith(".") else host == constraint.lower()


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
    return value.rfc4514_string() if isinstance(value, x509.Name) else str(value)
