//! What protects the octets of an ESP packet: one of three families, chosen once per SA.

use caponier_cipher::Refused;

use super::combined::{Combined, Gmac};
use super::separate::{Opening, Sealing};
use crate::algorithms::{encryption, integrity, Encryption, Kind};
use crate::keys::{check_length, KeyError, KeyMaterial};
use crate::sequence::Number;

/// The lengths that the algorithms give to an ESP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Octets of the IV.
    pub iv: usize,
    /// The ciphertext is a multiple of this.
    pub alignment: usize,
    /// Octets of the ICV.
    pub icv: usize,
}

/// The outbound direction.
pub(super) enum SealingCipher {
    Combined(Combined),
    Gmac(Gmac),
    Separate(Box<Sealing>),
}

/// The inbound direction.
pub(super) enum OpeningCipher {
    Combined(Combined),
    Gmac(Gmac),
    Separate(Box<Opening>),
}

impl SealingCipher {
    /// Make the keys ready.
    pub(super) fn new(keys: &KeyMaterial) -> Result<(Self, Layout), KeyError> {
        let algorithm = algorithm(keys)?;
        let cipher = match algorithm.kind {
            Kind::AesGmac => Self::Gmac(Gmac::new(&algorithm, keys)?),
            _ if algorithm.is_combined() => Self::Combined(Combined::new(&algorithm, keys)?),
            _ => Self::Separate(Sealing::new(&algorithm, keys)?.into()),
        };
        let icv = match &cipher {
            Self::Separate(sealing) => sealing.icv_len(),
            _ => algorithm.icv,
        };
        Ok((cipher, layout(&algorithm, icv)))
    }

    /// Write the IV of the packet with this number.
    ///
    /// Counter modes take the number itself, which no SA uses twice (RFC 4106 section 3.1, RFC 3686 section 3.1, RFC
    /// 4309 section 3.1, RFC 7634 section 2). CBC takes what nobody can predict (RFC 3602 section 3).
    #[inline]
    pub(super) fn write_iv(&self, number: u64, iv: &mut [u8]) {
        match self {
            Self::Separate(sealing) => sealing.write_iv(number, iv),
            // Implicit IVs are not written (RFC 8750 section 4).
            _ => iv.copy_from_slice(&number.to_be_bytes()[8 - iv.len()..]),
        }
    }

    /// Encrypt the packet in place, whose IV and trailer are written, and write its ICV.
    #[inline]
    pub(super) fn seal(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        match self {
            Self::Combined(combined) => combined.seal(esp, number),
            Self::Gmac(gmac) => gmac.seal(esp, number),
            Self::Separate(sealing) => sealing.seal(esp, number),
        }
    }
}

impl OpeningCipher {
    /// Make the keys ready.
    pub(super) fn new(keys: &KeyMaterial) -> Result<(Self, Layout), KeyError> {
        let algorithm = algorithm(keys)?;
        let cipher = match algorithm.kind {
            Kind::AesGmac => Self::Gmac(Gmac::new(&algorithm, keys)?),
            _ if algorithm.is_combined() => Self::Combined(Combined::new(&algorithm, keys)?),
            _ => Self::Separate(Opening::new(&algorithm, keys)?.into()),
        };
        let icv = match &cipher {
            Self::Separate(opening) => opening.icv_len(),
            _ => algorithm.icv,
        };
        Ok((cipher, layout(&algorithm, icv)))
    }

    /// Verify the ICV and decrypt in place.
    #[inline]
    pub(super) fn open(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        match self {
            Self::Combined(combined) => combined.open(esp, number),
            Self::Gmac(gmac) => gmac.open(esp, number),
            Self::Separate(opening) => opening.open(esp, number),
        }
    }
}

fn layout(algorithm: &Encryption, icv: usize) -> Layout {
    Layout {
        iv: algorithm.iv,
        alignment: algorithm.alignment,
        icv,
    }
}

/// The encryption algorithm, if it goes with the integrity algorithm and the keys have their lengths.
fn algorithm(keys: &KeyMaterial) -> Result<Encryption, KeyError> {
    let algorithm = Encryption::new(keys.encryption, keys.key_length);
    let algorithm = algorithm.ok_or(KeyError::Encryption {
        encryption: keys.encryption,
        key_length: keys.key_length,
    })?;
    check_combination(&algorithm, keys)?;
    check_length(
        "encryption",
        &keys.encryption_key,
        algorithm.key + algorithm.salt,
    )?;
    if algorithm.is_combined() {
        check_length("integrity", &keys.integrity_key, 0)?;
    }
    Ok(algorithm)
}

fn check_combination(algorithm: &Encryption, keys: &KeyMaterial) -> Result<(), KeyError> {
    match (algorithm.is_combined(), keys.integrity) {
        (true, integrity::NONE) => Ok(()),
        (_, integrity::AES_128_GMAC..=integrity::AES_256_GMAC) => Err(KeyError::GmacOfAh {
            integrity: keys.integrity,
        }),
        (true, integrity) => Err(KeyError::IntegrityTwice {
            encryption: keys.encryption,
            integrity,
        }),
        (false, integrity::NONE) if keys.encryption == encryption::NULL => {
            Err(KeyError::NullWithoutIntegrity)
        }
        (false, integrity::NONE) => Err(KeyError::Unauthenticated {
            encryption: keys.encryption,
        }),
        (false, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(encryption: u16, bits: u16, key: usize, integrity: u16, key2: usize) -> KeyError {
        let keys = KeyMaterial::new(encryption, bits, &vec![1; key], integrity, &vec![2; key2]);
        let sealing = SealingCipher::new(&keys).err();
        assert_eq!(sealing, OpeningCipher::new(&keys).err());
        sealing.expect("an error")
    }

    /// RFC 4303 section 3.2, RFC 8221 section 4, RFC 7296 section 3.3.3, RFC 4543 section 5.3.
    #[test]
    fn impossible_combinations_are_named() {
        assert_eq!(error(11, 0, 0, 0, 0), KeyError::NullWithoutIntegrity);
        for (encryption, bits, key) in [(12, 128, 16), (13, 128, 20), (3, 0, 24), (23, 256, 32)] {
            let expected = KeyError::Unauthenticated { encryption };
            assert_eq!(error(encryption, bits, key, 0, 0), expected);
        }
        for (encryption, key) in [(20, 20), (18, 20), (16, 19), (21, 20), (30, 20)] {
            let integrity = 12;
            let expected = KeyError::IntegrityTwice {
                encryption,
                integrity,
            };
            assert_eq!(error(encryption, 128, key, integrity, 32), expected);
        }
        for integrity in 9..=11 {
            let expected = KeyError::GmacOfAh { integrity };
            assert_eq!(error(11, 0, 0, integrity, 20), expected);
            assert_eq!(error(20, 128, 20, integrity, 20), expected);
        }
    }

    #[test]
    fn unknown_algorithms_are_named() {
        for (encryption, key_length) in [(0, 0), (2, 0), (12, 0), (20, 64), (32, 256)] {
            let expected = KeyError::Encryption {
                encryption,
                key_length,
            };
            assert_eq!(error(encryption, key_length, 16, 12, 32), expected);
        }
        for integrity in [3, 4, 6, 7, 15, 1024] {
            assert_eq!(
                error(12, 128, 16, integrity, 16),
                KeyError::Integrity { integrity }
            );
        }
    }

    /// Zero-length keys, and keys of any other wrong length.
    #[test]
    fn wrong_keys_are_named() {
        let what = "encryption";
        for (encryption, bits, integrity, key2) in [
            (3, 0, 2, 20),
            (12, 256, 12, 32),
            (13, 128, 12, 32),
            (14, 128, 0, 0),
            (20, 192, 0, 0),
            (21, 128, 0, 0),
            (28, 0, 0, 0),
        ] {
            assert_eq!(
                error(encryption, bits, 0, integrity, key2),
                KeyError::Empty { what }
            );
            let (expected, got) = match error(encryption, bits, 1, integrity, key2) {
                KeyError::Length {
                    what: of,
                    expected,
                    got,
                } if of == what => (expected, got),
                other => panic!("{other}"),
            };
            assert!(expected > 15 && got == 1);
        }
        let what = "integrity";
        assert_eq!(error(12, 128, 16, 12, 0), KeyError::Empty { what });
        assert_eq!(error(11, 0, 0, 12, 0), KeyError::Empty { what });
        let (expected, got) = (0, 32);
        assert_eq!(
            error(20, 128, 20, 0, 32),
            KeyError::Length {
                what,
                expected,
                got
            }
        );
        let (what, got) = ("encryption", 16);
        assert_eq!(
            error(11, 0, 16, 12, 32),
            KeyError::Length {
                what,
                expected,
                got
            }
        );
    }
}
