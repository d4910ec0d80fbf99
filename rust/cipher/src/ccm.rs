//! AES-CCM (NIST SP 800-38C, RFC 3610) with the nonce of ESP (RFC 4309), which AWS-LC has not.

use ::aes::{Aes128, Aes192, Aes256};
use ::ccm::aead::{generic_array::ArrayLength, AeadInPlace, KeyInit};
use ::ccm::consts::{U11, U12, U16, U8};
use ::ccm::{Ccm as Mode, NonceSize, TagSize};

use crate::Refused;

/// Octets of the nonce: 3 of salt, 8 of IV (RFC 4309 section 4).
pub const NONCE_LEN: usize = 11;

/// A key of AES-CCM, ready for use.
pub struct Ccm {
    mode: Box<dyn Combined>,
    icv: usize,
}

impl Ccm {
    /// Make a key of 16, 24 or 32 octets ready. `icv`: 8, 12 or 16 octets.
    pub fn new(key: &[u8], icv: usize) -> Result<Self, Refused> {
        let mode = match (key.len(), icv) {
            (16, 8) => ready::<Mode<Aes128, U8, U11>>(key),
            (16, 12) => ready::<Mode<Aes128, U12, U11>>(key),
            (16, 16) => ready::<Mode<Aes128, U16, U11>>(key),
            (24, 8) => ready::<Mode<Aes192, U8, U11>>(key),
            (24, 12) => ready::<Mode<Aes192, U12, U11>>(key),
            (24, 16) => ready::<Mode<Aes192, U16, U11>>(key),
            (32, 8) => ready::<Mode<Aes256, U8, U11>>(key),
            (32, 12) => ready::<Mode<Aes256, U12, U11>>(key),
            (32, 16) => ready::<Mode<Aes256, U16, U11>>(key),
            _ => Err(Refused),
        }?;
        Ok(Self { mode, icv })
    }

    /// Encrypt `text` in place, and write the ICV of it and of `aad`.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &mut [u8],
    ) -> Result<(), Refused> {
        if icv.len() != self.icv {
            return Err(Refused);
        }
        self.mode.seal(nonce, aad, text, icv)
    }

    /// Decrypt `text` in place if the ICV is that of it and of `aad`; otherwise it is filled with zeros.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Refused> {
        if icv.len() != self.icv {
            return Err(Refused);
        }
        self.mode.open(nonce, aad, text, icv)
    }
}

fn ready<M: KeyInit + Combined + 'static>(key: &[u8]) -> Result<Box<dyn Combined>, Refused> {
    match M::new_from_slice(key) {
        Ok(mode) => Ok(Box::new(mode)),
        Err(_) => Err(Refused),
    }
}

/// The mode, whatever the lengths of key and ICV, which are types there.
trait Combined: Send + Sync {
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &mut [u8],
    ) -> Result<(), Refused>;

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Refused>;
}

impl<C, M> Combined for Mode<C, M, U11>
where
    U11: NonceSize,
    M: ArrayLength<u8> + TagSize,
    Self: AeadInPlace<NonceSize = U11, TagSize = M> + Send + Sync,
    C: ::aes::cipher::BlockCipher
        + ::aes::cipher::BlockSizeUser<BlockSize = U16>
        + ::aes::cipher::BlockEncrypt,
{
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &mut [u8],
    ) -> Result<(), Refused> {
        let tag = self.encrypt_in_place_detached(nonce.into(), aad, text);
        icv.copy_from_slice(&tag.map_err(|_| Refused)?);
        Ok(())
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Refused> {
        self.decrypt_in_place_detached(nonce.into(), aad, text, icv.into())
            .map_err(|_| Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;

    /// NIST CAVP, CCM Variable Nonce Test (VNT128, VNT192, VNT256), the first case of `[Nlen = 11]` of each.
    #[test]
    fn vnt_of_cavp() {
        let rows = [
            (
                "e6ab9e70a4fb51b01c2e262233e64c0d",
                "74e689eb5af9441dd690a6",
                "42f6518ee0fbe42f28e13b4bb2eb60517b37c9744394d9143393a879c3e107c7",
                "ba15916733550d7aa82b2f6b117cd3f54c83ddc16cd0288a",
                "dcc151443288f35d39ed8fae6f0ce1d1eb656f4f7fd65c0b16f322ce85d7c54e71ac560fd4da9651",
            ),
            (
                "af84c6f302c59aeee6d5728ed5da2e3c64a5a781c52c4d1b",
                "df990c42a268950677c433",
                "a6ab5d78427f297a4b7e21f1091ff3a5b20caa3fe1cbcb09459d9df596a6c8e1",
                "6db41aeb5f7c24df8929dbc30483b3c7934b3bd1cdce5bb9",
                "8c9328258bf71970d33e23a3ff81cc1c9cbe196a1294264bfd6a7255e4801963bb30a63de3fc5b82",
            ),
            (
                "97bc7482a87ba005475dfa3448f59d4b3f9c4c969d08b39b1b21ef965c0f5125",
                "0bcf78103ec52d6df28887",
                "049c10f0cb37ae08eae2d0766563b7c5a8454f841c2061a4f71a0a2158ae6ce5",
                "b99bf4dc781795fc4d3a8467b06e1665d4e543657f23129f",
                "0d3891fa0caac1f7ebe41b480920ffd34d4155064c24f3b17a483163dd8f228d1f20cd4f86cf38fd",
            ),
        ];
        for (key, nonce, aad, plaintext, sealed) in rows {
            let ccm = Ccm::new(&unhex(key), 16).expect("a key");
            let nonce = unhex(nonce).try_into().expect("11 octets");
            let (mut text, mut icv) = (unhex(plaintext), [0; 16]);
            assert_eq!(ccm.seal(&nonce, &unhex(aad), &mut text, &mut icv), Ok(()));
            assert_eq!([&text[..], &icv].concat(), unhex(sealed));
            assert_eq!(ccm.open(&nonce, &unhex(aad), &mut text, &icv), Ok(()));
            assert_eq!(text, unhex(plaintext));
        }
    }

    /// ICVs of 8 and 12 octets, computed with the AES-CCM of OpenSSL 4 through pyca/cryptography 50.
    #[test]
    fn short_icvs_of_openssl() {
        let rows = [
            (
                16,
                8,
                "855e1a8e3ad1bb15b30255c4f0b820aa8b3918654acec1f0511137fb054658b82989f4010e390470bb657c397ba479dd",
            ),
            (
                16,
                12,
                "855e1a8e3ad1bb15b30255c4f0b820aa8b3918654acec1f0511137fb054658b82989f4010e3904702ccd304b37e5a2ed2e6cbfbe",
            ),
            (
                24,
                8,
                "5271f41fdd2a2e3afc8a814d93f195b2e4cb46f17483a1af8863e401723f2f064410a0c4e788fcf417aa35c6e86ab1e9",
            ),
            (
                24,
                12,
                "5271f41fdd2a2e3afc8a814d93f195b2e4cb46f17483a1af8863e401723f2f064410a0c4e788fcf421f2d5d7544855d9cfcbba75",
            ),
            (
                32,
                8,
                "59bb7f23b8e9a6d750b16f4d4d34deb048ee34797d67f5a0b5c0f6d79770bd7af063ce20b61a8bc571a653b790e2ad58",
            ),
            (
                32,
                12,
                "59bb7f23b8e9a6d750b16f4d4d34deb048ee34797d67f5a0b5c0f6d79770bd7af063ce20b61a8bc55786eb82ad353c5560e09e02",
            ),
        ];
        for (key_len, icv_len, sealed) in rows {
            let key: Vec<u8> = (0..key_len).collect();
            let ccm = Ccm::new(&key, icv_len).expect("a key");
            let nonce = [0xa0, 0xa1, 0xa2, 1, 2, 3, 4, 5, 6, 7, 8];
            let aad = [0, 0, 1, 0, 0, 0, 0, 9];
            let (mut text, mut icv) = (
                *b"forty octets, two blocks and half of one",
                vec![0; icv_len],
            );
            assert_eq!(ccm.seal(&nonce, &aad, &mut text, &mut icv), Ok(()));
            assert_eq!([&text[..], &icv].concat(), unhex(sealed));
            assert_eq!(ccm.open(&nonce, &aad, &mut text, &icv), Ok(()));
            assert_eq!(text, *b"forty octets, two blocks and half of one");
        }
    }

    #[test]
    fn tampering_is_noticed() {
        let ccm = Ccm::new(&[7; 16], 8).expect("a key");
        let (mut sealed, mut icv) = ([9; 40], [0; 8]);
        assert_eq!(ccm.seal(&[1; 11], b"aad", &mut sealed, &mut icv), Ok(()));
        let mut text = sealed;
        text[39] ^= 1;
        assert_eq!(ccm.open(&[1; 11], b"aad", &mut text, &icv), Err(Refused));
        assert_eq!(text, [0; 40]);
        let mut text = sealed;
        assert_eq!(ccm.open(&[1; 11], b"aae", &mut text, &icv), Err(Refused));
        let mut text = sealed;
        assert_eq!(
            ccm.open(&[1; 11], b"aad", &mut text, &icv[..7]),
            Err(Refused)
        );
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for (key_len, icv) in [(0, 16), (15, 16), (16, 0), (16, 4), (16, 10), (33, 8)] {
            assert!(Ccm::new(&vec![0; key_len], icv).is_err());
        }
    }
}
