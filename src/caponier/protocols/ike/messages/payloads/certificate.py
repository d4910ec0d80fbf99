"""Certificate and Certificate Request payloads (RFC 7296 sections 3.6 and 3.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import CertEncoding, PayloadType
from caponier.octets import Reader, Writer

_HASH_LENGTH = 20  #: SHA-1 of an authority's SubjectPublicKeyInfo, section 3.7


@dataclass(frozen=True, slots=True)
class Certificate:
    """CERT payload body (RFC 7296 section 3.6).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Cert Encoding |                                               |
       +-+-+-+-+-+-+-+-+                                               |
       ~                       Certificate Data                        ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        encoding: what the data are.
        data: for X509_SIGNATURE one DER certificate; not looked into here.
    """

    TYPE: ClassVar = PayloadType.CERT
    encoding: CertEncoding
    data: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(CertEncoding(r.u8("certificate encoding")), r.rest())

    def encode(self, w: Writer) -> None:
        w.u8(self.encoding).octets(self.data)


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """CERTREQ payload body (RFC 7296 section 3.7).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Cert Encoding |                                               |
       +-+-+-+-+-+-+-+-+                                               |
       ~                    Certification Authority                    ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        encoding: what is asked for.
        authorities: for X.509 encodings the concatenated SHA-1 hashes of acceptable authorities' keys.
    """

    TYPE: ClassVar = PayloadType.CERTREQ
    encoding: CertEncoding
    authorities: bytes

    @property
    def authority_hashes(self) -> tuple[bytes, ...]:
        """The authorities one by one, 20 octets each.

        None where the field is not a list of hashes: the request is a suggestion, so that a peer that
        fills it with something else is not refused (section 3.7).
        """
        if len(self.authorities) % _HASH_LENGTH:
            return ()
        return tuple(
            self.authorities[start : start + _HASH_LENGTH] for start in range(0, len(self.authorities), _HASH_LENGTH)
        )

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(CertEncoding(r.u8("certificate encoding")), r.rest())

    def encode(self, w: Writer) -> None:
        w.u8(self.encoding).octets(self.authorities)
