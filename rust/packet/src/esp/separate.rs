//! Encryption, and an integrity algorithm over what was encrypted (RFC 4303 section 3.3.2.1).

use caponier_cipher::{
    fill_random, AesDecrypt, AesEncrypt, Camellia, Refused, TripleDes, AES_BLOCK,
};
use zeroize::Zeroizing;

use super::packet::HEADER_LEN;
use crate::algorithms::{Encryption, Kind};
use crate::integrity::Integrity;
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::Number;

const NONCE_LEN: usize = 4;
const CTR_IV_LEN: usize = 8;

/// The outbound direction.
pub(super) struct Sealing {
    encrypt: Encrypt,
    iv: usize,
    integrity: Integrity,
}

/// The inbound direction.
pub(super) struct Opening {
    decrypt: Decrypt,
    iv: usize,
    integrity: Integrity,
}

enum Encrypt {
    Null,
    AesCtr(Ctr),
    AesCbc(AesEncrypt, IvKey),
    TripleDesCbc(TripleDes, IvKey),
    CamelliaCbc(Camellia, IvKey),
}

enum Decrypt {
    Null,
    AesCtr(Ctr),
    AesCbc(AesDecrypt),
    TripleDesCbc(TripleDes),
    CamelliaCbc(Camellia),
}

impl Sealing {
    pub(super) fn new(algorithm: &Encryption, keys: &KeyMaterial) -> Result<Self, KeyError> {
        let key = &keys.encryption_key[..];
        let encrypt = match algorithm.kind {
            Kind::AesCtr => Encrypt::AesCtr(Ctr::new(key)?),
            Kind::AesCbc => Encrypt::AesCbc(AesEncrypt::new(key)?, IvKey::new()?),
            Kind::TripleDesCbc => Encrypt::TripleDesCbc(TripleDes::new(key)?, IvKey::new()?),
            Kind::CamelliaCbc => Encrypt::CamelliaCbc(Camellia::new(key)?, IvKey::new()?),
            _ => Encrypt::Null,
        };
        Ok(Self {
            encrypt,
            iv: algorithm.iv,
            integrity: Integrity::new(keys.integrity, &keys.integrity_key)?,
        })
    }

    pub(super) fn icv_len(&self) -> usize {
        self.integrity.icv_len()
    }

    #[inline]
    pub(super) fn write_iv(&self, number: u64, iv: &mut [u8]) {
        match &self.encrypt {
            Encrypt::Null => {}
            Encrypt::AesCtr(_) => iv.copy_from_slice(&number.to_be_bytes()),
            Encrypt::AesCbc(_, key)
            | Encrypt::TripleDesCbc(_, key)
            | Encrypt::CamelliaCbc(_, key) => iv.copy_from_slice(&key.iv(number)[..iv.len()]),
        }
    }

    pub(super) fn seal(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let at = esp.len().checked_sub(self.icv_len()).ok_or(Refused)?;
        let (covered, icv) = esp.split_at_mut(at);
        let (iv, text) = split(covered, self.iv)?;
        match &self.encrypt {
            Encrypt::Null => {}
            Encrypt::AesCtr(ctr) => ctr.apply(sized(iv)?, text),
            Encrypt::AesCbc(key, _) => key.cbc(sized(iv)?, text)?,
            Encrypt::TripleDesCbc(key, _) => key.encrypt(sized(iv)?, text)?,
            Encrypt::CamelliaCbc(key, _) => key.encrypt(sized(iv)?, text)?,
        }
        self.integrity.sign(covered, &number.tail(), icv)
    }
}

impl Opening {
    pub(super) fn new(algorithm: &Encryption, keys: &KeyMaterial) -> Result<Self, KeyError> {
        let key = &keys.encryption_key[..];
        let decrypt = match algorithm.kind {
            Kind::AesCtr => Decrypt::AesCtr(Ctr::new(key)?),
            Kind::AesCbc => Decrypt::AesCbc(AesDecrypt::new(key)?),
            Kind::TripleDesCbc => Decrypt::TripleDesCbc(TripleDes::new(key)?),
            Kind::CamelliaCbc => Decrypt::CamelliaCbc(Camellia::new(key)?),
            _ => Decrypt::Null,
        };
        Ok(Self {
            decrypt,
            iv: algorithm.iv,
            integrity: Integrity::new(keys.integrity, &keys.integrity_key)?,
        })
    }

    pub(super) fn icv_len(&self) -> usize {
        self.integrity.icv_len()
    }

    /// The ICV first: nothing that it does not cover is decrypted (RFC 4303 section 3.4.4.1).
    pub(super) fn open(&self, esp: &mut [u8], number: Number) -> Result<(), Refused> {
        let at = esp.len().checked_sub(self.icv_len()).ok_or(Refused)?;
        let (covered, icv) = esp.split_at_mut(at);
        self.integrity.verify(covered, &number.tail(), icv)?;
        let (iv, text) = split(covered, self.iv)?;
        match &self.decrypt {
            Decrypt::Null => {}
            Decrypt::AesCtr(ctr) => ctr.apply(sized(iv)?, text),
            Decrypt::AesCbc(key) => key.cbc(sized(iv)?, text)?,
            Decrypt::TripleDesCbc(key) => key.decrypt(sized(iv)?, text)?,
            Decrypt::CamelliaCbc(key) => key.decrypt(sized(iv)?, text)?,
        }
        Ok(())
    }
}

/// IV and text behind the header.
fn split(covered: &mut [u8], iv: usize) -> Result<(&[u8], &mut [u8]), Refused> {
    let rest = covered.get_mut(HEADER_LEN..).ok_or(Refused)?;
    let (iv, text) = rest.split_at_mut_checked(iv).ok_or(Refused)?;
    Ok((iv, text))
}

fn sized<const N: usize>(iv: &[u8]) -> Result<&[u8; N], Refused> {
    iv.try_into().map_err(|_| Refused)
}

/// AES-CTR, the same in both directions (RFC 3686).
struct Ctr {
    key: AesEncrypt,
    nonce: Zeroizing<[u8; NONCE_LEN]>,
}

impl Ctr {
    /// Key and nonce, which stands behind it (RFC 3686 section 5.1).
    fn new(material: &[u8]) -> Result<Self, KeyError> {
        let (key, nonce) = material
            .split_last_chunk::<NONCE_LEN>()
            .ok_or(KeyError::Refused)?;
        Ok(Self {
            key: AesEncrypt::new(key)?,
            nonce: Zeroizing::new(*nonce),
        })
    }

    /// The counter block: nonce, IV, and a block counter from 1 (RFC 3686 section 4).
    fn apply(&self, iv: &[u8; CTR_IV_LEN], text: &mut [u8]) {
        let mut counter = [0; AES_BLOCK];
        counter[..NONCE_LEN].copy_from_slice(&self.nonce[..]);
        counter[NONCE_LEN..NONCE_LEN + CTR_IV_LEN].copy_from_slice(iv);
        counter[AES_BLOCK - 1] = 1;
        self.key.ctr(&counter, text);
    }
}

/// Makes the IVs of CBC: the sequence number, encrypted under a random key of the SA's own (NIST SP 800-38A appendix
/// C). A cipher of 8-octet blocks takes half of it.
struct IvKey(AesEncrypt);

impl IvKey {
    fn new() -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; 16]);
        fill_random(&mut key[..])?;
        Ok(Self(AesEncrypt::new(&key[..])?))
    }

    #[inline]
    fn iv(&self, number: u64) -> [u8; AES_BLOCK] {
        let mut block = u128::from(number).to_be_bytes();
        self.0.block(&mut block);
        block
    }
}
