"""ML-KEM as a key exchange method (FIPS 203, draft-ietf-ipsecme-ikev2-mlkem, for RFC 9370).

A key encapsulation is not symmetric: the initiator sends an encapsulation key, the responder a ciphertext made with it.
Nothing tells whether a ciphertext was genuine: a forged one leads to a secret that nobody else has (FIPS 203 section 7.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caponier import _plane
from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import WireError
from caponier.mechanisms.algorithms.key_exchange import require_length
from caponier.octets import Secret

_LENGTHS = "FIPS 203 section 7"
_SEED_OCTETS = 64  #: d and z (FIPS 203 section 7.1)
_MESSAGE_OCTETS = 32  #: m (FIPS 203 section 7.2)


@dataclass(frozen=True, slots=True)
class MlKem:
    """A parameter set of ML-KEM (FIPS 203 section 8).

    Attributes:
        id: its number in transform type 4.
        public_length: octets of the initiator's value, the encapsulation key.
        ciphertext_length: octets of the responder's value.
    """

    id: KeyExchangeId
    public_length: int
    ciphertext_length: int

    def generate(self, rng: Callable[[int], bytes]) -> MlKemKeyPair:
        """The initiator's half, from 64 random octets."""
        public, secret = _plane.mlkem_generate(int(self.id), rng(_SEED_OCTETS))
        return MlKemKeyPair(self, public, Secret(secret))

    def encapsulate(self, rng: Callable[[int], bytes], key: bytes) -> tuple[bytes, Secret]:
        """The responder's half: the ciphertext, and the shared secret of 32 octets.

        Args:
            rng: gives 32 random octets.
            key: the initiator's encapsulation key.

        Raises:
            WireError: it is none: another length, or a coefficient that is not less than the modulus (FIPS 203 section 7.2).
        """
        require_length(self.id, key, self.public_length, _LENGTHS)
        try:
            ciphertext, shared = _plane.mlkem_encapsulate(int(self.id), key, rng(_MESSAGE_OCTETS))
        except ValueError:
            raise WireError(
                f"KE payload: no encapsulation key for {self.id.name}",
                field="key exchange data",
                section="FIPS 203 section 7.2",
            ) from None
        return ciphertext, Secret(shared)


class MlKemKeyPair:
    """An encapsulation key with what opens its ciphertexts: used once, then dropped."""

    def __init__(self, method: MlKem, public: bytes, secret: Secret) -> None:
        self._method = method
        self._secret = secret
        self.public = public

    def derive_shared(self, peer_public: bytes) -> Secret:
        """The shared secret of the responder's ciphertext, 32 octets.

        Raises:
            WireError: it has another length.
        """
        require_length(self._method.id, peer_public, self._method.ciphertext_length, _LENGTHS)
        return Secret(_plane.mlkem_decapsulate(int(self._method.id), self._secret.expose(), peer_public))


ML_KEM_512 = MlKem(KeyExchangeId.ML_KEM_512, 800, 768)
ML_KEM_768 = MlKem(KeyExchangeId.ML_KEM_768, 1184, 1088)
ML_KEM_1024 = MlKem(KeyExchangeId.ML_KEM_1024, 1568, 1568)
