//! The algorithms of ESP and AH by their IKEv2 transform ids (IANA "IKEv2 Parameters"), and what their RFCs say of
//! lengths.

/// Transform type 1, encryption algorithms.
pub mod encryption {
    #![allow(missing_docs)]
    /// No transform: AH encrypts nothing.
    pub const NONE: u16 = 0;
    /// RFC 2451.
    pub const TRIPLE_DES: u16 = 3;
    /// RFC 2410.
    pub const NULL: u16 = 11;
    /// RFC 3602.
    pub const AES_CBC: u16 = 12;
    /// RFC 3686.
    pub const AES_CTR: u16 = 13;
    /// RFC 4309.
    pub const AES_CCM_8: u16 = 14;
    pub const AES_CCM_12: u16 = 15;
    pub const AES_CCM_16: u16 = 16;
    /// RFC 4106.
    pub const AES_GCM_8: u16 = 18;
    pub const AES_GCM_12: u16 = 19;
    pub const AES_GCM_16: u16 = 20;
    /// RFC 4543, of ESP.
    pub const NULL_AUTH_AES_GMAC: u16 = 21;
    /// RFC 5529 names the number, RFC 4312 defines the use in ESP.
    pub const CAMELLIA_CBC: u16 = 23;
    /// RFC 7634.
    pub const CHACHA20_POLY1305: u16 = 28;
    /// RFC 8750: the IV is the sequence number, and not sent.
    pub const AES_CCM_8_IIV: u16 = 29;
    pub const AES_GCM_16_IIV: u16 = 30;
    pub const CHACHA20_POLY1305_IIV: u16 = 31;
}

/// Transform type 3, integrity algorithms.
pub mod integrity {
    #![allow(missing_docs)]
    /// Where the cipher is a combined mode algorithm.
    pub const NONE: u16 = 0;
    /// RFC 2403.
    pub const HMAC_MD5_96: u16 = 1;
    /// RFC 2404.
    pub const HMAC_SHA1_96: u16 = 2;
    /// RFC 3566.
    pub const AES_XCBC_96: u16 = 5;
    /// RFC 4494.
    pub const AES_CMAC_96: u16 = 8;
    /// RFC 4543, of AH.
    pub const AES_128_GMAC: u16 = 9;
    pub const AES_192_GMAC: u16 = 10;
    pub const AES_256_GMAC: u16 = 11;
    /// RFC 4868.
    pub const HMAC_SHA2_256_128: u16 = 12;
    pub const HMAC_SHA2_384_192: u16 = 13;
    pub const HMAC_SHA2_512_256: u16 = 14;
}

/// What kind of cipher an encryption algorithm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    TripleDesCbc,
    AesCbc,
    AesCtr,
    CamelliaCbc,
    AesCcm,
    AesGcm,
    AesGmac,
    ChaCha20Poly1305,
}

/// The lengths of an encryption algorithm, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encryption {
    pub kind: Kind,
    /// The key, without what stands behind it.
    pub key: usize,
    /// Salt or nonce, behind the key in the keying material.
    pub salt: usize,
    /// The IV in every packet.
    pub iv: usize,
    /// The ciphertext is a multiple of this: the cipher's block, at least 4 (RFC 4303 section 2.4).
    pub alignment: usize,
    /// The ICV; 0 where an integrity algorithm makes it.
    pub icv: usize,
}

impl Encryption {
    /// The algorithm with this number and a key of this many bits, if there is one.
    pub(crate) fn new(number: u16, key_length: u16) -> Option<Self> {
        let (kind, salt, iv, alignment, icv) = match number {
            encryption::TRIPLE_DES => (Kind::TripleDesCbc, 0, 8, 8, 0),
            encryption::NULL => (Kind::Null, 0, 0, 4, 0),
            encryption::AES_CBC => (Kind::AesCbc, 0, 16, 16, 0),
            encryption::AES_CTR => (Kind::AesCtr, 4, 8, 4, 0),
            encryption::AES_CCM_8 => (Kind::AesCcm, 3, 8, 4, 8),
            encryption::AES_CCM_12 => (Kind::AesCcm, 3, 8, 4, 12),
            encryption::AES_CCM_16 => (Kind::AesCcm, 3, 8, 4, 16),
            encryption::AES_GCM_8 => (Kind::AesGcm, 4, 8, 4, 8),
            encryption::AES_GCM_12 => (Kind::AesGcm, 4, 8, 4, 12),
            encryption::AES_GCM_16 => (Kind::AesGcm, 4, 8, 4, 16),
            encryption::NULL_AUTH_AES_GMAC => (Kind::AesGmac, 4, 8, 4, 16),
            encryption::CAMELLIA_CBC => (Kind::CamelliaCbc, 0, 16, 16, 0),
            encryption::CHACHA20_POLY1305 => (Kind::ChaCha20Poly1305, 4, 8, 4, 16),
            encryption::AES_CCM_8_IIV => (Kind::AesCcm, 3, 0, 4, 8),
            encryption::AES_GCM_16_IIV => (Kind::AesGcm, 4, 0, 4, 16),
            encryption::CHACHA20_POLY1305_IIV => (Kind::ChaCha20Poly1305, 4, 0, 4, 16),
            _ => return None,
        };
        Some(Self {
            kind,
            key: kind.key_len(key_length)?,
            salt,
            iv,
            alignment,
            icv,
        })
    }

    /// True for a combined mode algorithm (RFC 4303 section 3.2.3).
    pub(crate) fn is_combined(&self) -> bool {
        self.icv > 0
    }
}

impl Kind {
    /// Octets of a key of this many bits, if there is one. Where there is but one, 0 bits mean it: no Key Length
    /// attribute is sent then (RFC 7296 section 3.3.5).
    fn key_len(self, bits: u16) -> Option<usize> {
        match (self, bits) {
            (Self::Null, 0) => Some(0),
            (Self::TripleDesCbc, 0 | 192) => Some(24),
            (Self::ChaCha20Poly1305, 0 | 256) => Some(32),
            (Self::Null | Self::TripleDesCbc | Self::ChaCha20Poly1305, _) => None,
            (_, 128 | 192 | 256) => Some(usize::from(bits) / 8),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8221 section 5: the numbers with their ICVs and IVs.
    #[test]
    fn lengths_are_those_of_the_rfcs() {
        let lengths = |number, bits| {
            Encryption::new(number, bits).map(|it| (it.key, it.salt, it.iv, it.alignment, it.icv))
        };
        assert_eq!(lengths(3, 0), Some((24, 0, 8, 8, 0)));
        assert_eq!(lengths(11, 0), Some((0, 0, 0, 4, 0)));
        assert_eq!(lengths(12, 192), Some((24, 0, 16, 16, 0)));
        assert_eq!(lengths(13, 128), Some((16, 4, 8, 4, 0)));
        assert_eq!(lengths(15, 256), Some((32, 3, 8, 4, 12)));
        assert_eq!(lengths(18, 128), Some((16, 4, 8, 4, 8)));
        assert_eq!(lengths(21, 192), Some((24, 4, 8, 4, 16)));
        assert_eq!(lengths(28, 0), Some((32, 4, 8, 4, 16)));
        assert_eq!(lengths(29, 128), Some((16, 3, 0, 4, 8)));
        assert_eq!(lengths(31, 256), Some((32, 4, 0, 4, 16)));
    }

    #[test]
    fn unknown_numbers_and_lengths_have_none() {
        for (number, bits) in [(0, 0), (2, 0), (17, 128), (32, 0), (12, 0), (20, 160)] {
            assert_eq!(Encryption::new(number, bits), None);
        }
        for (number, bits) in [(11, 128), (3, 128), (28, 128)] {
            assert_eq!(Encryption::new(number, bits), None);
        }
    }
}
