"""What ESP and AH take from the key schedule: the algorithms of the packet core, by their transform ids.

The core itself is in Rust; here stands what negotiation and key derivation must know of it: which key lengths there
are, and how many octets of KEYMAT go to each direction (RFC 7296 section 2.17). A salt or nonce is a part of the
keying material (RFC 3686 section 5.1, RFC 4106 section 8.1, RFC 4309 section 7.1, RFC 4543 section 5.4).
"""

from __future__ import annotations

from caponier.doi.ikev2 import EncryptionId, IntegrityId, ProtocolId, SequenceNumbersId, TransformType
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.cipher_keys import CipherKeys

_AES = (128, 192, 256)


_CIPHERS = {
    row.id: row
    for row in (
        CipherKeys(EncryptionId.ENCR_3DES, (), 192),
        CipherKeys(EncryptionId.ENCR_NULL, ()),
        CipherKeys(EncryptionId.ENCR_AES_CBC, _AES),
        CipherKeys(EncryptionId.ENCR_AES_CTR, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_CCM_8, _AES, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_CCM_12, _AES, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_CCM_16, _AES, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_GCM_8, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_GCM_12, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_GCM_16, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_NULL_AUTH_AES_GMAC, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_CAMELLIA_CBC, _AES),
        CipherKeys(EncryptionId.ENCR_CHACHA20_POLY1305, (), 256, salt_length=4),
        CipherKeys(EncryptionId.ENCR_AES_CCM_8_IIV, _AES, salt_length=3),
        CipherKeys(EncryptionId.ENCR_AES_GCM_16_IIV, _AES, salt_length=4),
        CipherKeys(EncryptionId.ENCR_CHACHA20_POLY1305_IIV, (), 256, salt_length=4),
    )
}

#: Octets of KEYMAT for each integrity algorithm of ESP and AH.
_INTEGRITY = {
    IntegrityId.AUTH_HMAC_MD5_96: 16,
    IntegrityId.AUTH_HMAC_SHA1_96: 20,
    IntegrityId.AUTH_AES_XCBC_96: 16,
    IntegrityId.AUTH_AES_CMAC_96: 16,
    IntegrityId.AUTH_HMAC_SHA2_256_128: 32,
    IntegrityId.AUTH_HMAC_SHA2_384_192: 48,
    IntegrityId.AUTH_HMAC_SHA2_512_256: 64,
}
#: Those of AH alone: a cipher's key and a salt of 4 octets (RFC 4543 section 5.4).
_AH_ONLY = {
    IntegrityId.AUTH_AES_128_GMAC: 20,
    IntegrityId.AUTH_AES_192_GMAC: 28,
    IntegrityId.AUTH_AES_256_GMAC: 36,
}
_NUMBERINGS = (SequenceNumbersId.SEQUENTIAL_32, SequenceNumbersId.PARTIAL_64)


def packet_cipher(number: EncryptionId) -> CipherKeys:
    """The cipher of this number.

    Raises:
        MisuseError: the packet core has it not; ask :func:`carries` first.
    """
    found = _CIPHERS.get(number)
    if found is None:
        raise MisuseError(f"{number.name} is not implemented for ESP")
    return found


def integrity_key_octets(number: IntegrityId) -> int:
    """Octets to derive for an integrity algorithm.

    Raises:
        MisuseError: the packet core has it not; ask :func:`carries` first.
    """
    found = _INTEGRITY.get(number) or _AH_ONLY.get(number)
    if found is None:
        raise MisuseError(f"{number.name} is not implemented for ESP and AH")
    return found


def carries(protocol: ProtocolId, transform_type: TransformType, number: int, key_length: int | None = None) -> bool:
    """Whether the packet core can use this transform for ESP or AH; key exchanges are not its business.

    Args:
        protocol: ESP or AH.
        transform_type: what it is for.
        number: its id in the registry of that type.
        key_length: bits of its Key Length attribute, None without one.
    """
    match transform_type:
        case TransformType.ENCRYPTION:
            found = _CIPHERS.get(EncryptionId(number))
            return protocol == ProtocolId.ESP and found is not None and found.accepts(key_length)
        case TransformType.INTEGRITY:
            is_ahs = protocol == ProtocolId.AH and number in _AH_ONLY
            is_none = protocol == ProtocolId.ESP and number == IntegrityId.AUTH_NONE
            return key_length is None and (number in _INTEGRITY or is_ahs or is_none)
        case TransformType.SEQUENCE_NUMBERS:
            return key_length is None and number in _NUMBERINGS
        case _:
            return False
