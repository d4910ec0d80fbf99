//! Camellia-CBC (RFC 3713, RFC 4312).

use ::camellia::{Camellia128, Camellia192, Camellia256};
use cbc::cipher::consts::U16;
use cbc::cipher::generic_array::GenericArray;
use cbc::cipher::{
    BlockCipher, BlockDecrypt, BlockDecryptMut, BlockEncrypt, BlockEncryptMut, BlockSizeUser,
    InnerIvInit, KeyInit,
};

use crate::Refused;

/// Octets of a block.
pub const BLOCK: usize = 16;

/// A key, for both directions. Boxed, so that no copy is left where it was moved from.
pub enum Camellia {
    /// A key of 16 octets.
    Bits128(Box<Camellia128>),
    /// A key of 24 octets.
    Bits192(Box<Camellia192>),
    /// A key of 32 octets.
    Bits256(Box<Camellia256>),
}

impl Camellia {
    /// Make a key of 16, 24 or 32 octets ready.
    pub fn new(key: &[u8]) -> Result<Self, Refused> {
        match key.len() {
            16 => ready(key).map(Self::Bits128),
            24 => ready(key).map(Self::Bits192),
            32 => ready(key).map(Self::Bits256),
            _ => Err(Refused),
        }
    }

    /// Encrypt whole blocks in place.
    pub fn encrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Bits128(key) => encrypt(&**key, iv, text),
            Self::Bits192(key) => encrypt(&**key, iv, text),
            Self::Bits256(key) => encrypt(&**key, iv, text),
        }
    }

    /// Decrypt whole blocks in place.
    pub fn decrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Bits128(key) => decrypt(&**key, iv, text),
            Self::Bits192(key) => decrypt(&**key, iv, text),
            Self::Bits256(key) => decrypt(&**key, iv, text),
        }
    }
}

fn ready<C: KeyInit>(key: &[u8]) -> Result<Box<C>, Refused> {
    C::new_from_slice(key).map(Box::new).map_err(|_| Refused)
}

fn encrypt<C>(key: &C, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockEncrypt + BlockCipher + BlockSizeUser<BlockSize = U16>,
{
    if text.len() % BLOCK != 0 {
        return Err(Refused);
    }
    let mut chain = cbc::Encryptor::inner_iv_init(key, iv.into());
    for block in text.chunks_exact_mut(BLOCK) {
        chain.encrypt_block_mut(GenericArray::from_mut_slice(block));
    }
    Ok(())
}

fn decrypt<C>(key: &C, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockDecrypt + BlockCipher + BlockSizeUser<BlockSize = U16>,
{
    if text.len() % BLOCK != 0 {
        return Err(Refused);
    }
    let mut chain = cbc::Decryptor::inner_iv_init(key, iv.into());
    for block in text.chunks_exact_mut(BLOCK) {
        chain.decrypt_block_mut(GenericArray::from_mut_slice(block));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;

    /// RFC 3713 appendix A: one block, which CBC with an IV of zeros leaves as it is.
    #[test]
    fn blocks_of_rfc3713() {
        let rows = [
            ("", "67673138549669730857065648eabe43"),
            ("0011223344556677", "b4993401b3e996f84ee5cee7d79b09b9"),
            (
                "00112233445566778899aabbccddeeff",
                "9acc237dff16d76c20ef7c919e3a7509",
            ),
        ];
        for (more, ciphertext) in rows {
            let block = "0123456789abcdeffedcba9876543210";
            let key = Camellia::new(&unhex(&format!("{block}{more}"))).expect("a key");
            let mut text = unhex(block);
            assert_eq!(key.encrypt(&[0; 16], &mut text), Ok(()));
            assert_eq!(text, unhex(ciphertext));
            assert_eq!(key.decrypt(&[0; 16], &mut text), Ok(()));
            assert_eq!(text, unhex(block));
        }
    }

    /// OpenSSL's test vectors of CBC-CAMELLIA128, CBC-CAMELLIA192 and CBC-CAMELLIA256 (evptests), three blocks each.
    #[test]
    fn cbc_of_openssl() {
        let plaintext = unhex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
             30c81c46a35ce411e5fbc1191a0a52ef",
        );
        let rows = [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                "1607cf494b36bbf00daeb0b503c831aba2f2cf671629ef7840c5a5dfb5074887
                 0f06165008cf8b8b5a63586362543e54",
            ),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "2a4830ab5ac4a1a2405955fd2195cf935d5a869bd14ce54264f892a6dd2ec3d5
                 37d359c3349836d884e310addf68c449",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "e6cfa35fc02b134a4d2c0b6737ac3eda36cbeb73bd504b4070b1b7de2b21eb50
                 e31a6055297d96ca3330cdf1b1860a83",
            ),
        ];
        let iv = unhex("000102030405060708090a0b0c0d0e0f");
        for (key, ciphertext) in rows {
            let iv = iv.clone().try_into().expect("a block");
            let key = Camellia::new(&unhex(key)).expect("a key");
            let mut text = plaintext.clone();
            assert_eq!(key.encrypt(&iv, &mut text), Ok(()));
            assert_eq!(text, unhex(ciphertext));
            assert_eq!(key.decrypt(&iv, &mut text), Ok(()));
            assert_eq!(text, plaintext);
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for length in [0, 8, 15, 33] {
            assert!(Camellia::new(&vec![0; length]).is_err());
        }
        let key = Camellia::new(&[1; 16]).expect("a key");
        assert_eq!(key.encrypt(&[0; 16], &mut [0; 17]), Err(Refused));
        assert_eq!(key.decrypt(&[0; 16], &mut [0; 15]), Err(Refused));
    }
}
