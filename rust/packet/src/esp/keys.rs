//! Algorithms and keys of an SA, as IKE hands them over.

use std::fmt;

use zeroize::Zeroizing;

/// Algorithms of an ESP SA by their IKEv2 transform ids, with their keys. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct KeyMaterial {
    pub(super) encryption: u16,
    pub(super) key_length: u16,
    pub(super) encryption_key: Zeroizing<Vec<u8>>,
    pub(super) integrity: u16,
    pub(super) integrity_key: Zeroizing<Vec<u8>>,
}

impl KeyMaterial {
    /// Gather what IKE negotiated. Nothing is checked here: the SA's transform does that.
    ///
    /// `encryption`: transform type 1 (12 AES-CBC, 20 AES-GCM with a 16-octet ICV, 28 ChaCha20-Poly1305).
    /// `key_length`: bits, without salt; 0 for ChaCha20-Poly1305 (256 is accepted too).
    /// `encryption_key`: the key, with the salt of 4 octets behind it where the cipher is an AEAD.
    /// `integrity`: transform type 3 (12, 13, 14: HMAC-SHA2), 0 for an AEAD.
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
    /// The integrity algorithm is not implemented, or does not go with the cipher.
    #[error("integrity transform {integrity} does not go with encryption transform {encryption}")]
    Integrity {
        /// IKEv2 transform id.
        encryption: u16,
        /// IKEv2 transform id.
        integrity: u16,
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
