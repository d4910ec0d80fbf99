//! ML-KEM (FIPS 203), with the random octets of the caller.
//!
//! The arithmetic is AWS-LC's, by its derandomised calls; this crate checks lengths, and sees to it that nothing secret is
//! left in memory. All `unsafe` is the calls into that library.

use std::ptr::{null_mut, NonNull};

use aws_lc_sys as ffi;
use thiserror::Error;
use zeroize::Zeroizing;

/// Octets of the seed `d || z` of a key pair (FIPS 203 section 7.1).
pub const SEED: usize = 64;
/// Octets of the message `m` that an encapsulation begins with (FIPS 203 section 7.2).
pub const MESSAGE: usize = 32;
/// Octets of the shared secret.
pub const SHARED: usize = 32;

/// Why a computation did not happen.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Error {
    /// Not one of the parameter sets that we have.
    #[error("there is no ML-KEM parameter set numbered {0}")]
    UnknownSet(u16),
    /// The encapsulation key fails the checks of FIPS 203 section 7.2.
    #[error("not an encapsulation key")]
    BadEncapsulationKey,
    /// A seed, a key of our own or a ciphertext of another length.
    #[error("an input of the wrong length")]
    BadLength,
    /// The library failed: it has no memory, or its own test of a new pair failed.
    #[error("the library failed")]
    Failed,
}

/// A parameter set, by its number in transform type 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Method 35.
    MlKem512,
    /// Method 36.
    MlKem768,
    /// Method 37.
    MlKem1024,
}

impl Set {
    /// The set of this number.
    pub fn new(number: u16) -> Result<Self, Error> {
        match number {
            35 => Ok(Self::MlKem512),
            36 => Ok(Self::MlKem768),
            37 => Ok(Self::MlKem1024),
            other => Err(Error::UnknownSet(other)),
        }
    }

    /// Octets of an encapsulation key (FIPS 203 table 3).
    pub fn encapsulation_key(self) -> usize {
        match self {
            Self::MlKem512 => 800,
            Self::MlKem768 => 1184,
            Self::MlKem1024 => 1568,
        }
    }

    /// Octets of a decapsulation key.
    pub fn decapsulation_key(self) -> usize {
        match self {
            Self::MlKem512 => 1632,
            Self::MlKem768 => 2400,
            Self::MlKem1024 => 3168,
        }
    }

    /// Octets of a ciphertext.
    pub fn ciphertext(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }

    fn nid(self) -> i32 {
        match self {
            Self::MlKem512 => ffi::NID_MLKEM512,
            Self::MlKem768 => ffi::NID_MLKEM768,
            Self::MlKem1024 => ffi::NID_MLKEM1024,
        }
    }
}

/// A fresh pair of a seed: the encapsulation key, and the decapsulation key.
pub fn generate(set: Set, seed: &[u8]) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Error> {
    let mut length = SEED;
    if seed.len() != length {
        return Err(Error::BadLength);
    }
    // SAFETY: a null engine is the default one; the result is owned by `Context`.
    let context = Context::own(unsafe { ffi::EVP_PKEY_CTX_new_id(ffi::EVP_PKEY_KEM, null_mut()) })?;
    let mut pair = null_mut();
    // SAFETY: the context is live, the seed has the length that is given, and `pair` is a place for a pointer.
    let done = unsafe {
        ffi::EVP_PKEY_CTX_kem_set_params(context.0.as_ptr(), set.nid()) == 1
            && ffi::EVP_PKEY_keygen_init(context.0.as_ptr()) == 1
            && ffi::EVP_PKEY_keygen_deterministic(
                context.0.as_ptr(),
                &mut pair,
                seed.as_ptr(),
                &mut length,
            ) == 1
    };
    if !done {
        return Err(Error::Failed);
    }
    let pair = Key::own(pair)?;
    let mut public = vec![0_u8; set.encapsulation_key()];
    let mut secret = Zeroizing::new(vec![0_u8; set.decapsulation_key()]);
    let (mut public_length, mut secret_length) = (public.len(), secret.len());
    // SAFETY: both buffers have the lengths that are given.
    let done = unsafe {
        ffi::EVP_PKEY_get_raw_public_key(pair.0.as_ptr(), public.as_mut_ptr(), &mut public_length)
            == 1
            && ffi::EVP_PKEY_get_raw_private_key(
                pair.0.as_ptr(),
                secret.as_mut_ptr(),
                &mut secret_length,
            ) == 1
    };
    if done && public_length == public.len() && secret_length == secret.len() {
        Ok((public, secret))
    } else {
        Err(Error::Failed)
    }
}

/// The ciphertext for an encapsulation key, and the secret that both sides share by it.
///
/// The key must have its length, and all its coefficients must be below the modulus (FIPS 203 section 7.2).
pub fn encapsulate(
    set: Set,
    key: &[u8],
    message: &[u8],
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Error> {
    let mut message_length = MESSAGE;
    if message.len() != message_length {
        return Err(Error::BadLength);
    }
    if key.len() != set.encapsulation_key() || !is_reduced(set, key) {
        return Err(Error::BadEncapsulationKey);
    }
    // SAFETY: pointer and length are of one slice; the result is owned by `Key`.
    let key = Key::own(unsafe {
        ffi::EVP_PKEY_kem_new_raw_public_key(set.nid(), key.as_ptr(), key.len())
    })?;
    let context = Context::of(&key)?;
    let mut ciphertext = vec![0_u8; set.ciphertext()];
    let mut shared = Zeroizing::new(vec![0_u8; SHARED]);
    let (mut ciphertext_length, mut shared_length) = (ciphertext.len(), shared.len());
    // SAFETY: every buffer has the length that is given with it.
    let done = unsafe {
        ffi::EVP_PKEY_encapsulate_deterministic(
            context.0.as_ptr(),
            ciphertext.as_mut_ptr(),
            &mut ciphertext_length,
            shared.as_mut_ptr(),
            &mut shared_length,
            message.as_ptr(),
            &mut message_length,
        )
    };
    if done == 1 && ciphertext_length == ciphertext.len() && shared_length == shared.len() {
        Ok((ciphertext, shared))
    } else {
        Err(Error::Failed)
    }
}

/// The shared secret of a ciphertext. A ciphertext that nobody made gives a secret that nobody knows (FIPS 203 section
/// 7.3): what went wrong is never visible here.
pub fn decapsulate(set: Set, key: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if key.len() != set.decapsulation_key() || ciphertext.len() != set.ciphertext() {
        return Err(Error::BadLength);
    }
    // SAFETY: pointer and length are of one slice; the result is owned by `Key`.
    let key = Key::own(unsafe {
        ffi::EVP_PKEY_kem_new_raw_secret_key(set.nid(), key.as_ptr(), key.len())
    })?;
    let context = Context::of(&key)?;
    let mut shared = Zeroizing::new(vec![0_u8; SHARED]);
    let mut shared_length = shared.len();
    // SAFETY: every buffer has the length that is given with it.
    let done = unsafe {
        ffi::EVP_PKEY_decapsulate(
            context.0.as_ptr(),
            shared.as_mut_ptr(),
            &mut shared_length,
            ciphertext.as_ptr(),
            ciphertext.len(),
        )
    };
    if done == 1 && shared_length == shared.len() {
        Ok(shared)
    } else {
        Err(Error::Failed)
    }
}

/// The modulus check of FIPS 203 section 7.2: every coefficient of 12 bits is less than 3329. The key is public, so that
/// nothing has to be hidden.
fn is_reduced(set: Set, key: &[u8]) -> bool {
    const MODULUS: u16 = 3329;
    let polynomials = &key[..set.encapsulation_key() - 32];
    polynomials.chunks_exact(3).all(|three| {
        let (a, b, c) = (
            u16::from(three[0]),
            u16::from(three[1]),
            u16::from(three[2]),
        );
        (a | (b & 0x0f) << 8) < MODULUS && (b >> 4 | c << 4) < MODULUS
    })
}

/// A key of the library, freed when dropped; the library wipes it then.
struct Key(NonNull<ffi::EVP_PKEY>);

impl Key {
    fn own(pointer: *mut ffi::EVP_PKEY) -> Result<Self, Error> {
        NonNull::new(pointer).map(Self).ok_or(Error::Failed)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once.
        unsafe { ffi::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// What the library works in.
struct Context(NonNull<ffi::EVP_PKEY_CTX>);

impl Context {
    fn own(pointer: *mut ffi::EVP_PKEY_CTX) -> Result<Self, Error> {
        NonNull::new(pointer).map(Self).ok_or(Error::Failed)
    }

    fn of(key: &Key) -> Result<Self, Error> {
        // SAFETY: the key is live, and the context holds a reference of its own.
        Self::own(unsafe { ffi::EVP_PKEY_CTX_new(key.0.as_ptr(), null_mut()) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once.
        unsafe { ffi::EVP_PKEY_CTX_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [Set; 3] = [Set::MlKem512, Set::MlKem768, Set::MlKem1024];

    #[test]
    fn both_sides_agree() {
        for set in SETS {
            let (public, secret) = generate(set, &[7; SEED]).unwrap();
            let (ciphertext, ours) = encapsulate(set, &public, &[9; MESSAGE]).unwrap();
            assert_eq!(*decapsulate(set, &secret, &ciphertext).unwrap(), *ours);
        }
    }

    #[test]
    fn the_same_seeds_make_the_same_octets() {
        for set in SETS {
            assert_eq!(generate(set, &[1; SEED]), generate(set, &[1; SEED]));
            assert_ne!(generate(set, &[1; SEED]), generate(set, &[2; SEED]));
        }
    }

    #[test]
    fn a_forged_ciphertext_gives_another_secret_and_no_error() {
        for set in SETS {
            let (public, secret) = generate(set, &[7; SEED]).unwrap();
            let (mut ciphertext, ours) = encapsulate(set, &public, &[9; MESSAGE]).unwrap();
            ciphertext[0] ^= 1;
            assert_ne!(*decapsulate(set, &secret, &ciphertext).unwrap(), *ours);
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for set in SETS {
            let (public, secret) = generate(set, &[7; SEED]).unwrap();
            for place in [0, 3, set.encapsulation_key() - 32 - 3] {
                let mut unreduced = public.clone();
                unreduced[place] = 0x01; // 0xd01 is 3329, the modulus itself
                unreduced[place + 1] = unreduced[place + 1] & 0xf0 | 0x0d;
                assert_eq!(
                    encapsulate(set, &unreduced, &[9; MESSAGE]).map(|_| ()),
                    Err(Error::BadEncapsulationKey)
                );
            }
            let short = &public[1..];
            assert_eq!(
                encapsulate(set, short, &[9; MESSAGE]).map(|_| ()),
                Err(Error::BadEncapsulationKey)
            );
            assert_eq!(
                generate(set, &[7; SEED - 1]).map(|_| ()),
                Err(Error::BadLength)
            );
            assert_eq!(
                decapsulate(set, &secret, &vec![0; set.ciphertext() - 1]).map(|_| ()),
                Err(Error::BadLength)
            );
        }
        assert_eq!(Set::new(34), Err(Error::UnknownSet(34)));
    }
}
