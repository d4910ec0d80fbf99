//! Comparison of ICVs.

use aws_lc_sys as ffi;

/// True for equal octets. Takes the same time wherever they differ, so that nobody can guess an ICV octet by octet.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    // SAFETY: both are readable for the length, which is that of both.
    a.len() == b.len()
        && unsafe { ffi::CRYPTO_memcmp(a.as_ptr().cast(), b.as_ptr().cast(), a.len()) } == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares() {
        assert!(equal(&[], &[]));
        assert!(equal(&[1, 2], &[1, 2]));
        assert!(!equal(&[1, 2], &[1, 3]));
        assert!(!equal(&[1, 2], &[1]));
    }
}
