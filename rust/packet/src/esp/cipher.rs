//! The ciphers of ESP, each with its keys made ready once.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

use super::keys::{KeyError, KeyMaterial};
use super::packet::HEADER_LEN;

/// IKEv2 transform ids of type 1 (IANA "IKEv2 Parameters").
mod encryption {
    pub const AES_CBC: u16 = 12;
    pub const AES_GCM_16: u16 = 20;
    pub const CHACHA20_POLY1305: u16 = 28;
}

/// IKEv2 transform ids of type 3.
mod integrity {
    pub const NONE: u16 = 0;
    pub const HMAC_SHA2_256_128: u16 = 12;
    pub const HMAC_SHA2_384_192: u16 = 13;
    pub const HMAC_SHA2_512_256: u16 = 14;
}

const SALT_LEN: usize = 4;
const AEAD_IV_LEN: usize = 8;
const AEAD_ICV_LEN: usize = 16;
const AES_BLOCK: usize = 16;

/// The lengths that a cipher gives to an ESP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Octets of the IV.
    pub iv: usize,
    /// The ciphertext is a multiple of this: the cipher's block, at least 4 (RFC 4303 section 2.4).
    pub alignment: usize,
    /// Octets of the ICV.
    pub icv: usize,
}

/// The cryptographic library refused: a wrong ICV when opening, never expected when sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// AES-GCM (RFC 4106) or ChaCha20-Poly1305 (RFC 7634).
pub(super) struct Aead {
    key: LessSafeKey,
    salt: Zeroizing<[u8; SALT_LEN]>,
}

/// HMAC-SHA2, truncated (RFC 4868).
pub(super) struct Integrity {
    key: hmac::Key,
    icv: usize,
}

/// AES-CBC for one direction (RFC 3602), and HMAC.
pub(super) struct CbcSealing {
    key: EncryptingKey,
    /// Makes the IVs unpredictable; random, known to nobody else.
    iv_key: EncryptingKey,
    integrity: Integrity,
}

/// As [`CbcSealing`], for opening.
pub(super) struct CbcOpening {
    key: DecryptingKey,
    integrity: Integrity,
}

impl Aead {
    /// `None` where the material is not of an AEAD.
    pub(super) fn new(material: &KeyMaterial) -> Result<Option<Self>, KeyError> {
        let Some(algorithm) = aead_algorithm(material) else {
            return Ok(None);
        };
        if material.integrity != integrity::NONE {
            return Err(material.wrong_integrity());
        }
        let expected = algorithm.key_len() + SALT_LEN;
        check_length("encryption", &material.encryption_key, expected)?;
        check_length("integrity", &material.integrity_key, 0)?;
        let (key, rest) = material.encryption_key.split_at(algorithm.key_len());
        let mut salt = Zeroizing::new([0; SALT_LEN]);
        salt.copy_from_slice(rest);
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        Ok(Some(Self {
            key: LessSafeKey::new(key),
            salt,
        }))
    }

    pub(super) fn layout() -> Layout {
        Layout {
            iv: AEAD_IV_LEN,
            alignment: 4,
            icv: AEAD_ICV_LEN,
        }
    }

    pub(super) fn seal(&self, esp: &mut [u8]) -> Result<(), Refused> {
        let (header, iv, body) = split(esp, AEAD_IV_LEN)?;
        let at = body.len().checked_sub(AEAD_ICV_LEN).ok_or(Refused)?;
        let (text, icv) = body.split_at_mut(at);
        let nonce = self.nonce(iv);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), text);
        icv.copy_from_slice(tag.map_err(|_| Refused)?.as_ref());
        Ok(())
    }

    pub(super) fn open(&self, esp: &mut [u8]) -> Result<(), Refused> {
        let (header, iv, body) = split(esp, AEAD_IV_LEN)?;
        let nonce = self.nonce(iv);
        let opened = self.key.open_in_place(nonce, Aad::from(&*header), body);
        opened.map(|_| ()).map_err(|_| Refused)
    }

    fn nonce(&self, iv: &[u8]) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..SALT_LEN].copy_from_slice(&self.salt[..]);
        nonce[SALT_LEN..].copy_from_slice(iv);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Integrity {
    fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        let (algorithm, key_len, icv) = match material.integrity {
            integrity::HMAC_SHA2_256_128 => (hmac::HMAC_SHA256, 32, 16),
            integrity::HMAC_SHA2_384_192 => (hmac::HMAC_SHA384, 48, 24),
            integrity::HMAC_SHA2_512_256 => (hmac::HMAC_SHA512, 64, 32),
            _ => return Err(material.wrong_integrity()),
        };
        check_length("integrity", &material.integrity_key, key_len)?;
        let key = hmac::Key::new(algorithm, &material.integrity_key);
        Ok(Self { key, icv })
    }

    fn fill(&self, esp: &mut [u8]) -> Result<(), Refused> {
        let at = esp.len().checked_sub(self.icv).ok_or(Refused)?;
        let (covered, icv) = esp.split_at_mut(at);
        let tag = hmac::sign(&self.key, covered);
        icv.copy_from_slice(&tag.as_ref()[..self.icv]);
        Ok(())
    }

    fn verify(&self, esp: &[u8]) -> Result<(), Refused> {
        let at = esp.len().checked_sub(self.icv).ok_or(Refused)?;
        let (covered, icv) = esp.split_at(at);
        let tag = hmac::sign(&self.key, covered);
        constant_time::verify_slices_are_equal(&tag.as_ref()[..self.icv], icv).map_err(|_| Refused)
    }

    fn layout(&self) -> Layout {
        Layout {
            iv: AES_BLOCK,
            alignment: AES_BLOCK,
            icv: self.icv,
        }
    }
}

impl CbcSealing {
    pub(super) fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        let mut iv_key = Zeroizing::new([0; 16]);
        rand::fill(&mut iv_key[..]).map_err(|_| KeyError::Refused)?;
        let iv_key = UnboundCipherKey::new(&cipher::AES_128, &iv_key[..]);
        let iv_key = iv_key
            .and_then(EncryptingKey::ecb)
            .map_err(|_| KeyError::Refused)?;
        Ok(Self {
            key: EncryptingKey::cbc(cbc_key(material)?).map_err(|_| KeyError::Refused)?,
            iv_key,
            integrity: Integrity::new(material)?,
        })
    }

    pub(super) fn layout(&self) -> Layout {
        self.integrity.layout()
    }

    /// An IV that nobody can predict, for a sequence number that is used once.
    pub(super) fn iv(&self, sequence: u64) -> Result<[u8; AES_BLOCK], Refused> {
        let mut block = u128::from(sequence).to_be_bytes();
        let encrypted = self
            .iv_key
            .less_safe_encrypt(&mut block, EncryptionContext::None);
        encrypted.map(|_| block).map_err(|_| Refused)
    }

    pub(super) fn seal(&self, esp: &mut [u8]) -> Result<(), Refused> {
        let (_, iv, body) = split(esp, AES_BLOCK)?;
        let at = body.len().checked_sub(self.integrity.icv).ok_or(Refused)?;
        let mut block = [0; AES_BLOCK];
        block.copy_from_slice(iv);
        let context = EncryptionContext::Iv128(block.into());
        let encrypted = self.key.less_safe_encrypt(&mut body[..at], context);
        encrypted.map_err(|_| Refused)?;
        self.integrity.fill(esp)
    }
}

impl CbcOpening {
    pub(super) fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        Ok(Self {
            key: DecryptingKey::cbc(cbc_key(material)?).map_err(|_| KeyError::Refused)?,
            integrity: Integrity::new(material)?,
        })
    }

    pub(super) fn layout(&self) -> Layout {
        self.integrity.layout()
    }

    pub(super) fn open(&self, esp: &mut [u8]) -> Result<(), Refused> {
        self.integrity.verify(esp)?;
        let (_, iv, body) = split(esp, AES_BLOCK)?;
        let at = body.len().checked_sub(self.integrity.icv).ok_or(Refused)?;
        let mut block = [0; AES_BLOCK];
        block.copy_from_slice(iv);
        let context = DecryptionContext::Iv128(block.into());
        let decrypted = self.key.decrypt(&mut body[..at], context);
        decrypted.map(|_| ()).map_err(|_| Refused)
    }
}

/// Header, IV, and the rest of an ESP packet.
type Parts<'a> = (&'a mut [u8], &'a mut [u8], &'a mut [u8]);

fn split(esp: &mut [u8], iv: usize) -> Result<Parts<'_>, Refused> {
    let (header, rest) = esp.split_at_mut_checked(HEADER_LEN).ok_or(Refused)?;
    let (iv, body) = rest.split_at_mut_checked(iv).ok_or(Refused)?;
    Ok((header, iv, body))
}

fn aead_algorithm(material: &KeyMaterial) -> Option<&'static aead::Algorithm> {
    match (material.encryption, material.key_length) {
        (encryption::AES_GCM_16, 128) => Some(&aead::AES_128_GCM),
        (encryption::AES_GCM_16, 192) => Some(&aead::AES_192_GCM),
        (encryption::AES_GCM_16, 256) => Some(&aead::AES_256_GCM),
        (encryption::CHACHA20_POLY1305, 0 | 256) => Some(&aead::CHACHA20_POLY1305),
        _ => None,
    }
}

fn cbc_key(material: &KeyMaterial) -> Result<UnboundCipherKey, KeyError> {
    let (algorithm, key_len) = match (material.encryption, material.key_length) {
        (encryption::AES_CBC, 128) => (&cipher::AES_128, 16),
        (encryption::AES_CBC, 192) => (&cipher::AES_192, 24),
        (encryption::AES_CBC, 256) => (&cipher::AES_256, 32),
        (encryption, key_length) => {
            return Err(KeyError::Encryption {
                encryption,
                key_length,
            })
        }
    };
    check_length("encryption", &material.encryption_key, key_len)?;
    UnboundCipherKey::new(algorithm, &material.encryption_key).map_err(|_| KeyError::Refused)
}

fn check_length(what: &'static str, key: &[u8], expected: usize) -> Result<(), KeyError> {
    if key.len() == expected {
        return Ok(());
    }
    Err(KeyError::Length {
        what,
        expected,
        got: key.len(),
    })
}

impl KeyMaterial {
    fn wrong_integrity(&self) -> KeyError {
        KeyError::Integrity {
            encryption: self.encryption,
            integrity: self.integrity,
        }
    }
}
