//! The groups themselves: which there are, and what each is made of.

use aws_lc_sys as ffi;

use crate::number::Number;
use crate::parameters as numbers;
use crate::Error;

/// A MODP group, by its number in transform type 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Group 2 (RFC 2409 section 6.2).
    Modp1024,
    /// Group 5 (RFC 3526), as those up to 18.
    Modp1536,
    /// Group 14.
    Modp2048,
    /// Group 15.
    Modp3072,
    /// Group 16.
    Modp4096,
    /// Group 17.
    Modp6144,
    /// Group 18.
    Modp8192,
    /// Group 22: of 1024 bits, with a subgroup of 160 bits (RFC 5114 section 2.1).
    Modp1024Subgroup160,
    /// Group 23: of 2048 bits, with a subgroup of 224 bits (RFC 5114 section 2.2).
    Modp2048Subgroup224,
    /// Group 24: of 2048 bits, with a subgroup of 256 bits (RFC 5114 section 2.3).
    Modp2048Subgroup256,
}

impl Group {
    /// The group of this number.
    pub fn new(number: u16) -> Result<Self, Error> {
        match number {
            2 => Ok(Self::Modp1024),
            5 => Ok(Self::Modp1536),
            14 => Ok(Self::Modp2048),
            15 => Ok(Self::Modp3072),
            16 => Ok(Self::Modp4096),
            17 => Ok(Self::Modp6144),
            18 => Ok(Self::Modp8192),
            22 => Ok(Self::Modp1024Subgroup160),
            23 => Ok(Self::Modp2048Subgroup224),
            24 => Ok(Self::Modp2048Subgroup256),
            other => Err(Error::UnknownGroup(other)),
        }
    }

    /// Octets of the prime, and so of every public value and shared secret.
    pub fn length(self) -> usize {
        match self {
            Self::Modp1024 | Self::Modp1024Subgroup160 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 | Self::Modp2048Subgroup224 | Self::Modp2048Subgroup256 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Modp6144 => 768,
            Self::Modp8192 => 1024,
        }
    }

    pub(crate) fn prime(self) -> Result<Number, Error> {
        let null = std::ptr::null_mut();
        // SAFETY: with a null argument each of these allocates a number, which `Number` frees.
        Number::own(unsafe {
            match self {
                Self::Modp1024 => return Number::from_octets(&numbers::PRIME_1024),
                Self::Modp1024Subgroup160 => return Number::from_octets(&numbers::PRIME_1024_160),
                Self::Modp2048Subgroup224 => return Number::from_octets(&numbers::PRIME_2048_224),
                Self::Modp2048Subgroup256 => return Number::from_octets(&numbers::PRIME_2048_256),
                Self::Modp1536 => ffi::BN_get_rfc3526_prime_1536(null),
                Self::Modp2048 => ffi::BN_get_rfc3526_prime_2048(null),
                Self::Modp3072 => ffi::BN_get_rfc3526_prime_3072(null),
                Self::Modp4096 => ffi::BN_get_rfc3526_prime_4096(null),
                Self::Modp6144 => ffi::BN_get_rfc3526_prime_6144(null),
                Self::Modp8192 => ffi::BN_get_rfc3526_prime_8192(null),
            }
        })
    }

    pub(crate) fn generator(self) -> Result<Number, Error> {
        match self {
            Self::Modp1024Subgroup160 => Number::from_octets(&numbers::GENERATOR_1024_160),
            Self::Modp2048Subgroup224 => Number::from_octets(&numbers::GENERATOR_2048_224),
            Self::Modp2048Subgroup256 => Number::from_octets(&numbers::GENERATOR_2048_256),
            _ => Number::from_octets(&[2]),
        }
    }

    /// The order of the subgroup that the generator makes, where others are beside it (RFC 6989 section 2.2); None where
    /// (p - 1) / 2 is prime, so that the range of a value says all (section 2.1).
    pub(crate) fn order(self) -> Option<&'static [u8]> {
        match self {
            Self::Modp1024Subgroup160 => Some(&numbers::ORDER_1024_160),
            Self::Modp2048Subgroup224 => Some(&numbers::ORDER_2048_224),
            Self::Modp2048Subgroup256 => Some(&numbers::ORDER_2048_256),
            _ => None,
        }
    }
}
