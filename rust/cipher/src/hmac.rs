//! HMAC (RFC 2104) with the hashes of AWS-LC.
//!
//! The states after the two padded keys are computed once per key: a packet costs a copy of each, the hash of what is
//! signed, and one block more. AWS-LC's own HMAC does the same, with contexts of 1300 octets to copy and to wipe.

use std::mem::MaybeUninit;

use aws_lc_sys as ffi;
use zeroize::{Zeroize, Zeroizing};

/// Octets of the longest digest.
pub const MAX_DIGEST: usize = 64;
/// Octets of the longest block.
const MAX_BLOCK: usize = 128;

/// A hash for HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// MD5 (RFC 1321), for HMAC-MD5-96 only.
    Md5,
    /// SHA-1 (RFC 3174), for HMAC-SHA1-96.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Octets of the digest, and of the key that IPsec demands (RFC 2403, RFC 2404, RFC 4868 section 2.1.1).
    pub fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A key of HMAC, ready for use.
pub struct Hmac(Keyed);

enum Keyed {
    Md5(Box<States<Md5>>),
    Sha1(Box<States<Sha1>>),
    Sha256(Box<States<Sha256>>),
    Sha384(Box<States<Sha384>>),
    Sha512(Box<States<Sha512>>),
}

impl Hmac {
    /// Make a key ready. HMAC takes every length; the caller knows which one the transform demands.
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        Self(match hash {
            Hash::Md5 => Keyed::Md5(States::new(key)),
            Hash::Sha1 => Keyed::Sha1(States::new(key)),
            Hash::Sha256 => Keyed::Sha256(States::new(key)),
            Hash::Sha384 => Keyed::Sha384(States::new(key)),
            Hash::Sha512 => Keyed::Sha512(States::new(key)),
        })
    }

    /// The HMAC of `octets` and, behind them, `tail`: in the first [`Hash::digest_len`] octets.
    #[inline]
    pub fn sign(&self, octets: &[u8], tail: &[u8]) -> [u8; MAX_DIGEST] {
        match &self.0 {
            Keyed::Md5(states) => states.sign(octets, tail),
            Keyed::Sha1(states) => states.sign(octets, tail),
            Keyed::Sha256(states) => states.sign(octets, tail),
            Keyed::Sha384(states) => states.sign(octets, tail),
            Keyed::Sha512(states) => states.sign(octets, tail),
        }
    }
}

/// The states of the inner and the outer hash, behind the padded key.
struct States<E: Engine> {
    inner: State<E>,
    outer: State<E>,
}

impl<E: Engine> States<E> {
    fn new(key: &[u8]) -> Box<Self> {
        let mut padded = Zeroizing::new([0; MAX_BLOCK]);
        if key.len() <= E::BLOCK {
            padded[..key.len()].copy_from_slice(key);
        } else {
            let mut digest = State::<E>::new().after(key).finish();
            padded[..MAX_DIGEST].copy_from_slice(&digest);
            digest.zeroize();
        }
        let keyed = |pad: u8| {
            let mut block = padded.clone();
            block.iter_mut().for_each(|octet| *octet ^= pad);
            State::new().after(&block[..E::BLOCK])
        };
        let (inner, outer) = (keyed(0x36), keyed(0x5c));
        Box::new(Self { inner, outer })
    }

    fn sign(&self, octets: &[u8], tail: &[u8]) -> [u8; MAX_DIGEST] {
        let mut inner = State::<E>(self.inner.0);
        inner.update(octets);
        if !tail.is_empty() {
            inner.update(tail);
        }
        let digest = inner.finish();
        let mut outer = State::<E>(self.outer.0);
        outer.update(&digest[..E::DIGEST]);
        outer.finish()
    }
}

/// A hash under way. Wiped when dropped: it stands for the key.
struct State<E: Engine>(E::Raw);

impl<E: Engine> State<E> {
    fn new() -> Self {
        Self(E::begin())
    }

    fn after(mut self, octets: &[u8]) -> Self {
        self.update(octets);
        self
    }

    fn update(&mut self, octets: &[u8]) {
        E::update(&mut self.0, octets);
    }

    /// The digest, in front of zeros.
    fn finish(mut self) -> [u8; MAX_DIGEST] {
        let mut digest = [0; MAX_DIGEST];
        E::finish(&mut self.0, &mut digest);
        digest
    }
}

impl<E: Engine> Drop for State<E> {
    fn drop(&mut self) {
        let pointer: *mut E::Raw = &mut self.0;
        // SAFETY: the state is ours, and plain numbers, for which zeros are as good as any.
        unsafe { ffi::OPENSSL_cleanse(pointer.cast(), size_of::<E::Raw>()) }
    }
}

/// One hash of the library.
trait Engine {
    /// Its state: plain numbers, without pointers.
    type Raw: Copy;
    const BLOCK: usize;
    const DIGEST: usize;
    fn begin() -> Self::Raw;
    fn update(state: &mut Self::Raw, octets: &[u8]);
    fn finish(state: &mut Self::Raw, digest: &mut [u8; MAX_DIGEST]);
}

macro_rules! engine {
    ($name:ident, $raw:ident, $block:literal, $digest:literal, $init:ident, $update:ident, $final:ident) => {
        struct $name;

        impl Engine for $name {
            type Raw = ffi::$raw;
            const BLOCK: usize = $block;
            const DIGEST: usize = $digest;

            fn begin() -> Self::Raw {
                let mut state = MaybeUninit::zeroed();
                // SAFETY: the library writes the state, which is plain numbers and so initialized by zeros already. It
                // cannot fail.
                unsafe {
                    ffi::$init(state.as_mut_ptr());
                    state.assume_init()
                }
            }

            #[inline]
            fn update(state: &mut Self::Raw, octets: &[u8]) {
                // SAFETY: the state was begun; pointer and length are of one slice. It cannot fail.
                unsafe { ffi::$update(state, octets.as_ptr().cast(), octets.len()) };
            }

            #[inline]
            fn finish(state: &mut Self::Raw, digest: &mut [u8; MAX_DIGEST]) {
                // SAFETY: the state was begun; the digest has no more octets than the output. It cannot fail.
                unsafe { ffi::$final(digest.as_mut_ptr(), state) };
            }
        }
    };
}

engine!(Md5, MD5_CTX, 64, 16, MD5_Init, MD5_Update, MD5_Final);
engine!(Sha1, SHA_CTX, 64, 20, SHA1_Init, SHA1_Update, SHA1_Final);
engine!(
    Sha256,
    SHA256_CTX,
    64,
    32,
    SHA256_Init,
    SHA256_Update,
    SHA256_Final
);
engine!(
    Sha384,
    SHA512_CTX,
    128,
    48,
    SHA384_Init,
    SHA384_Update,
    SHA384_Final
);
engine!(
    Sha512,
    SHA512_CTX,
    128,
    64,
    SHA512_Init,
    SHA512_Update,
    SHA512_Final
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;
    use proptest::prelude::*;

    const ALL: [Hash; 5] = [
        Hash::Md5,
        Hash::Sha1,
        Hash::Sha256,
        Hash::Sha384,
        Hash::Sha512,
    ];

    fn assert_signs(hash: Hash, key: &[u8], message: &[u8], expected: &str) {
        let digest = Hmac::new(hash, key).sign(message, &[]);
        assert_eq!(digest[..hash.digest_len()], unhex(expected));
    }

    /// RFC 2202 sections 2 and 3, test cases 1, 2, 3 and 7.
    #[test]
    fn md5_and_sha1_of_rfc2202() {
        assert_signs(
            Hash::Md5,
            &[0x0b; 16],
            b"Hi There",
            "9294727a3638bb1c13f48ef8158bfc9d",
        );
        assert_signs(
            Hash::Md5,
            b"Jefe",
            b"what do ya want for nothing?",
            "750c783e6ab0b503eaa86e310a5db738",
        );
        assert_signs(
            Hash::Md5,
            &[0xaa; 16],
            &[0xdd; 50],
            "56be34521d144c88dbb8c733f0e8b3f6",
        );
        assert_signs(
            Hash::Md5,
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "6f630fad67cda0ee1fb1f562db3aa53e",
        );
        assert_signs(
            Hash::Sha1,
            &[0x0b; 20],
            b"Hi There",
            "b617318655057264e28bc0b6fb378c8ef146be00",
        );
        assert_signs(
            Hash::Sha1,
            b"Jefe",
            b"what do ya want for nothing?",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        );
        assert_signs(
            Hash::Sha1,
            &[0xaa; 20],
            &[0xdd; 50],
            "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
        );
        assert_signs(
            Hash::Sha1,
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        );
    }

    /// RFC 4231 sections 4.2 to 4.4, 4.7 and 4.8: test cases 1, 2, 3, 6 and 7.
    #[test]
    fn sha2_of_rfc4231() {
        let cases: [(&[u8], &[u8], [&str; 3]); 5] = [
            (
                &[0x0b; 20],
                b"Hi There",
                [
                    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                    "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
                ],
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                [
                    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
                ],
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                [
                    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                    "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
                    "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
                ],
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                [
                    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                    "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                    "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
                ],
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
                [
                    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
                    "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
                    "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
                ],
            ),
        ];
        for (key, message, expected) in cases {
            for (hash, expected) in [Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .into_iter()
                .zip(expected)
            {
                assert_signs(hash, key, message, expected);
            }
        }
    }

    /// AWS-LC's own HMAC.
    fn hmac_of_library(hash: Hash, key: &[u8], message: &[u8]) -> [u8; MAX_DIGEST] {
        let mut digest = [0; MAX_DIGEST];
        let mut length = 0;
        // SAFETY: the first are constants of the library; pointers and lengths are of the same slices.
        unsafe {
            let hash = match hash {
                Hash::Md5 => ffi::EVP_md5(),
                Hash::Sha1 => ffi::EVP_sha1(),
                Hash::Sha256 => ffi::EVP_sha256(),
                Hash::Sha384 => ffi::EVP_sha384(),
                Hash::Sha512 => ffi::EVP_sha512(),
            };
            ffi::HMAC(
                hash,
                key.as_ptr().cast(),
                key.len(),
                message.as_ptr(),
                message.len(),
                digest.as_mut_ptr(),
                &mut length,
            );
        }
        digest
    }

    proptest! {
        #[test]
        fn equals_the_library(
            key in proptest::collection::vec(any::<u8>(), 0..200),
            message in proptest::collection::vec(any::<u8>(), 0..700),
            tail in 0usize..8,
        ) {
            let at = message.len().saturating_sub(tail);
            for hash in ALL {
                let hmac = Hmac::new(hash, &key);
                let expected = hmac_of_library(hash, &key, &message);
                prop_assert_eq!(hmac.sign(&message, &[]), expected);
                prop_assert_eq!(hmac.sign(&message[..at], &message[at..]), expected);
            }
        }
    }
}
