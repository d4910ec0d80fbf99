//! The integrity algorithms that ESP and AH share: a MAC, cut off to the ICV.

use caponier_cipher::{equal, CbcMac, Hash, Hmac, Refused};

use crate::algorithms::integrity;
use crate::keys::{check_length, KeyError};

/// The longest ICV: HMAC-SHA2-512-256.
pub(crate) const MAX_ICV: usize = 32;

/// An integrity algorithm with its key.
pub(crate) struct Integrity {
    mac: Mac,
    icv: usize,
}

enum Mac {
    Hmac(Hmac),
    Cbc(CbcMac),
}

impl Integrity {
    /// Make the key of a transform ready.
    pub(crate) fn new(number: u16, key: &[u8]) -> Result<Self, KeyError> {
        match number {
            // RFC 2403, RFC 2404: 96 bits; RFC 4868 section 2.1.1: half of the digest. The key is as long as the
            // digest.
            integrity::HMAC_MD5_96 => Self::hmac(Hash::Md5, key, 12),
            integrity::HMAC_SHA1_96 => Self::hmac(Hash::Sha1, key, 12),
            integrity::HMAC_SHA2_256_128 => Self::hmac(Hash::Sha256, key, 16),
            integrity::HMAC_SHA2_384_192 => Self::hmac(Hash::Sha384, key, 24),
            integrity::HMAC_SHA2_512_256 => Self::hmac(Hash::Sha512, key, 32),
            integrity::AES_XCBC_96 => Self::cbc(CbcMac::xcbc, key),
            integrity::AES_CMAC_96 => Self::cbc(CbcMac::cmac, key),
            other => Err(KeyError::Integrity { integrity: other }),
        }
    }

    /// Octets of the ICV.
    pub(crate) fn icv_len(&self) -> usize {
        self.icv
    }

    /// Write the ICV of `covered` and, behind it, `tail`.
    #[inline]
    pub(crate) fn sign(&self, covered: &[u8], tail: &[u8], icv: &mut [u8]) -> Result<(), Refused> {
        if icv.len() != self.icv {
            return Err(Refused);
        }
        match &self.mac {
            Mac::Hmac(hmac) => icv.copy_from_slice(&hmac.sign(covered, tail)[..self.icv]),
            Mac::Cbc(mac) => icv.copy_from_slice(&mac.sign(covered, tail)?[..self.icv]),
        }
        Ok(())
    }

    /// Verify the ICV of `covered` and, behind it, `tail`.
    #[inline]
    pub(crate) fn verify(&self, covered: &[u8], tail: &[u8], icv: &[u8]) -> Result<(), Refused> {
        let mut expected = [0; MAX_ICV];
        let expected = &mut expected[..self.icv];
        self.sign(covered, tail, expected)?;
        equal(expected, icv).then_some(()).ok_or(Refused)
    }

    fn hmac(hash: Hash, key: &[u8], icv: usize) -> Result<Self, KeyError> {
        check_length("integrity", key, hash.digest_len())?;
        let mac = Mac::Hmac(Hmac::new(hash, key));
        Ok(Self { mac, icv })
    }

    fn cbc(make: fn(&[u8]) -> Result<CbcMac, Refused>, key: &[u8]) -> Result<Self, KeyError> {
        check_length("integrity", key, 16)?;
        let mac = Mac::Cbc(make(key)?);
        Ok(Self { mac, icv: 12 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4868 section 2.7.2.1, test case AUTH256-1, and RFC 3566 section 4.6, test case 2: the first octets of the
    /// MAC.
    #[test]
    fn icvs_are_cut_off() {
        let integrity = Integrity::new(12, &[0x0b; 32]).expect("a key");
        let mut icv = [0; 16];
        assert_eq!(integrity.sign(b"Hi ", b"There", &mut icv), Ok(()));
        assert_eq!(
            icv,
            [
                0x19, 0x8a, 0x60, 0x7e, 0xb4, 0x4b, 0xfb, 0xc6, 0x99, 0x03, 0xa0, 0xf1, 0xcf, 0x2b,
                0xbd, 0xc5
            ]
        );
        assert_eq!(integrity.verify(b"Hi There", &[], &icv), Ok(()));
        assert_eq!(integrity.verify(b"Hi there", &[], &icv), Err(Refused));
        assert_eq!(integrity.verify(b"Hi There", &[], &icv[..15]), Err(Refused));
        let key: Vec<u8> = (0..16).collect();
        let integrity = Integrity::new(5, &key).expect("a key");
        let mut icv = [0; 12];
        assert_eq!(integrity.sign(&[0, 1, 2], &[], &mut icv), Ok(()));
        assert_eq!(icv[..4], [0x5b, 0x37, 0x65, 0x80]);
    }

    #[test]
    fn wrong_keys_are_named() {
        let error = |number, length: usize| Integrity::new(number, &vec![1; length]).err();
        let wrong = |expected, got| {
            Some(KeyError::Length {
                what: "integrity",
                expected,
                got,
            })
        };
        for (number, expected) in [
            (1, 16),
            (2, 20),
            (5, 16),
            (8, 16),
            (12, 32),
            (13, 48),
            (14, 64),
        ] {
            assert_eq!(error(number, expected), None);
            assert_eq!(error(number, expected - 1), wrong(expected, expected - 1));
            assert_eq!(
                error(number, 0),
                Some(KeyError::Empty { what: "integrity" })
            );
        }
        for integrity in [0, 3, 4, 6, 7, 9, 10, 11, 15] {
            assert_eq!(
                error(integrity, 16),
                Some(KeyError::Integrity { integrity })
            );
        }
    }
}
