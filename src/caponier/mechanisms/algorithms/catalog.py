"""What we have for IKE: from the numbers of the DOI to implementations (RFC 7296 section 3.3.2, RFC 8247)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from cryptography.exceptions import InternalError as LibraryError
from cryptography.exceptions import UnsupportedAlgorithm

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, TransformType
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms import integrity as _integrity
from caponier.mechanisms.algorithms import key_exchange as _key_exchange
from caponier.mechanisms.algorithms import prf as _prf
from caponier.mechanisms.algorithms.aeads import AEADS
from caponier.mechanisms.algorithms.block_modes import BLOCK_MODES
from caponier.mechanisms.algorithms.cipher_keys import CipherKeys
from caponier.mechanisms.algorithms.ciphers import AeadCipher, EncryptThenMac, MessageCipher
from caponier.mechanisms.algorithms.integrity import IntegrityAlgorithm
from caponier.mechanisms.algorithms.key_exchange import KeyExchangeAlgorithm
from caponier.mechanisms.algorithms.mlkem import ML_KEM_512, ML_KEM_768, ML_KEM_1024, MlKem
from caponier.mechanisms.algorithms.prf import PrfAlgorithm
from caponier.octets import Secret

__all__ = [
    "IntegrityAlgorithm",
    "KeyExchangeAlgorithm",
    "PrfAlgorithm",
    "cipher",
    "integrity",
    "is_implemented",
    "key_exchange",
    "message_cipher",
    "prf",
    "respond",
]


_AES_KEYS = (128, 192, 256)
_CIPHERS = {
    row.id: row
    for row in (
        CipherKeys(EncryptionId.ENCR_3DES, (), 192),
        CipherKeys(EncryptionId.ENCR_AES_CBC, _AES_KEYS),
        CipherKeys(EncryptionId.ENCR_AES_CTR, _AES_KEYS, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_CCM_8, _AES_KEYS, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_CCM_12, _AES_KEYS, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_CCM_16, _AES_KEYS, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_GCM_8, _AES_KEYS, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_GCM_12, _AES_KEYS, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_GCM_16, _AES_KEYS, salt_length=4),
        CipherKeys(EncryptionId.ENCR_CAMELLIA_CBC, _AES_KEYS),
        CipherKeys(EncryptionId.ENCR_CHACHA20_POLY1305, (), 256, salt_length=4),
    )
}
_AEADS = {row.id: row for row in AEADS}
_BLOCK_MODES = {row.id: row for row in BLOCK_MODES}
_PRFS: dict[PrfId, PrfAlgorithm] = {
    row.id: row
    for row in (
        _prf.HMAC_MD5,
        _prf.HMAC_SHA1,
        _prf.HMAC_SHA2_256,
        _prf.HMAC_SHA2_384,
        _prf.HMAC_SHA2_512,
        _prf.AES128_XCBC,
        _prf.AES128_CMAC,
    )
}
_INTEGRITIES: dict[IntegrityId, IntegrityAlgorithm] = {
    row.id: row
    for row in (
        _integrity.HMAC_MD5_96,
        _integrity.HMAC_SHA1_96,
        _integrity.HMAC_SHA2_256_128,
        _integrity.HMAC_SHA2_384_192,
        _integrity.HMAC_SHA2_512_256,
        _integrity.AES_XCBC_96,
        _integrity.AES_CMAC_96,
    )
}
_KEY_EXCHANGES: dict[KeyExchangeId, KeyExchangeAlgorithm] = {
    row.id: row
    for row in (
        _key_exchange.X25519,
        _key_exchange.X448,
        *_key_exchange.ECP_GROUPS,
        *_key_exchange.BRAINPOOL_GROUPS,
        *_key_exchange.MODP_GROUPS,
        ML_KEM_512,
        ML_KEM_768,
        ML_KEM_1024,
    )
}

#: The transforms that know no Key Length attribute; NONE stands for doing without.
_WITHOUT_LENGTH: dict[TransformType, frozenset[int]] = {
    TransformType.PRF: frozenset(_PRFS),
    TransformType.INTEGRITY: frozenset((*_INTEGRITIES, IntegrityId.AUTH_NONE)),
    **dict.fromkeys(
        (TransformType.KEY_EXCHANGE, *map(TransformType, range(6, 13))),  # the additional ones are the same, RFC 9370
        frozenset((*_KEY_EXCHANGES, KeyExchangeId.NONE)),
    ),
}

K = TypeVar("K", EncryptionId, PrfId, IntegrityId, KeyExchangeId)
V = TypeVar("V")


def _row(table: dict[K, V], number: K) -> V:
    found = table.get(number)
    if found is None:
        raise MisuseError(f"{number.name} is not implemented")
    return found


def cipher(number: EncryptionId) -> CipherKeys:
    """The cipher of this number.

    Raises:
        MisuseError: not implemented; ask :func:`is_implemented` first.
    """
    return _row(_CIPHERS, number)


def prf(number: PrfId) -> PrfAlgorithm:
    """The PRF of this number; raises as :func:`cipher`."""
    return _row(_PRFS, number)


def integrity(number: IntegrityId) -> IntegrityAlgorithm:
    """The integrity algorithm of this number; raises as :func:`cipher`."""
    return _row(_INTEGRITIES, number)


def key_exchange(number: KeyExchangeId) -> KeyExchangeAlgorithm:
    """The key exchange method of this number; raises as :func:`cipher`."""
    return _row(_KEY_EXCHANGES, number)


def respond(number: KeyExchangeId, rng: Callable[[int], bytes], peer_public: bytes) -> tuple[bytes, Secret]:
    """The responder's half of a key exchange: what its KE payload carries, and the shared secret.

    Of a Diffie-Hellman exchange both halves are alike; a key encapsulation needs the initiator's value first.

    Raises:
        WireError: the initiator's value is not a valid one.
        MisuseError: as :func:`cipher`.
    """
    method = key_exchange(number)
    if isinstance(method, MlKem):
        return method.encapsulate(rng, peer_public)
    pair = method.generate(rng)
    return pair.public, pair.derive_shared(peer_public)


def is_implemented(transform_type: TransformType, number: int, key_length: int | None = None) -> bool:
    """Whether we can use this transform for IKE; of ESP and AH :func:`~.packets.carries` tells.

    What the library refuses on this system (some forbid MD5, or whatever their policy names) counts as not there, so that
    no peer can agree with us on an algorithm that fails when its keys are made.

    Args:
        transform_type: what it is for.
        number: its id in the registry of that type.
        key_length: bits of its Key Length attribute, None without one. Ciphers alone have one (RFC 7296 section 3.3.5).
    """
    if transform_type == TransformType.ENCRYPTION:
        found = _CIPHERS.get(EncryptionId(number))
        if found is None or not found.accepts(key_length):
            return False
    elif key_length is not None or number not in _WITHOUT_LENGTH.get(transform_type, ()):
        return False
    return number == 0 or _works(transform_type, number, key_length)


@cache
def _works(transform_type: TransformType, number: int, key_length: int | None) -> bool:
    """Whether the library does it here, found out by doing it once."""
    try:
        match transform_type:
            case TransformType.ENCRYPTION:
                _try_cipher(EncryptionId(number), key_length)
            case TransformType.PRF:
                prf(PrfId(number)).compute(b"key", b"data")
            case TransformType.INTEGRITY:
                checksum = integrity(IntegrityId(number))
                checksum.compute(Secret(bytes(checksum.key_length)), b"data")
            case _:
                key_exchange(KeyExchangeId(number)).generate(lambda count: bytes((1,)) * count)
    except (UnsupportedAlgorithm, LibraryError, ValueError):
        return False
    return True


def _try_cipher(number: EncryptionId, key_length: int | None) -> None:
    key = Secret(bytes(range(cipher(number).key_octets(key_length))))
    checksum = None if number.is_aead else IntegrityId.AUTH_HMAC_SHA2_256_128
    made = message_cipher(number, key_length, checksum, key, None if checksum is None else Secret(bytes(32)))
    made.seal(bytes(made.iv_length), b"", bytes(made.block_size))


def message_cipher(
    encryption: EncryptionId,
    key_length: int | None,
    integrity_id: IntegrityId | None,
    encryption_key: Secret,
    integrity_key: Secret | None,
) -> MessageCipher:
    """The protection of IKE messages in one direction (RFC 7296 section 3.14).

    Args:
        encryption: the cipher.
        key_length: bits, as negotiated.
        integrity_id: the integrity algorithm; None for an AEAD.
        encryption_key: SK_ei or SK_er, with the salt behind it.
        integrity_key: SK_ai or SK_ar; None or empty for an AEAD.

    Raises:
        MisuseError: an algorithm that we do not have, a combination that does not exist, a key of another length.
    """
    algorithm = cipher(encryption)
    if len(encryption_key) != algorithm.key_octets(key_length):
        raise MisuseError(f"{encryption.name}: a key of {len(encryption_key)} octets")
    aead = _AEADS.get(encryption)
    if aead is not None:
        if integrity_id is not None:  # RFC 7296 section 3.3: an AEAD goes without
            raise MisuseError(f"{encryption.name} has no use for {integrity_id.name}")
        return AeadCipher(aead, encryption_key, algorithm.salt_length)
    mode = _BLOCK_MODES[encryption]
    if integrity_id is None or integrity_key is None:
        raise MisuseError(f"{encryption.name} needs an integrity algorithm")
    checksum = integrity(integrity_id)
    if len(integrity_key) != checksum.key_length:
        raise MisuseError(f"{integrity_id.name}: a key of {len(integrity_key)} octets")
    return EncryptThenMac(mode.keyed(encryption_key.expose()), checksum, integrity_key)
