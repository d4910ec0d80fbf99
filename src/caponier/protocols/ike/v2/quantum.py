"""Which keys withstand a quantum computer, and by what (FIPS 203, RFC 8784, RFC 9370).

One sound key exchange or preshared key among several is enough: all of them go into SK_d, and what is derived from that
(the keys of Child SAs, the next IKE SA) keeps what went into it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from caponier.doi.ikev2 import KeyExchangeId
from caponier.mechanisms.negotiation.transforms import QUANTUM_SAFE

PPK = "PPK"  #: a postquantum preshared key (RFC 8784)


def protectors(methods: Iterable[KeyExchangeId]) -> tuple[str, ...]:
    """Those of some key exchanges that a quantum computer does not break, for people: ``ML-KEM-768``."""
    return tuple(dict.fromkeys(each.name.replace("_", "-") for each in methods if each in QUANTUM_SAFE))


@dataclass(frozen=True, slots=True)
class QuantumSafety:
    """By what the keys of an IKE SA are protected; empty for by nothing.

    Attributes:
        messages: the keys of its own messages.
        derived: SK_d, and all that comes of it. A PPK protects this alone, until the IKE SA is rekeyed (RFC 8784 section 6).
    """

    messages: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    def with_methods(self, *methods: KeyExchangeId) -> QuantumSafety:
        """After further key exchanges."""
        more = protectors(methods)
        return QuantumSafety(_union(self.messages, more), _union(self.derived, more))

    def with_ppk(self) -> QuantumSafety:
        """After a PPK was mixed into SK_d (RFC 8784 section 3)."""
        return replace(self, derived=_union(self.derived, (PPK,)))

    @property
    def has_ppk(self) -> bool:
        return PPK in self.derived

    def of_successor(self, *methods: KeyExchangeId) -> QuantumSafety:
        """Of the IKE SA that replaces this one: its keys come of SK_d (RFC 7296 section 2.18)."""
        return QuantumSafety(self.derived, self.derived).with_methods(*methods)

    def of_child(self, *methods: KeyExchangeId) -> tuple[str, ...]:
        """Of a Child SA: its keys come of SK_d (RFC 7296 section 2.17)."""
        return _union(self.derived, protectors(methods))


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))
