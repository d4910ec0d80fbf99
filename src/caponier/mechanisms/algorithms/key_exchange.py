"""Key exchange methods (transform type 4).

X25519 and X448 (RFC 8031), ECP groups (RFC 5903) and those of Brainpool (RFC 6954), MODP groups (RFC 2409, RFC 3526, RFC 5114).

A private value comes from the random octets of the caller, so that a simulated exchange can be repeated octet by octet.
Public values of the peer are checked as RFC 6989 wants it, before anything is computed with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from caponier import _plane
from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import Disposition, WireError
from caponier.octets import Secret

Rng = Callable[[int], bytes]

_SPARE_OCTETS = 16  #: more random octets than the group order has, so that reduction leaves no bias (FIPS 186-5 A.2.1)


class KeyPair(Protocol):
    """Our half of one exchange: used once, then dropped."""

    @property
    def public(self) -> bytes:
        """What the KE payload carries."""

    def derive_shared(self, peer_public: bytes) -> Secret:
        """The shared secret ``g^ir``, as long as RFC 7296 section 2.14 and the group's RFC say.

        Raises:
            WireError: the peer's value is not a valid public value of this group.
        """


class KeyExchangeAlgorithm(Protocol):
    """A key exchange method."""

    @property
    def id(self) -> KeyExchangeId: ...
    @property
    def public_length(self) -> int:
        """Octets of a public value."""

    def generate(self, rng: Rng) -> KeyPair:
        """A fresh key pair from ``rng(count)`` random octets."""


def _refused(group: KeyExchangeId, why: str, section: str) -> WireError:
    return WireError(f"KE payload: {why} for {group.name}", field="key exchange data", section=section)


def require_length(group: KeyExchangeId, public: bytes, length: int, section: str = "RFC 7296 section 3.4") -> None:
    """Require that a KE payload's data is as long as its method says.

    Raises:
        WireError: it is not.
    """
    if len(public) != length:
        raise WireError(
            f"KE payload: {len(public)} octets for {group.name}, which has {length}",
            field="key exchange data",
            section=section,
            disposition=Disposition.CLOSE_SA,
        )


@dataclass(frozen=True, slots=True)
class MontgomeryCurve:
    """Curve25519 or Curve448 (RFC 8031 section 2, RFC 7748 section 5).

    The library clears and sets the bits of the private octets and ignores the highest bit of the peer's value for X25519, as
    RFC 8031 section 3.2 wants it.

    Attributes:
        id: its number.
        public_length: octets, of private values too.
        private: the library's private key.
        public: the library's public key.
    """

    id: KeyExchangeId
    public_length: int
    private: type[X25519PrivateKey | X448PrivateKey]
    public: type[X25519PublicKey | X448PublicKey]

    def generate(self, rng: Rng) -> KeyPair:
        return _MontgomeryKeyPair(self, self.private.from_private_bytes(rng(self.public_length)))


class _MontgomeryKeyPair:
    def __init__(self, curve: MontgomeryCurve, private: X25519PrivateKey | X448PrivateKey) -> None:
        self._curve = curve
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    def derive_shared(self, peer_public: bytes) -> Secret:
        require_length(self._curve.id, peer_public, self._curve.public_length)
        point = self._curve.public.from_public_bytes(peer_public)
        try:
            return Secret(self._private.exchange(point))  # type: ignore[arg-type]  # both are of one curve
        except ValueError:  # the all-zero result of a point of low order
            raise _refused(self._curve.id, "a point of low order", "RFC 7748 section 6") from None


@dataclass(frozen=True, slots=True)
class Ecp:
    """A group over an elliptic curve modulo a prime (RFC 5903, RFC 6954 section 2.3).

    Attributes:
        id: its number.
        curve: as the library names it.
        prime: the field's modulus (RFC 5903 section 3, RFC 5639 section 3).
    """

    id: KeyExchangeId
    curve: ec.EllipticCurve
    prime: int

    @property
    def coordinate_length(self) -> int:
        """Octets of one coordinate (RFC 5903 section 7)."""
        return (self.curve.key_size + 7) // 8

    @property
    def public_length(self) -> int:
        return 2 * self.coordinate_length

    def generate(self, rng: Rng) -> KeyPair:
        excess = int.from_bytes(rng(self.coordinate_length + _SPARE_OCTETS))
        return _EcpKeyPair(self, ec.derive_private_key(excess % (self.curve.group_order - 1) + 1, self.curve))


class _EcpKeyPair:
    def __init__(self, group: Ecp, private: ec.EllipticCurvePrivateKey) -> None:
        self._group = group
        self._private = private
        point = private.public_key().public_numbers()
        length = group.coordinate_length
        self.public = point.x.to_bytes(length) + point.y.to_bytes(length)  # RFC 5903 section 7

    def derive_shared(self, peer_public: bytes) -> Secret:
        require_length(self._group.id, peer_public, self._group.public_length)
        length = self._group.coordinate_length
        x, y = int.from_bytes(peer_public[:length]), int.from_bytes(peer_public[length:])
        if max(x, y) >= self._group.prime:  # the library would reduce it silently: two encodings of one point
            raise _refused(self._group.id, "a coordinate that is not less than the prime", "RFC 6989 section 2.3")
        try:  # the library checks that the point is on the curve
            point = ec.EllipticCurvePublicNumbers(x, y, self._group.curve).public_key()
        except ValueError:
            raise _refused(self._group.id, "a point that is not on the curve", "RFC 6989 section 2.3") from None
        return Secret(self._private.exchange(ec.ECDH(), point))  # the x coordinate alone, RFC 5903 section 7


@dataclass(frozen=True, slots=True)
class Modp:
    """A group of integers modulo a prime (RFC 2409, RFC 3526, RFC 5114).

    Attributes:
        id: its number.
        public_length: octets of the prime.
        exponent_length: octets of the private exponent: the larger size of RFC 3526 section 8, and for group 2, which that
            table does not have, that of group 5; of the groups of RFC 5114 the order of the subgroup.
    """

    id: KeyExchangeId
    public_length: int
    exponent_length: int

    def generate(self, rng: Rng) -> KeyPair:
        return _ModpKeyPair(self, Secret(rng(self.exponent_length)))


class _ModpKeyPair:
    def __init__(self, group: Modp, private: Secret) -> None:
        self._group = group
        self._private = private
        self.public = _plane.modp_public(int(group.id), private.expose())

    def derive_shared(self, peer_public: bytes) -> Secret:
        require_length(self._group.id, peer_public, self._group.public_length)
        try:
            return Secret(_plane.modp_shared(int(self._group.id), self._private.expose(), peer_public))
        except ValueError as error:  # which of the two checks failed, the packet core says
            raise _refused(self._group.id, str(error), "RFC 6989 sections 2.1 and 2.2") from None


X25519 = MontgomeryCurve(KeyExchangeId.CURVE25519, 32, X25519PrivateKey, X25519PublicKey)
X448 = MontgomeryCurve(KeyExchangeId.CURVE448, 56, X448PrivateKey, X448PublicKey)

ECP_GROUPS = (
    Ecp(KeyExchangeId.ECP_256, ec.SECP256R1(), 2**256 - 2**224 + 2**192 + 2**96 - 1),
    Ecp(KeyExchangeId.ECP_384, ec.SECP384R1(), 2**384 - 2**128 - 2**96 + 2**32 - 1),
    Ecp(KeyExchangeId.ECP_521, ec.SECP521R1(), 2**521 - 1),
)
#: The primes are those of RFC 5639 sections 3.4, 3.6 and 3.7.
BRAINPOOL_GROUPS = (
    Ecp(
        KeyExchangeId.BRAINPOOL_P256R1,
        ec.BrainpoolP256R1(),
        0xA9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377,
    ),
    Ecp(
        KeyExchangeId.BRAINPOOL_P384R1,
        ec.BrainpoolP384R1(),
        0x8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53,
    ),
    Ecp(
        KeyExchangeId.BRAINPOOL_P512R1,
        ec.BrainpoolP512R1(),
        int(
            "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330871"
            "7D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3",
            16,
        ),
    ),
)
MODP_GROUPS = (
    Modp(KeyExchangeId.MODP_1024, 128, 30),
    Modp(KeyExchangeId.MODP_1536, 192, 30),
    Modp(KeyExchangeId.MODP_2048, 256, 40),
    Modp(KeyExchangeId.MODP_3072, 384, 53),
    Modp(KeyExchangeId.MODP_4096, 512, 60),
    Modp(KeyExchangeId.MODP_6144, 768, 68),
    Modp(KeyExchangeId.MODP_8192, 1024, 78),
    Modp(KeyExchangeId.MODP_1024_160, 128, 20),
    Modp(KeyExchangeId.MODP_2048_224, 256, 28),
    Modp(KeyExchangeId.MODP_2048_256, 256, 32),
)
