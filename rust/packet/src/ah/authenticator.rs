//! The integrity algorithms of AH, and what they put into its ICV field.

use caponier_cipher::{Gmac, Refused};
use zeroize::Zeroizing;

use crate::algorithms::{encryption, integrity};
use crate::integrity::{Integrity, MAX_ICV};
use crate::keys::{check_length, KeyError, KeyMaterial};
use crate::sequence::Number;

const SALT_LEN: usize = 4;
const GMAC_IV_LEN: usize = 8;
const GMAC_ICV_LEN: usize = 16;

/// An integrity algorithm with its key.
pub(super) enum Authenticator {
    Integrity(Integrity),
    /// AUTH_AES_GMAC (RFC 4543 section 4).
    Gmac {
        key: Gmac,
        salt: Zeroizing<[u8; SALT_LEN]>,
    },
}

impl Authenticator {
    /// Make the key ready.
    pub(super) fn new(keys: &KeyMaterial) -> Result<Self, KeyError> {
        if keys.encryption != encryption::NONE {
            return Err(KeyError::EncryptionInAh {
                encryption: keys.encryption,
            });
        }
        check_length("encryption", &keys.encryption_key, 0)?;
        let key = &keys.integrity_key[..];
        match keys.integrity {
            integrity::NONE => Err(KeyError::AhWithoutIntegrity),
            integrity::AES_128_GMAC => Self::gmac(key, 16),
            integrity::AES_192_GMAC => Self::gmac(key, 24),
            integrity::AES_256_GMAC => Self::gmac(key, 32),
            other => Integrity::new(other, key).map(Self::Integrity),
        }
    }

    /// RFC 4543 section 5.4: the salt stands behind the key.
    fn gmac(material: &[u8], key_len: usize) -> Result<Self, KeyError> {
        check_length("integrity", material, key_len + SALT_LEN)?;
        let (key, behind) = material.split_at(key_len);
        let mut salt = Zeroizing::new([0; SALT_LEN]);
        salt.copy_from_slice(behind);
        let key = Gmac::new(key)?;
        Ok(Self::Gmac { key, salt })
    }

    /// Octets of the IV, which stands in front of the ICV in the field of that name.
    pub(super) fn iv_len(&self) -> usize {
        match self {
            Self::Integrity(_) => 0,
            Self::Gmac { .. } => GMAC_IV_LEN,
        }
    }

    /// Octets of the ICV.
    pub(super) fn icv_len(&self) -> usize {
        match self {
            Self::Integrity(integrity) => integrity.icv_len(),
            Self::Gmac { .. } => GMAC_ICV_LEN,
        }
    }

    /// The ICV of `covered`, with its ICV field zeroed but for the IV.
    pub(super) fn sign(
        &self,
        covered: &[u8],
        iv: &[u8],
        number: Number,
    ) -> Result<[u8; MAX_ICV], Refused> {
        let mut icv = [0; MAX_ICV];
        match self {
            Self::Integrity(integrity) => {
                let icv = &mut icv[..integrity.icv_len()];
                integrity.sign(covered, &number.tail(), icv)?;
            }
            Self::Gmac { key, salt } => {
                let icv = icv.first_chunk_mut().ok_or(Refused)?;
                match &*number.tail() {
                    [] => key.sign(&nonce(salt, iv)?, &[covered], icv)?,
                    tail => key.sign(&nonce(salt, iv)?, &[covered, tail], icv)?,
                }
            }
        }
        Ok(icv)
    }
}

fn nonce(salt: &[u8; SALT_LEN], iv: &[u8]) -> Result<[u8; SALT_LEN + GMAC_IV_LEN], Refused> {
    let iv: &[u8; GMAC_IV_LEN] = iv.try_into().map_err(|_| Refused)?;
    let mut nonce = [0; SALT_LEN + GMAC_IV_LEN];
    nonce[..SALT_LEN].copy_from_slice(salt);
    nonce[SALT_LEN..].copy_from_slice(iv);
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(keys: &KeyMaterial) -> Option<KeyError> {
        Authenticator::new(keys).err()
    }

    /// RFC 4302 section 3.2, RFC 4543 section 3: AH has integrity, and nothing else.
    #[test]
    fn impossible_keys_are_named() {
        assert_eq!(
            error(&KeyMaterial::for_ah(0, &[])),
            Some(KeyError::AhWithoutIntegrity)
        );
        for encryption in [11, 12, 20, 21] {
            let keys = KeyMaterial::new(encryption, 128, &[0; 20], 12, &[0; 32]);
            assert_eq!(error(&keys), Some(KeyError::EncryptionInAh { encryption }));
        }
        for (integrity, expected) in [(9, 20), (10, 28), (11, 36), (12, 32), (5, 16)] {
            let error = |length: usize| error(&KeyMaterial::for_ah(integrity, &vec![1; length]));
            let what = "integrity";
            assert_eq!(error(expected), None);
            assert_eq!(error(0), Some(KeyError::Empty { what }));
            let got = expected - 4;
            assert_eq!(
                error(got),
                Some(KeyError::Length {
                    what,
                    expected,
                    got
                })
            );
        }
        let integrity = 7;
        assert_eq!(
            error(&KeyMaterial::for_ah(integrity, &[1; 16])),
            Some(KeyError::Integrity { integrity })
        );
    }
}
