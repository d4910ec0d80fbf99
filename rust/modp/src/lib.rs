//! Modular exponentiation in the MODP groups of IKE (RFC 3526), in constant time.
//!
//! The primes and the arithmetic are AWS-LC's; this crate checks what comes in, pads what goes out, and sees to it that
//! nothing secret is left in memory. All `unsafe` is the calls into that library.

use std::ptr::NonNull;

use aws_lc_sys as ffi;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a computation did not happen.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Error {
    /// Not one of the groups that we have.
    #[error("there is no MODP group numbered {0}")]
    UnknownGroup(u16),
    /// A public value outside of 2 to p - 2 (RFC 6989 section 2.1), or of another length than the prime.
    #[error("the public value is not in the range 2 to p - 2, as long as the prime")]
    PublicOutOfRange,
    /// A private exponent of zero octets, of zero, or longer than the prime.
    #[error("the private exponent is empty, zero or longer than the prime")]
    BadPrivate,
    /// The library has no memory.
    #[error("out of memory")]
    OutOfMemory,
}

/// A MODP group, by its number in transform type 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Group 14.
    Modp2048,
    /// Group 15.
    Modp3072,
    /// Group 16.
    Modp4096,
}

impl Group {
    /// The group of this number.
    pub fn new(number: u16) -> Result<Self, Error> {
        match number {
            14 => Ok(Self::Modp2048),
            15 => Ok(Self::Modp3072),
            16 => Ok(Self::Modp4096),
            other => Err(Error::UnknownGroup(other)),
        }
    }

    /// Octets of the prime, and so of every public value and shared secret.
    pub fn length(self) -> usize {
        match self {
            Self::Modp2048 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
        }
    }

    fn prime(self) -> Result<Number, Error> {
        let null = std::ptr::null_mut();
        // SAFETY: with a null argument each of these allocates a number, which `Number` frees.
        Number::own(unsafe {
            match self {
                Self::Modp2048 => ffi::BN_get_rfc3526_prime_2048(null),
                Self::Modp3072 => ffi::BN_get_rfc3526_prime_3072(null),
                Self::Modp4096 => ffi::BN_get_rfc3526_prime_4096(null),
            }
        })
    }
}

/// `2^private mod p`, big-endian, as long as the prime.
pub fn public(group: Group, private: &[u8]) -> Result<Vec<u8>, Error> {
    let secret = power(group, &Number::from_octets(&[2])?, private)?;
    Ok(secret.to_vec())
}

/// `public^private mod p`, big-endian, as long as the prime.
///
/// The peer's value must lie in 2 to p - 2 (RFC 6989 section 2.1); these primes are safe, so that nothing else is left to check.
pub fn shared(group: Group, private: &[u8], public: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = Number::from_octets(public)?;
    if public.len() != group.length() || !is_in_range(&value, &group.prime()?)? {
        return Err(Error::PublicOutOfRange);
    }
    power(group, &value, private)
}

fn is_in_range(value: &Number, prime: &Number) -> Result<bool, Error> {
    let two = Number::from_octets(&[2])?;
    // p - 1 is p with its lowest bit cleared, for p is odd; value <= p - 2 is value < p - 1.
    let mut octets = prime.to_octets_public();
    if let Some(last) = octets.last_mut() {
        *last &= 0xfe;
    }
    let below = Number::from_octets(&octets)?;
    // SAFETY: all three are live numbers, only read.
    Ok(unsafe {
        ffi::BN_cmp(value.0.as_ptr(), two.0.as_ptr()) >= 0
            && ffi::BN_cmp(value.0.as_ptr(), below.0.as_ptr()) < 0
    })
}

fn power(group: Group, base: &Number, private: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if private.is_empty()
        || private.len() > group.length()
        || private.iter().all(|octet| *octet == 0)
    {
        return Err(Error::BadPrivate);
    }
    let exponent = Number::from_octets(private)?;
    let prime = group.prime()?;
    let context = Context::new()?;
    let montgomery = Montgomery::new(&prime, &context)?;
    let result = Number::from_octets(&[])?;
    // SAFETY: every argument is live; `result` is not shared with any other argument; base < p as the callers made sure.
    let done = unsafe {
        ffi::BN_mod_exp_mont_consttime(
            result.0.as_ptr(),
            base.0.as_ptr(),
            exponent.0.as_ptr(),
            prime.0.as_ptr(),
            context.0.as_ptr(),
            montgomery.0.as_ptr(),
        )
    };
    if done != 1 {
        return Err(Error::OutOfMemory);
    }
    let mut octets = Zeroizing::new(vec![0_u8; group.length()]);
    // SAFETY: the buffer has the length that is given, and the result is less than the prime, which fits.
    let done =
        unsafe { ffi::BN_bn2bin_padded(octets.as_mut_ptr(), octets.len(), result.0.as_ptr()) };
    if done == 1 {
        Ok(octets)
    } else {
        Err(Error::OutOfMemory)
    }
}

/// A number of the library, wiped and freed when dropped.
struct Number(NonNull<ffi::BIGNUM>);

impl Number {
    fn own(pointer: *mut ffi::BIGNUM) -> Result<Self, Error> {
        NonNull::new(pointer).map(Self).ok_or(Error::OutOfMemory)
    }

    fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        // SAFETY: pointer and length are of one slice; a null third argument allocates.
        Self::own(unsafe { ffi::BN_bin2bn(octets.as_ptr(), octets.len(), std::ptr::null_mut()) })
    }

    /// The octets of a number that is no secret.
    fn to_octets_public(&self) -> Vec<u8> {
        // SAFETY: the number is live; the buffer is as long as the library says that it needs.
        unsafe {
            let mut octets = vec![0_u8; ffi::BN_num_bytes(self.0.as_ptr()) as usize];
            ffi::BN_bn2bin(self.0.as_ptr(), octets.as_mut_ptr());
            octets
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once.
        unsafe { ffi::BN_clear_free(self.0.as_ptr()) }
    }
}

/// Scratch space of the library.
struct Context(NonNull<ffi::BN_CTX>);

impl Context {
    fn new() -> Result<Self, Error> {
        // SAFETY: allocates, or returns null.
        NonNull::new(unsafe { ffi::BN_CTX_new() })
            .map(Self)
            .ok_or(Error::OutOfMemory)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once.
        unsafe { ffi::BN_CTX_free(self.0.as_ptr()) }
    }
}

/// A modulus, prepared for Montgomery multiplication.
struct Montgomery(NonNull<ffi::BN_MONT_CTX>);

impl Montgomery {
    fn new(modulus: &Number, context: &Context) -> Result<Self, Error> {
        // SAFETY: both are live; it allocates, or returns null.
        NonNull::new(unsafe {
            ffi::BN_MONT_CTX_new_for_modulus(modulus.0.as_ptr(), context.0.as_ptr())
        })
        .map(Self)
        .ok_or(Error::OutOfMemory)
    }
}

impl Drop for Montgomery {
    fn drop(&mut self) {
        // SAFETY: we own it, and it is dropped once.
        unsafe { ffi::BN_MONT_CTX_free(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [Group; 3] = [Group::Modp2048, Group::Modp3072, Group::Modp4096];

    fn exponent(seed: u8) -> Vec<u8> {
        (0..48_u8)
            .map(|index| index.wrapping_mul(37).wrapping_add(seed))
            .collect()
    }

    #[test]
    fn both_sides_agree() {
        for group in GROUPS {
            let (a, b) = (exponent(1), exponent(7));
            let from_a = shared(group, &a, &public(group, &b).unwrap()).unwrap();
            let from_b = shared(group, &b, &public(group, &a).unwrap()).unwrap();
            assert_eq!(*from_a, *from_b);
            assert_eq!(from_a.len(), group.length());
        }
    }

    #[test]
    fn small_powers_are_what_they_are() {
        for group in GROUPS {
            let mut expected = vec![0_u8; group.length()];
            expected[group.length() - 2] = 4; // 2^10 = 1024
            assert_eq!(public(group, &[10]).unwrap(), expected);
        }
    }

    #[test]
    fn values_outside_of_the_range_are_refused() {
        for group in GROUPS {
            let prime = group.prime().unwrap().to_octets_public();
            let mut less_one = prime.clone();
            less_one[group.length() - 1] -= 1;
            let mut less_two = prime.clone();
            less_two[group.length() - 1] -= 2;
            let mut one = vec![0_u8; group.length()];
            one[group.length() - 1] = 1;
            for bad in [
                vec![0_u8; group.length()],
                one,
                less_one,
                prime,
                vec![0xff; group.length()],
                vec![2],
                vec![],
            ] {
                assert_eq!(
                    shared(group, &exponent(3), &bad).map(|_| ()),
                    Err(Error::PublicOutOfRange)
                );
            }
            assert!(shared(group, &exponent(3), &less_two).is_ok());
        }
    }

    #[test]
    fn bad_exponents_and_groups_are_refused() {
        assert_eq!(public(Group::Modp2048, &[]), Err(Error::BadPrivate));
        assert_eq!(public(Group::Modp2048, &[0, 0]), Err(Error::BadPrivate));
        assert_eq!(public(Group::Modp2048, &[1; 257]), Err(Error::BadPrivate));
        assert_eq!(Group::new(2), Err(Error::UnknownGroup(2)));
    }
}
