//! AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439), with full or shortened ICVs.

use std::ptr::NonNull;

use aws_lc_sys as ffi;

use crate::{check, Refused};

/// Octets of the nonce of these AEADs.
const NONCE_LEN: usize = 12;

/// An AEAD with a nonce of 12 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AeadAlgorithm {
    /// AES-GCM with a key of 16 octets.
    Aes128Gcm,
    /// AES-GCM with a key of 24 octets.
    Aes192Gcm,
    /// AES-GCM with a key of 32 octets.
    Aes256Gcm,
    /// ChaCha20-Poly1305, with a key of 32 octets.
    ChaCha20Poly1305,
}

impl AeadAlgorithm {
    /// Octets of the key.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes192Gcm => 24,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    fn implementation(self) -> *const ffi::EVP_AEAD {
        // SAFETY: they take nothing, and return constants of the library.
        unsafe {
            match self {
                Self::Aes128Gcm => ffi::EVP_aead_aes_128_gcm(),
                Self::Aes192Gcm => ffi::EVP_aead_aes_192_gcm(),
                Self::Aes256Gcm => ffi::EVP_aead_aes_256_gcm(),
                Self::ChaCha20Poly1305 => ffi::EVP_aead_chacha20_poly1305(),
            }
        }
    }
}

/// A key of an AEAD, ready for use.
pub struct Aead {
    context: NonNull<ffi::EVP_AEAD_CTX>,
    icv: usize,
}

// SAFETY: the context belongs to this value alone, and no thread matters to it.
unsafe impl Send for Aead {}
// SAFETY: only sealing and opening take `&self`. The library lets both run concurrently on one context for exactly the
// four algorithms above ("Concurrency" in openssl/aead.h), and frees only in `drop`.
unsafe impl Sync for Aead {}

impl Aead {
    /// Make a key ready. `icv`: octets of the ICV, at most 16.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8], icv: usize) -> Result<Self, Refused> {
        if key.len() != algorithm.key_len() || icv == 0 {
            return Err(Refused);
        }
        // SAFETY: the key is readable for its length; the library checks both lengths, copies the key, and answers null
        // where it refuses.
        let context = unsafe {
            ffi::EVP_AEAD_CTX_new(algorithm.implementation(), key.as_ptr(), key.len(), icv)
        };
        let context = NonNull::new(context).ok_or(Refused)?;
        Ok(Self { context, icv })
    }

    /// Encrypt `text` in place, and write the ICV of it and of `aad`.
    #[inline]
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
        let mut written = 0;
        // SAFETY: all pointers are of slices with the lengths given; input and output are the same text; the ICV has
        // room for `max_out_tag_len` octets, and is another slice than the text, for both are borrowed mutably.
        check(unsafe {
            ffi::EVP_AEAD_CTX_seal_scatter(
                self.context.as_ptr(),
                text.as_mut_ptr(),
                icv.as_mut_ptr(),
                &mut written,
                icv.len(),
                nonce.as_ptr(),
                NONCE_LEN,
                text.as_ptr(),
                text.len(),
                std::ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        })
    }

    /// Decrypt `text` in place if the ICV is that of it and of `aad`; otherwise it is filled with zeros.
    #[inline]
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
        // SAFETY: as in `seal`; the library compares the ICV in constant time.
        check(unsafe {
            ffi::EVP_AEAD_CTX_open_gather(
                self.context.as_ptr(),
                text.as_mut_ptr(),
                nonce.as_ptr(),
                NONCE_LEN,
                text.as_ptr(),
                text.len(),
                icv.as_ptr(),
                icv.len(),
                aad.as_ptr(),
                aad.len(),
            )
        })
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once; the library wipes what it frees.
        unsafe { ffi::EVP_AEAD_CTX_free(self.context.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;

    const ALL: [AeadAlgorithm; 4] = [
        AeadAlgorithm::Aes128Gcm,
        AeadAlgorithm::Aes192Gcm,
        AeadAlgorithm::Aes256Gcm,
        AeadAlgorithm::ChaCha20Poly1305,
    ];

    fn seal(aead: &Aead, nonce: &[u8; 12], text: &[u8], icv: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut text, mut tag) = (text.to_vec(), vec![0; icv]);
        aead.seal(nonce, b"aad", &mut text, &mut tag)
            .expect("sealed");
        (text, tag)
    }

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 4.
    #[test]
    fn gcm_test_case_4() {
        let key = unhex("feffe9928665731c6d6a8f9467308308");
        let aead = Aead::new(AeadAlgorithm::Aes128Gcm, &key, 16).expect("a key");
        let mut text = unhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let nonce = unhex("cafebabefacedbaddecaf888");
        let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let mut icv = [0; 16];
        aead.seal(&nonce.try_into().expect("12"), &aad, &mut text, &mut icv)
            .expect("sealed");
        assert_eq!(
            text,
            unhex(
                "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                 21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            )
        );
        assert_eq!(icv[..], unhex("5bc94fbc3221a5db94fae95ae7121a47"));
    }

    /// RFC 4106 section 6: the shorter ICVs are the first octets of the full one.
    #[test]
    fn short_icvs_are_truncated_ones() {
        for algorithm in ALL {
            let key = vec![7; algorithm.key_len()];
            let (text, full) = {
                let aead = Aead::new(algorithm, &key, 16).expect("a key");
                seal(&aead, &[3; 12], &[9; 100], 16)
            };
            for icv in [8, 12] {
                let aead = Aead::new(algorithm, &key, icv).expect("a key");
                let (mut short_text, short) = seal(&aead, &[3; 12], &[9; 100], icv);
                assert_eq!((&short_text, &short[..]), (&text, &full[..icv]));
                assert_eq!(aead.open(&[3; 12], b"aad", &mut short_text, &short), Ok(()));
                assert_eq!(short_text, [9; 100]);
            }
        }
    }

    /// RFC 4303 section 3.4.4.1: any change is noticed, and nothing of the plaintext is left.
    #[test]
    fn tampering_is_noticed() {
        let aead = Aead::new(AeadAlgorithm::Aes256Gcm, &[7; 32], 16).expect("a key");
        let (text, icv) = seal(&aead, &[3; 12], &[9; 40], 16);
        for at in 0..40 {
            let mut changed = text.clone();
            changed[at] ^= 1;
            let opened = aead.open(&[3; 12], b"aad", &mut changed, &icv);
            assert_eq!((opened, changed), (Err(Refused), vec![0; 40]));
        }
        assert!(aead
            .open(&[3; 12], b"aae", &mut text.clone(), &icv)
            .is_err());
        assert!(aead
            .open(&[4; 12], b"aad", &mut text.clone(), &icv)
            .is_err());
        assert!(aead
            .open(&[3; 12], b"aad", &mut text.clone(), &icv[..15])
            .is_err());
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for algorithm in ALL {
            let key = vec![7; algorithm.key_len()];
            assert!(Aead::new(algorithm, &key[1..], 16).is_err());
            assert!(Aead::new(algorithm, &[], 16).is_err());
            assert!(Aead::new(algorithm, &key, 17).is_err());
            assert!(Aead::new(algorithm, &key, 0).is_err());
        }
    }

    /// One context, used by many threads at once, as the plane's workers do.
    #[test]
    fn a_context_is_shared_by_threads() {
        for algorithm in ALL {
            let key = vec![7; algorithm.key_len()];
            let aead = Aead::new(algorithm, &key, 16).expect("a key");
            let expected: Vec<_> = (0..64u8)
                .map(|n| seal(&aead, &[n; 12], &[n; 1400], 16))
                .collect();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for (n, (text, icv)) in expected.iter().enumerate().cycle().take(2000) {
                            let n = n as u8;
                            let sealed = seal(&aead, &[n; 12], &[n; 1400], 16);
                            assert_eq!((&sealed.0, &sealed.1), (text, icv));
                            let mut opened = sealed.0;
                            assert_eq!(aead.open(&[n; 12], b"aad", &mut opened, icv), Ok(()));
                            assert_eq!(opened, [n; 1400]);
                        }
                    });
                }
            });
        }
    }
}
