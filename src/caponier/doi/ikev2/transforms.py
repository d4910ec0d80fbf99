"""The algorithms that a proposal names: transform types 1 to 12 (RFC 7296 sections 3.3.2 to 3.3.5).

A row is: number, the document that defines it, and the words of RFC 8247 (IKEv2) and of RFC 8221
(ESP and AH) where they speak of it. Both documents let everything else be a MAY. A row whose source
names RFC 9395 was deprecated by its section 4, which is taken as a MUST NOT.
"""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class TransformType(OpenEnum, bits=8, registry="Transform Type Values"):
    """What an algorithm is proposed for (RFC 7296 section 3.3.2)."""

    ENCRYPTION = 1, "RFC 7296"
    PRF = 2, "RFC 7296"
    INTEGRITY = 3, "RFC 7296"
    KEY_EXCHANGE = 4, "RFC 7296, RFC 9370"
    SEQUENCE_NUMBERS = 5, "RFC 7296, RFC 9827"
    ADDITIONAL_KEY_EXCHANGE_1 = 6, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_2 = 7, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_3 = 8, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_4 = 9, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_5 = 10, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_6 = 11, "RFC 9370"
    ADDITIONAL_KEY_EXCHANGE_7 = 12, "RFC 9370"
    KEY_WRAP = 13, "RFC 9838"
    GROUP_CONTROLLER_AUTHENTICATION = 14, "RFC 9838"


class TransformAttributeType(OpenEnum, bits=15, registry="IKEv2 Transform Attribute Types"):
    """The only attribute there is (RFC 7296 section 3.3.5)."""

    KEY_LENGTH = 14, "RFC 7296"


class EncryptionId(OpenEnum, bits=16, registry="Transform Type 1: Encryption Algorithm"):
    """Transform type 1."""

    ENCR_DES_IV64 = 1, "RFC 7296, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_DES = 2, "RFC 2405", "MUST NOT", "MUST NOT"
    ENCR_3DES = 3, "RFC 2451", "MAY", "SHOULD NOT"
    ENCR_RC5 = 4, "RFC 2451, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_IDEA = 5, "RFC 2451, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_CAST = 6, "RFC 2451, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_BLOWFISH = 7, "RFC 2451, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_3IDEA = 8, "RFC 7296, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_DES_IV32 = 9, "RFC 7296, RFC 9395", "MUST NOT", "MUST NOT"
    ENCR_NULL = 11, "RFC 2410", "MUST NOT", "MUST"
    ENCR_AES_CBC = 12, "RFC 3602", "MUST", "MUST"
    ENCR_AES_CTR = 13, "RFC 3686, RFC 5930", "MAY", "MAY"
    ENCR_AES_CCM_8 = 14, "RFC 4309, RFC 5282", "SHOULD", "SHOULD"
    ENCR_AES_CCM_12 = 15, "RFC 4309, RFC 5282"
    ENCR_AES_CCM_16 = 16, "RFC 4309, RFC 5282"
    ENCR_AES_GCM_8 = 18, "RFC 4106, RFC 5282"
    ENCR_AES_GCM_12 = 19, "RFC 4106, RFC 5282"
    ENCR_AES_GCM_16 = 20, "RFC 4106, RFC 5282", "SHOULD", "MUST"
    ENCR_NULL_AUTH_AES_GMAC = 21, "RFC 4543"
    ENCR_CAMELLIA_CBC = 23, "RFC 5529"
    ENCR_CAMELLIA_CTR = 24, "RFC 5529"
    ENCR_CAMELLIA_CCM_8 = 25, "RFC 5529"
    ENCR_CAMELLIA_CCM_12 = 26, "RFC 5529"
    ENCR_CAMELLIA_CCM_16 = 27, "RFC 5529"
    ENCR_CHACHA20_POLY1305 = 28, "RFC 7634", "SHOULD", "SHOULD"
    ENCR_AES_CCM_8_IIV = 29, "RFC 8750"
    ENCR_AES_GCM_16_IIV = 30, "RFC 8750"
    ENCR_CHACHA20_POLY1305_IIV = 31, "RFC 8750"
    ENCR_KUZNYECHIK_MGM_KTREE = 32, "RFC 9227"
    ENCR_MAGMA_MGM_KTREE = 33, "RFC 9227"
    ENCR_KUZNYECHIK_MGM_MAC_KTREE = 34, "RFC 9227"
    ENCR_MAGMA_MGM_MAC_KTREE = 35, "RFC 9227"

    @property
    def is_aead(self) -> bool:
        """Whether it protects integrity too, so that no integrity algorithm goes with it (RFC 5282 section 8)."""
        return self in _COMBINED_MODES


#: Combined-mode ciphers. ENCR_NULL_AUTH_AES_GMAC encrypts nothing, but is a combined mode too (RFC 4543 section 3),
#: and so are the two MAC-only transforms of RFC 9227 section 4.
_COMBINED_MODES = frozenset(
    {
        EncryptionId.ENCR_AES_CCM_8,
        EncryptionId.ENCR_AES_CCM_12,
        EncryptionId.ENCR_AES_CCM_16,
        EncryptionId.ENCR_AES_GCM_8,
        EncryptionId.ENCR_AES_GCM_12,
        EncryptionId.ENCR_AES_GCM_16,
        EncryptionId.ENCR_NULL_AUTH_AES_GMAC,
        EncryptionId.ENCR_CAMELLIA_CCM_8,
        EncryptionId.ENCR_CAMELLIA_CCM_12,
        EncryptionId.ENCR_CAMELLIA_CCM_16,
        EncryptionId.ENCR_CHACHA20_POLY1305,
        EncryptionId.ENCR_AES_CCM_8_IIV,
        EncryptionId.ENCR_AES_GCM_16_IIV,
        EncryptionId.ENCR_CHACHA20_POLY1305_IIV,
        EncryptionId.ENCR_KUZNYECHIK_MGM_KTREE,
        EncryptionId.ENCR_MAGMA_MGM_KTREE,
        EncryptionId.ENCR_KUZNYECHIK_MGM_MAC_KTREE,
        EncryptionId.ENCR_MAGMA_MGM_MAC_KTREE,
    }
)


class PrfId(OpenEnum, bits=16, registry="Transform Type 2: Pseudorandom Function"):
    """Transform type 2."""

    PRF_HMAC_MD5 = 1, "RFC 2104", "MUST NOT"
    PRF_HMAC_SHA1 = 2, "RFC 2104", "MUST-"
    PRF_HMAC_TIGER = 3, "RFC 2104, RFC 9395", "MUST NOT"
    PRF_AES128_XCBC = 4, "RFC 4434", "SHOULD"
    PRF_HMAC_SHA2_256 = 5, "RFC 4868", "MUST"
    PRF_HMAC_SHA2_384 = 6, "RFC 4868"
    PRF_HMAC_SHA2_512 = 7, "RFC 4868", "SHOULD+"
    PRF_AES128_CMAC = 8, "RFC 4615"
    PRF_HMAC_STREEBOG_512 = 9, "RFC 9385"


class IntegrityId(OpenEnum, bits=16, registry="Transform Type 3: Integrity Algorithm"):
    """Transform type 3."""

    AUTH_NONE = 0, "RFC 7296, RFC 5282", None, "MUST with AEAD, else MUST NOT"
    AUTH_HMAC_MD5_96 = 1, "RFC 2403", "MUST NOT", "MUST NOT"
    AUTH_HMAC_SHA1_96 = 2, "RFC 2404", "MUST-", "MUST-"
    AUTH_DES_MAC = 3, "RFC 7296", "MUST NOT", "MUST NOT"
    AUTH_KPDK_MD5 = 4, "RFC 7296", "MUST NOT", "MUST NOT"
    AUTH_AES_XCBC_96 = 5, "RFC 3566", "SHOULD", "SHOULD / MAY"
    AUTH_HMAC_MD5_128 = 6, "RFC 4595, RFC 9395", "MUST NOT", "MUST NOT"
    AUTH_HMAC_SHA1_160 = 7, "RFC 4595"
    AUTH_AES_CMAC_96 = 8, "RFC 4494"
    AUTH_AES_128_GMAC = 9, "RFC 4543", None, "MAY"
    AUTH_AES_192_GMAC = 10, "RFC 4543"
    AUTH_AES_256_GMAC = 11, "RFC 4543", None, "MAY"
    AUTH_HMAC_SHA2_256_128 = 12, "RFC 4868", "MUST", "MUST"
    AUTH_HMAC_SHA2_384_192 = 13, "RFC 4868"
    AUTH_HMAC_SHA2_512_256 = 14, "RFC 4868", "SHOULD", "SHOULD"


class KeyExchangeId(OpenEnum, bits=16, registry="Transform Type 4: Key Exchange Method"):
    """Transform type 4, and types 6 to 12 (RFC 9370)."""

    NONE = 0, "RFC 7296"
    MODP_768 = 1, "RFC 7296", "MUST NOT"
    MODP_1024 = 2, "RFC 7296", "SHOULD NOT"
    MODP_1536 = 5, "RFC 3526", "SHOULD NOT"
    MODP_2048 = 14, "RFC 3526", "MUST"
    MODP_3072 = 15, "RFC 3526"
    MODP_4096 = 16, "RFC 3526"
    MODP_6144 = 17, "RFC 3526"
    MODP_8192 = 18, "RFC 3526"
    ECP_256 = 19, "RFC 5903", "SHOULD"
    ECP_384 = 20, "RFC 5903"
    ECP_521 = 21, "RFC 5903"
    MODP_1024_160 = 22, "RFC 5114", "MUST NOT"
    MODP_2048_224 = 23, "RFC 5114", "SHOULD NOT"
    MODP_2048_256 = 24, "RFC 5114", "SHOULD NOT"
    ECP_192 = 25, "RFC 5114"
    ECP_224 = 26, "RFC 5114"
    BRAINPOOL_P224R1 = 27, "RFC 6954"
    BRAINPOOL_P256R1 = 28, "RFC 6954"
    BRAINPOOL_P384R1 = 29, "RFC 6954"
    BRAINPOOL_P512R1 = 30, "RFC 6954"
    CURVE25519 = 31, "RFC 8031"
    CURVE448 = 32, "RFC 8031"
    GOST3410_2012_256 = 33, "RFC 9385"
    GOST3410_2012_512 = 34, "RFC 9385"
    ML_KEM_512 = 35, "draft-ietf-ipsecme-ikev2-mlkem"
    ML_KEM_768 = 36, "draft-ietf-ipsecme-ikev2-mlkem"
    ML_KEM_1024 = 37, "draft-ietf-ipsecme-ikev2-mlkem"


class SequenceNumbersId(OpenEnum, bits=16, registry="Transform Type 5: Sequence Numbers"):
    """Transform type 5: how an SA numbers its packets (RFC 9827; once "Extended Sequence Numbers")."""

    SEQUENTIAL_32 = 0, "RFC 7296, RFC 9827"
    PARTIAL_64 = 1, "RFC 7296, RFC 9827"
    UNSPECIFIED_32 = 2, "RFC 9827"
