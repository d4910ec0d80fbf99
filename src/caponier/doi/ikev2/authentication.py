"""Who a peer is and how it proves it (RFC 7296 sections 3.5, 3.6 and 3.8; RFC 7427)."""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class IdType(OpenEnum, bits=8, registry="IKEv2 Identification Payload ID Types"):
    """What an identity is written in (RFC 7296 section 3.5)."""

    ID_IPV4_ADDR = 1, "RFC 7296"
    ID_FQDN = 2, "RFC 7296"
    ID_RFC822_ADDR = 3, "RFC 7296"
    ID_IPV6_ADDR = 5, "RFC 7296"
    ID_DER_ASN1_DN = 9, "RFC 7296"
    ID_DER_ASN1_GN = 10, "RFC 7296"
    ID_KEY_ID = 11, "RFC 7296"
    ID_FC_NAME = 12, "RFC 4595"
    ID_NULL = 13, "RFC 7619"


class CertEncoding(OpenEnum, bits=8, registry="IKEv2 Certificate Encodings"):
    """What a CERT payload holds (RFC 7296 section 3.6)."""

    PKCS7_X509 = 1, "RFC 7296"
    PGP = 2, "RFC 7296"
    DNS_SIGNED_KEY = 3, "RFC 7296"
    X509_SIGNATURE = 4, "RFC 7296"
    KERBEROS_TOKEN = 6, "RFC 7296"
    CRL = 7, "RFC 7296"
    ARL = 8, "RFC 7296"
    SPKI = 9, "RFC 7296"
    X509_ATTRIBUTE = 10, "RFC 7296"
    RAW_RSA_KEY = 11, "RFC 7296, deprecated by RFC 7670"
    HASH_AND_URL_X509 = 12, "RFC 7296"
    HASH_AND_URL_BUNDLE = 13, "RFC 7296"
    OCSP_CONTENT = 14, "RFC 4806"
    RAW_PUBLIC_KEY = 15, "RFC 7670"


class AuthMethod(OpenEnum, bits=8, registry="IKEv2 Authentication Method"):
    """How the AUTH payload was made (RFC 7296 section 3.8); the guidance is RFC 8247 section 3.1."""

    RSA_SIGNATURE = 1, "RFC 7296", "MUST"
    SHARED_KEY_MIC = 2, "RFC 7296", "MUST"
    DSS_SIGNATURE = 3, "RFC 7296", "SHOULD NOT"
    ECDSA_P256 = 9, "RFC 4754", "SHOULD"
    ECDSA_P384 = 10, "RFC 4754", "SHOULD"
    ECDSA_P521 = 11, "RFC 4754", "SHOULD"
    GENERIC_SECURE_PASSWORD = 12, "RFC 6467"
    NULL = 13, "RFC 7619"
    DIGITAL_SIGNATURE = 14, "RFC 7427", "SHOULD"


class HashAlgorithm(OpenEnum, bits=16, registry="IKEv2 Hash Algorithms"):
    """Hashes a peer can verify signatures over (RFC 7427 section 4); the guidance is RFC 8247 section 3.2."""

    SHA1 = 1, "RFC 7427", "MUST NOT"
    SHA2_256 = 2, "RFC 7427", "MUST"
    SHA2_384 = 3, "RFC 7427", "MAY"
    SHA2_512 = 4, "RFC 7427", "SHOULD"
    IDENTITY = 5, "RFC 8420"
    STREEBOG_256 = 6, "RFC 9385"
    STREEBOG_512 = 7, "RFC 9385"


class SecurePasswordMethod(OpenEnum, bits=16, registry="IKEv2 Secure Password Methods"):
    """Methods behind GENERIC_SECURE_PASSWORD (RFC 6467 section 3.1)."""

    PACE = 1, "RFC 6631"
    AUGPAKE = 2, "RFC 6628"
    SECURE_PSK = 3, "RFC 6617"


class PpkIdType(OpenEnum, bits=8, registry="IKEv2 Post-quantum Preshared Key ID Types"):
    """What a PPK_ID is (RFC 8784 section 5.1)."""

    PPK_ID_OPAQUE = 1, "RFC 8784"
    PPK_ID_FIXED = 2, "RFC 8784"
