//! What became of packets that the system did not take.

use std::io;
use std::ops::AddAssign;

/// Packets of a train that were not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Longer than the path carries, by what the system knows of it.
    pub(crate) too_big: usize,
    /// For another reason.
    pub(crate) others: usize,
}

impl Lost {
    pub(crate) fn others(count: usize) -> Self {
        Self {
            others: count,
            ..Self::default()
        }
    }

    /// Count a packet that was sent, or not.
    pub(crate) fn count(&mut self, sent: &io::Result<()>) {
        match sent {
            Ok(()) => {}
            Err(error) if is_too_big(error) => self.too_big += 1,
            Err(_) => self.others += 1,
        }
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, more: Self) {
        self.too_big += more.too_big;
        self.others += more.others;
    }
}

/// Whether the system refused a packet for its length.
pub(crate) fn is_too_big(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_the_reason() {
        let failed = |errno| Err(io::Error::from_raw_os_error(errno));
        let mut lost = Lost::others(2);
        for sent in [Ok(()), failed(libc::EMSGSIZE), failed(libc::ENETUNREACH)] {
            let mut more = Lost::default();
            more.count(&sent);
            lost += more;
        }
        assert_eq!((lost.too_big, lost.others), (1, 3));
    }
}
