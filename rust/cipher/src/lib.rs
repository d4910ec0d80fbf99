//! The algorithms of ESP and AH, each with its key made ready once.
//!
//! Every type here is shared by threads, allocates only when it is made, wipes its key when it is dropped and never
//! prints it. The primitives are those of AWS-LC (`aws-lc-sys`), and of RustCrypto where AWS-LC has none that fits: CCM
//! with a nonce of 11 octets, and Camellia. All `unsafe` is the calls into AWS-LC; what is safe to say about lengths is
//! checked before each of them.
//!
//! | type | for |
//! | --- | --- |
//! | [`Aead`] | AES-GCM (RFC 4106), ChaCha20-Poly1305 (RFC 7634), with ICVs of 8, 12 or 16 octets |
//! | [`Ccm`] | AES-CCM (RFC 4309) |
//! | [`Gmac`] | AES-GMAC (RFC 4543) |
//! | [`AesEncrypt`], [`AesDecrypt`] | AES-CBC (RFC 3602), AES-CTR (RFC 3686), one block |
//! | [`TripleDes`] | 3DES-CBC (RFC 2451) |
//! | [`Camellia`] | Camellia-CBC (RFC 4312) |
//! | [`Hmac`] | HMAC (RFC 2104) with MD5, SHA-1 and SHA-2 |
//! | [`CbcMac`] | AES-XCBC (RFC 3566), AES-CMAC (RFC 4494) |

mod aead;
mod aes;
mod camellia;
mod cbc_mac;
mod ccm;
mod constant_time;
mod gmac;
mod hmac;
mod random;
mod triple_des;

pub use self::aead::{Aead, AeadAlgorithm};
pub use self::aes::{AesDecrypt, AesEncrypt, BLOCK as AES_BLOCK};
pub use self::camellia::{Camellia, BLOCK as CAMELLIA_BLOCK};
pub use self::cbc_mac::CbcMac;
pub use self::ccm::{Ccm, NONCE_LEN as CCM_NONCE_LEN};
pub use self::constant_time::equal;
pub use self::gmac::Gmac;
pub use self::hmac::{Hash, Hmac, MAX_DIGEST};
pub use self::random::fill as fill_random;
pub use self::triple_des::{TripleDes, BLOCK as TRIPLE_DES_BLOCK};

/// The operation did not happen: a wrong ICV or a text that is not made of whole blocks, and for a new key a wrong
/// length. It says no more, for an attacker learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub struct Refused;

/// The library's way to say yes.
fn check(result: std::os::raw::c_int) -> Result<(), Refused> {
    if result == 1 {
        Ok(())
    } else {
        Err(Refused)
    }
}

#[cfg(test)]
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|digit| !digit.is_ascii_whitespace())
        .collect();
    let octet = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("two digits")
    };
    digits.chunks(2).map(octet).collect()
}
