//! The library's numbers, as values that free themselves.

use std::ptr::NonNull;

use aws_lc_sys as ffi;

use crate::Error;

/// A number of the library, wiped and freed when dropped.
pub(crate) struct Number(pub(crate) NonNull<ffi::BIGNUM>);

impl Number {
    pub(crate) fn own(pointer: *mut ffi::BIGNUM) -> Result<Self, Error> {
        NonNull::new(pointer).map(Self).ok_or(Error::OutOfMemory)
    }

    pub(crate) fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        // SAFETY: pointer and length are of one slice; a null third argument allocates.
        Self::own(unsafe { ffi::BN_bin2bn(octets.as_ptr(), octets.len(), std::ptr::null_mut()) })
    }

    /// The octets of a number that is no secret.
    pub(crate) fn to_octets_public(&self) -> Vec<u8> {
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
pub(crate) struct Context(pub(crate) NonNull<ffi::BN_CTX>);

impl Context {
    pub(crate) fn new() -> Result<Self, Error> {
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
pub(crate) struct Montgomery(pub(crate) NonNull<ffi::BN_MONT_CTX>);

impl Montgomery {
    pub(crate) fn new(modulus: &Number, context: &Context) -> Result<Self, Error> {
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
