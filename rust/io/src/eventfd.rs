//! An eventfd: wakes whoever polls it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{checked, IoError};

/// A counter that is readable while it is not zero.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Make one; it does not block.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn new() -> Result<Self, IoError> {
        // SAFETY: takes no pointers.
        let fd = checked(
            unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) },
            "eventfd",
        )?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wake.
    pub fn raise(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer has the eight octets that are given. It can fail only when the counter is full: then it is raised already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Fall asleep again.
    pub fn lower(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer has the eight octets that are given. It can fail only when nothing was raised.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// The descriptor, to be polled.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
