"""Every algorithm that the plane carries, by its IKEv2 transform ids and by the names that scapy knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Keys(TypedDict):
    """The arguments that say how an SA is protected."""

    encryption: int
    key_length: int
    encryption_key: bytes
    integrity: int
    integrity_key: bytes


@dataclass(frozen=True)
class Suite:
    """Algorithms by their transform ids, with the lengths of their keys in octets.

    Attributes:
        name: as a configuration writes it.
        encryption: transform type 1.
        key_length: bits; 0 where the cipher has one length only.
        key_octets: of the encryption key, its salt included.
        integrity: transform type 3; 0 for an AEAD.
        integrity_octets: of the integrity key.
        iv: octets in front of the ciphertext.
        block: the ciphertext is a multiple of so many octets.
        icv: octets behind the ciphertext.
        scapy: the names of the cipher and of the MAC there.
    """

    name: str
    encryption: int
    key_length: int
    key_octets: int
    integrity: int
    integrity_octets: int
    iv: int
    block: int
    icv: int
    scapy: tuple[str, str | None]

    @property
    def is_aead(self) -> bool:
        return self.integrity == 0

    def keys(self, direction: int) -> Keys:
        """Keys for one direction, without two equal octets in a row: an exchange of two must show."""
        return {
            "encryption": self.encryption,
            "key_length": self.key_length,
            "encryption_key": _octets(self.key_octets, direction),
            "integrity": self.integrity,
            "integrity_key": _octets(self.integrity_octets, 0x80 + direction),
        }

    def sealed_length(self, payload: int) -> int:
        """Octets of the ESP packet that holds so many of payload, with the least padding (RFC 4303 section 2)."""
        plaintext = payload + 2
        return 8 + self.iv + plaintext + -plaintext % self.block + self.icv

    def may_be_a_packet(self, length: int) -> bool:
        """Whether an ESP packet can have this length: whole blocks, and room for the trailer."""
        plaintext = length - 8 - self.iv - self.icv
        return plaintext >= 2 and plaintext % self.block == 0


def _octets(count: int, start: int) -> bytes:
    return bytes((start + 37 * number) % 256 for number in range(count))


def _gcm(bits: int) -> Suite:
    return Suite(f"aes{bits}gcm16", 20, bits, bits // 8 + 4, 0, 0, 8, 4, 16, ("AES-GCM", None))


def _cbc(bits: int, sha: int) -> Suite:
    integrity = {256: 12, 384: 13, 512: 14}[sha]
    mac = f"SHA2-{sha}-{sha // 2}"
    return Suite(f"aes{bits}-sha{sha}", 12, bits, bits // 8, integrity, sha // 8, 16, 16, sha // 16, ("AES-CBC", mac))


def _ccm(bits: int, icv: int, number: int) -> Suite:
    return Suite(f"aes{bits}ccm{icv}", number, bits, bits // 8 + 3, 0, 0, 8, 4, icv, ("AES-CCM", None))


def _ctr(bits: int) -> Suite:
    return Suite(f"aes{bits}ctr-sha1", 13, bits, bits // 8 + 4, 2, 20, 8, 4, 12, ("AES-CTR", "HMAC-SHA1-96"))


CHACHA = Suite("chacha20poly1305", 28, 0, 36, 0, 0, 8, 4, 16, ("CHACHA20-POLY1305", None))
SUITES = (
    *(_gcm(bits) for bits in (128, 192, 256)),
    CHACHA,
    *(_cbc(bits, sha) for bits in (128, 192, 256) for sha in (256, 384, 512)),
)
#: What scapy knows of the rest; its CCM and GCM have one length of the ICV each.
MORE = (
    *(_ccm(bits, 16, 16) for bits in (128, 256)),
    *(_ctr(bits) for bits in (128, 192, 256)),
    Suite("null-sha256", 11, 0, 0, 12, 32, 0, 4, 16, ("NULL", "SHA2-256-128")),
    Suite("3des-md5", 3, 0, 24, 1, 16, 8, 8, 12, ("3DES", "HMAC-MD5-96")),
    Suite("aes128-sha1", 12, 128, 16, 2, 20, 16, 16, 12, ("AES-CBC", "HMAC-SHA1-96")),
    Suite("aes128-aescmac", 12, 128, 16, 8, 16, 16, 16, 12, ("AES-CBC", "AES-CMAC-96")),
)

GCM, CBC = SUITES[0], SUITES[4]  #: one of each construction, where the construction is what matters

#: Transform type 3: number, octets of the key, octets of the ICV, scapy's name.
_INTEGRITY = {
    "md5": (1, 16, 12, "HMAC-MD5-96"),
    "sha1": (2, 20, 12, "HMAC-SHA1-96"),
    "aesxcbc": (5, 16, 12, "AES-XCBC-96"),
    "aescmac": (8, 16, 12, "AES-CMAC-96"),
    "sha256": (12, 32, 16, "SHA2-256-128"),
    "sha384": (13, 48, 24, "SHA2-384-192"),
    "sha512": (14, 64, 32, "SHA2-512-256"),
}
_AES = (128, 192, 256)


def _protected_by(mac: str, cipher: str, number: int, bits: int, octets: int, iv: int, block: int, name: str) -> Suite:
    """A cipher without an ICV of its own, and what makes one for it."""
    integrity, length, icv, scapy = _INTEGRITY[mac]
    return Suite(f"{cipher}-{mac}", number, bits, octets, integrity, length, iv, block, icv, (name, scapy))


def _combined(name: str, number: int, bits: int, salt: int, iv: int, icv: int, scapy: str) -> Suite:
    """A combined mode algorithm; ``bits`` 0: it has one length of the key, 256."""
    return Suite(name, number, bits, (bits or 256) // 8 + salt, 0, 0, iv, 4, icv, (scapy, None))


def _for_ah(name: str, number: int, octets: int, icv: int, scapy: str) -> Suite:
    return Suite(name, 0, 0, 0, number, octets, 0, 4, icv, ("NULL", scapy))


#: Every encryption algorithm of ESP, and every integrity algorithm; with tests.plane.beyond_scapy, scapy has them all.
EVERY_ESP = (
    *(_protected_by("sha256", f"aes{bits}", 12, bits, bits // 8, 16, 16, "AES-CBC") for bits in _AES),
    *(_protected_by("sha256", f"aes{bits}ctr", 13, bits, bits // 8 + 4, 8, 4, "AES-CTR") for bits in _AES),
    *(_protected_by("sha256", f"camellia{bits}", 23, bits, bits // 8, 16, 16, "CAMELLIA-CBC") for bits in _AES),
    _protected_by("sha256", "3des", 3, 0, 24, 8, 8, "3DES"),
    _protected_by("sha256", "null", 11, 0, 0, 0, 4, "NULL"),
    *(_protected_by(mac, "aes128", 12, 128, 16, 16, 16, "AES-CBC") for mac in _INTEGRITY if mac != "sha256"),
    *(
        _combined(f"aes{bits}gcm{icv}", number, bits, 4, 8, icv, "AES-GCM-SHORT" if icv < 16 else "AES-GCM")
        for number, icv in ((18, 8), (19, 12), (20, 16))
        for bits in _AES
    ),
    *(
        _combined(f"aes{bits}ccm{icv}", number, bits, 3, 8, icv, "AES-CCM")
        for number, icv in ((14, 8), (15, 12), (16, 16))
        for bits in _AES
    ),
    *(_combined(f"aes{bits}gmac", 21, bits, 4, 8, 16, "AES-NULL-GMAC") for bits in _AES),
    CHACHA,
    *(_combined(f"aes{bits}ccm8iiv", 29, bits, 3, 0, 8, "AES-CCM-IIV") for bits in _AES),
    *(_combined(f"aes{bits}gcm16iiv", 30, bits, 4, 0, 16, "AES-GCM-IIV") for bits in _AES),
    _combined("chacha20poly1305iiv", 31, 0, 4, 0, 16, "CHACHA20-POLY1305-IIV"),
)
#: Every algorithm of AH. An ICV of GMAC has its IV in front (RFC 4543 section 4).
EVERY_AH = (
    *(_for_ah(mac, number, octets, icv, scapy) for mac, (number, octets, icv, scapy) in _INTEGRITY.items()),
    *(_for_ah(f"aes{bits}gmac", 9 + place, bits // 8 + 4, 24, "AES-GMAC") for place, bits in enumerate(_AES)),
)
