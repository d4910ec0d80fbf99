//! Algorithms and keys of an SA, as IKE hands them over.

use std::fmt;

use zeroize::Zeroizing;

use crate::algorithms::encryption;

/// Algorithms of an SA by their IKEv2 transform ids, with their keys. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct KeyMaterial {
    pub(crate) encryption: u16,
    pub(crate) key_length: u16,
    pub(crate) encryption_key: Zeroizing<Vec<u8>>,
    pub(crate) integrity: u16,
    pub(crate) integrity_key: Zeroizing<Vec<u8>>,
}

impl KeyMaterial {
    /// Gather what IKE negotiated for ESP. Nothing is checked here: the SA's transform does that.
    ///
    /// `encryption`: one of [`crate::algorithms::encryption`]. `key_length`: bits, without salt; 0 where the algorithm
    /// has keys of one length only. `encryption_key`: the key, with salt or nonce behind it. `integrity`: one of
    /// [`crate::algorithms::integrity`], 0 where the cipher is a combined mode algorithm.
    pub fn new(
        encryption: u16,
        key_length: u16,
        encryption_key: &[u8],
        integrity: u16,
        integrity_key: &[u8],
    ) -> Self {
        Self {
            encryption,
            key_length,
            encryption_key: Zeroizing::new(encryption_key.to_vec()),
            integrity,
            integrity_key: Zeroizing::new(integrity_key.to_vec()),
        }
    }

    /// Gather what IKE negotiated for AH. `integrity_key`: with the salt of 4 octets behind it for AES-GMAC.
    pub fn for_ah(integrity: u16, integrity_key: &[u8]) -> Self {
        Self::new(encryption::NONE, 0, &[], integrity, integrity_key)
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial")
            .field("encryption", &self.encryption)
            .field("key_length", &self.key_length)
            .field("integrity", &self.integrity)
            .finish_non_exhaustive()
    }
}

/// Why keys do not make a transform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The encryption algorithm is not implemented.
    #[error(
        "encryption transform {encryption} with a key of {key_length} bits is not implemented"
    )]
    Encryption {
        /// IKEv2 transform id.
        encryption: u16,
        /// Bits.
        key_length: u16,
    },
    /// The integrity algorithm is not implemented.
    #[error("integrity transform {integrity} is not implemented")]
    Integrity {
        /// IKEv2 transform id.
        integrity: u16,
    },
    /// NULL encryption and no integrity (RFC 4303 section 3.2: both "MUST NOT be simultaneously NULL").
    #[error("NULL encryption needs an integrity algorithm")]
    NullWithoutIntegrity,
    /// Encryption without integrity, which active attacks undo (RFC 8221 section 4).
    #[error("encryption transform {encryption} needs an integrity algorithm beside it")]
    Unauthenticated {
        /// IKEv2 transform id.
        encryption: u16,
    },
    /// A combined mode algorithm with an integrity algorithm beside it (RFC 7296 section 3.3.3).
    #[error("integrity transform {integrity} stands beside encryption transform {encryption}, which has its own")]
    IntegrityTwice {
        /// IKEv2 transform id.
        encryption: u16,
        /// IKEv2 transform id.
        integrity: u16,
    },
    /// AES-GMAC as an integrity algorithm of ESP (RFC 4543 section 5.3: "MUST NOT be used with ESP").
    #[error("integrity transform {integrity} is for AH; ESP has encryption transform 21 instead")]
    GmacOfAh {
        /// IKEv2 transform id.
        integrity: u16,
    },
    /// An encryption algorithm for AH, which encrypts nothing; ENCR_NULL_AUTH_AES_GMAC is of ESP too.
    #[error("encryption transform {encryption} is for ESP; AH has integrity only")]
    EncryptionInAh {
        /// IKEv2 transform id.
        encryption: u16,
    },
    /// AH without an integrity algorithm.
    #[error("AH needs an integrity algorithm")]
    AhWithoutIntegrity,
    /// A key of no octets.
    #[error("the {what} key is empty")]
    Empty {
        /// `encryption` or `integrity`.
        what: &'static str,
    },
    /// A key has the wrong length.
    #[error("the {what} key has {got} octets, not {expected}")]
    Length {
        /// `encryption` or `integrity`.
        what: &'static str,
        /// Octets.
        expected: usize,
        /// Octets.
        got: usize,
    },
    /// The cryptographic library refused.
    #[error("the cryptographic library refused the key")]
    Refused,
}

impl From<caponier_cipher::Refused> for KeyError {
    fn from(_: caponier_cipher::Refused) -> Self {
        Self::Refused
    }
}

/// Refuse a key that has not the expected octets.
pub(crate) fn check_length(
    what: &'static str,
    key: &[u8],
    expected: usize,
) -> Result<(), KeyError> {
    match key.len() {
        got if got == expected => Ok(()),
        0 => Err(KeyError::Empty { what }),
        got => Err(KeyError::Length {
            what,
            expected,
            got,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_printed() {
        let keys = KeyMaterial::new(12, 128, &[0xa5; 16], 12, &[0x5a; 32]);
        let printed = format!("{keys:?}");
        assert_eq!(
            printed,
            "KeyMaterial { encryption: 12, key_length: 128, integrity: 12, .. }"
        );
    }
}
