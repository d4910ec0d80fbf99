//! Random octets.

use aws_lc_sys as ffi;

use crate::{check, Refused};

/// Fill with octets that nobody can predict.
pub fn fill(octets: &mut [u8]) -> Result<(), Refused> {
    // SAFETY: pointer and length are of one slice.
    check(unsafe { ffi::RAND_bytes(octets.as_mut_ptr(), octets.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differs_each_time() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        assert_eq!(fill(&mut a), Ok(()));
        assert_eq!(fill(&mut b), Ok(()));
        assert_ne!(a, b);
    }
}
