//! Modular exponentiation in the MODP groups of IKE (RFC 2409, RFC 3526, RFC 5114), in constant time.
//!
//! Most primes and the arithmetic are AWS-LC's; this crate checks what comes in, pads what goes out, and sees to it that
//! nothing secret is left in memory. All `unsafe` is the calls into that library.

mod groups;
mod number;
mod parameters;

use aws_lc_sys as ffi;
use thiserror::Error;
use zeroize::Zeroizing;

pub use groups::Group;
use number::{Context, Montgomery, Number};

/// Why a computation did not happen.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Error {
    /// Not one of the groups that we have.
    #[error("there is no MODP group numbered {0}")]
    UnknownGroup(u16),
    /// A public value outside of 2 to p - 2 (RFC 6989 section 2.1), or of another length than the prime.
    #[error("the public value is not in the range 2 to p - 2, as long as the prime")]
    PublicOutOfRange,
    /// A public value that is in no subgroup of the group's order (RFC 6989 section 2.2).
    #[error("the public value is not in the group's subgroup")]
    PublicOutOfSubgroup,
    /// A private exponent of zero octets, of zero, or longer than the prime.
    #[error("the private exponent is empty, zero or longer than the prime")]
    BadPrivate,
    /// The library has no memory.
    #[error("out of memory")]
    OutOfMemory,
}

/// `g^private mod p`, big-endian, as long as the prime.
pub fn public(group: Group, private: &[u8]) -> Result<Vec<u8>, Error> {
    let secret = power(group, &group.generator()?, private)?;
    Ok(secret.to_vec())
}

/// `public^private mod p`, big-endian, as long as the prime.
///
/// The peer's value must lie in 2 to p - 2 (RFC 6989 section 2.1). Where the group has small subgroups, its power by the order
/// of the right one must be 1 too (section 2.2), so that a value of the peer's choosing tells nothing of our exponent.
pub fn shared(group: Group, private: &[u8], public: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = Number::from_octets(public)?;
    if public.len() != group.length() || !is_in_range(&value, &group.prime()?)? {
        return Err(Error::PublicOutOfRange);
    }
    if let Some(order) = group.order() {
        if !is_one(&power(group, &value, order)?) {
            return Err(Error::PublicOutOfSubgroup);
        }
    }
    power(group, &value, private)
}

/// Whether a public number is one.
fn is_one(octets: &[u8]) -> bool {
    octets
        .split_last()
        .is_some_and(|(last, others)| *last == 1 && others.iter().all(|octet| *octet == 0))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: [Group; 7] = [
        Group::Modp1024,
        Group::Modp1536,
        Group::Modp2048,
        Group::Modp3072,
        Group::Modp4096,
        Group::Modp6144,
        Group::Modp8192,
    ];
    const WITH_SUBGROUPS: [Group; 3] = [
        Group::Modp1024Subgroup160,
        Group::Modp2048Subgroup224,
        Group::Modp2048Subgroup256,
    ];

    fn groups() -> impl Iterator<Item = Group> {
        SAFE.into_iter().chain(WITH_SUBGROUPS)
    }

    fn exponent(seed: u8) -> Vec<u8> {
        (0..48_u8)
            .map(|index| index.wrapping_mul(37).wrapping_add(seed))
            .collect()
    }

    #[test]
    fn both_sides_agree() {
        for group in groups() {
            let (a, b) = (exponent(1), exponent(7));
            let from_a = shared(group, &a, &public(group, &b).unwrap()).unwrap();
            let from_b = shared(group, &b, &public(group, &a).unwrap()).unwrap();
            assert_eq!(*from_a, *from_b);
            assert_eq!(from_a.len(), group.length());
        }
    }

    #[test]
    fn small_powers_are_what_they_are() {
        for group in SAFE {
            let mut expected = vec![0_u8; group.length()];
            expected[group.length() - 2] = 4; // 2^10 = 1024
            assert_eq!(public(group, &[10]).unwrap(), expected);
        }
    }

    #[test]
    fn values_outside_of_the_range_are_refused() {
        for group in groups() {
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
            // p - 2 is in range everywhere, and in none of the subgroups.
            let found = shared(group, &exponent(3), &less_two).map(|_| ());
            let expected = match group.order() {
                None => Ok(()),
                Some(_) => Err(Error::PublicOutOfSubgroup),
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn generators_are_of_the_order_that_is_told() {
        for group in WITH_SUBGROUPS {
            let order = group.order().unwrap();
            assert!(is_one(&public(group, order).unwrap()));
            assert!(!is_one(&public(group, &order[..order.len() - 1]).unwrap()));
        }
    }

    #[test]
    fn values_outside_of_the_subgroup_are_refused() {
        for group in WITH_SUBGROUPS {
            let mut two = vec![0_u8; group.length()];
            two[group.length() - 1] = 2;
            assert_eq!(
                shared(group, &exponent(3), &two).map(|_| ()),
                Err(Error::PublicOutOfSubgroup)
            );
        }
    }

    #[test]
    fn bad_exponents_and_groups_are_refused() {
        assert_eq!(public(Group::Modp2048, &[]), Err(Error::BadPrivate));
        assert_eq!(public(Group::Modp2048, &[0, 0]), Err(Error::BadPrivate));
        assert_eq!(public(Group::Modp2048, &[1; 257]), Err(Error::BadPrivate));
        assert_eq!(Group::new(1), Err(Error::UnknownGroup(1)));
    }
}
