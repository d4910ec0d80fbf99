//! Combined mode algorithms (RFC 4303 section 3.2.3): one key encrypts and makes the ICV.

use caponier_cipher::{self as cipher, Aead, AeadAlgorithm, Ccm, Refused};
use zeroize::Zeroizing;

use super::packet::HEADER_LEN;
use crate::algorithms::{Encryption, Kind};
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::Number;

const SALT_LEN: usize = 4;
const CCM_SALT_LEN: usize = 3;
const IV_LEN: usize = 8;
const GMAC_ICV_LEN: usize = 16;

/// AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634), and their forms with an implicit IV (RFC
/// 8750).
pub(super) struct Combined {
    key: Key,
    salt: Zeroizing<[u8; SALT_LEN]>,
    iv: usize,
    icv: usize,
}

enum Key {
    Aead(Aead),
    Ccm(Ccm),
}

/// ENCR_NULL_AUTH_AES_GMAC (RFC 4543).
pub(super) struct Gmac {
    key: cipher::Gmac,
    salt: Zeroizing<[u8; SALT_LEN]>,
}

impl Combined {
    pub(super) fn new(algorithm: &Encryption, keys: &KeyMaterial) -> Result<Self, KeyError> {
        let (key, salt) = split(algorithm, keys);
        let key = match (algorithm.kind, algorithm.key) {
            (Kind::AesCcm, _) => Key::Ccm(Ccm::new(key, algorithm.icv)?),
            (Kind::ChaCha20Poly1305, _) => aead(AeadAlgorithm::ChaCha20Poly1305, key, algorithm)?,
            (_, 16) => aead(AeadAlgorithm::Aes128Gcm, key, algorithm)?,
            (_, 24) => aead(AeadAlgorithm::Aes192Gcm, key, algorithm)?,
            _ => aead(AeadAlgorithm::Aes256Gcm, key, algorithm)?,
        };
        Ok(Self {
            key,
            salt,
            iv: algorithm.iv,
            icv: algorithm.icv,
        })
    }

    #[inline]
    pub(super) fn seal(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let Parts { spi, iv, text, icv } = self.parts(esp, number)?;
        let aad = number.aad(spi);
        match &self.key {
            Key::Aead(key) => key.seal(&nonce(&self.salt, &iv), &aad, text, icv),
            Key::Ccm(key) => key.seal(&ccm_nonce(&self.salt, &iv), &aad, text, icv),
        }
    }

    #[inline]
    pub(super) fn open(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let Parts { spi, iv, text, icv } = self.parts(esp, number)?;
        let aad = number.aad(spi);
        match &self.key {
            Key::Aead(key) => key.open(&nonce(&self.salt, &iv), &aad, text, icv),
            Key::Ccm(key) => key.open(&ccm_nonce(&self.salt, &iv), &aad, text, icv),
        }
    }

    /// The IV is in the packet or, implicit, the sequence number (RFC 8750 section 4).
    #[inline]
    fn parts<'a>(&self, esp: &'a mut [u8], number: Number) -> Result<Parts<'a>, Refused> {
        let (head, text) = esp
            .split_at_mut_checked(HEADER_LEN + self.iv)
            .ok_or(Refused)?;
        let at = text.len().checked_sub(self.icv).ok_or(Refused)?;
        let (text, icv) = text.split_at_mut(at);
        let (spi, _) = head.split_first_chunk::<4>().ok_or(Refused)?;
        let iv = match head[HEADER_LEN..].first_chunk::<IV_LEN>() {
            Some(iv) => *iv,
            None => number.value.to_be_bytes(),
        };
        Ok(Parts {
            spi: *spi,
            iv,
            text,
            icv,
        })
    }
}

/// An ESP packet, taken apart.
struct Parts<'a> {
    spi: [u8; 4],
    iv: [u8; IV_LEN],
    text: &'a mut [u8],
    icv: &'a mut [u8],
}

impl Gmac {
    pub(super) fn new(algorithm: &Encryption, keys: &KeyMaterial) -> Result<Self, KeyError> {
        let (key, salt) = split(algorithm, keys);
        let key = cipher::Gmac::new(key)?;
        Ok(Self { key, salt })
    }

    pub(super) fn seal(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let (covered, icv) = esp.split_last_chunk_mut().ok_or(Refused)?;
        self.covered(covered, number, |nonce, pieces| {
            self.key.sign(nonce, pieces, icv)
        })
    }

    pub(super) fn open(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let (covered, icv) = esp.split_last_chunk::<GMAC_ICV_LEN>().ok_or(Refused)?;
        self.covered(covered, number, |nonce, pieces| {
            self.key.verify(nonce, pieces, icv)
        })
    }

    /// What the ICV covers: SPI, sequence number with all its bits, IV, payload and trailer.
    ///
    /// RFC 4543 contradicts itself about the IV: figure 4 covers it, section 7 does not. The test case of
    /// draft-mcgrew-gcm-test-01 and the peers (Linux: `rfc4543(gcm(aes))`) cover it, as the begin of the payload.
    fn covered(
        &self,
        covered: &[u8],
        number: Number,
        step: impl FnOnce(&[u8; 12], &[&[u8]]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let (header, rest) = covered.split_at_checked(HEADER_LEN).ok_or(Refused)?;
        let (spi, _) = header.split_first_chunk().ok_or(Refused)?;
        let (iv, _) = rest.split_first_chunk().ok_or(Refused)?;
        let nonce = nonce(&self.salt, iv);
        match &*number.aad(*spi) {
            short if short.len() == HEADER_LEN => step(&nonce, &[covered]),
            long => step(&nonce, &[long, rest]),
        }
    }
}

fn aead(algorithm: AeadAlgorithm, key: &[u8], lengths: &Encryption) -> Result<Key, KeyError> {
    Ok(Key::Aead(Aead::new(algorithm, key, lengths.icv)?))
}

/// Key and salt, which stands behind it, of CCM in the first three octets.
fn split<'a>(
    algorithm: &Encryption,
    keys: &'a KeyMaterial,
) -> (&'a [u8], Zeroizing<[u8; SALT_LEN]>) {
    let (key, behind) = keys.encryption_key.split_at(algorithm.key);
    let mut salt = Zeroizing::new([0; SALT_LEN]);
    salt[..behind.len()].copy_from_slice(behind);
    (key, salt)
}

#[inline]
fn nonce(salt: &[u8; SALT_LEN], iv: &[u8; IV_LEN]) -> [u8; SALT_LEN + IV_LEN] {
    let mut nonce = [0; SALT_LEN + IV_LEN];
    nonce[..SALT_LEN].copy_from_slice(salt);
    nonce[SALT_LEN..].copy_from_slice(iv);
    nonce
}

fn ccm_nonce(salt: &[u8; SALT_LEN], iv: &[u8; IV_LEN]) -> [u8; CCM_SALT_LEN + IV_LEN] {
    let mut nonce = [0; CCM_SALT_LEN + IV_LEN];
    nonce[..CCM_SALT_LEN].copy_from_slice(&salt[..CCM_SALT_LEN]);
    nonce[CCM_SALT_LEN..].copy_from_slice(iv);
    nonce
}
