//! What a frame of the TUN interface is cut into: each piece is sealed by itself.

use caponier_packet::fragment::Fragments;
use caponier_packet::segment::Plan;

/// One packet or several, none of which is longer than the first.
pub(crate) trait Pieces {
    /// How many, at least 1.
    fn count(&self) -> usize;

    /// Octets of the piece at `index`.
    fn length(&self, index: usize) -> usize;

    /// Write the piece at `index` into `out`, without its first `skip` octets.
    fn write(&self, index: usize, skip: usize, out: &mut [u8]);
}

impl Pieces for Plan<'_> {
    fn count(&self) -> usize {
        self.count()
    }

    fn length(&self, index: usize) -> usize {
        self.length(index)
    }

    #[inline]
    fn write(&self, index: usize, skip: usize, out: &mut [u8]) {
        self.write_behind(index, skip, out);
    }
}

/// Of tunnel mode only, which skips nothing: transport mode carries no fragments (RFC 4301 section 4.1).
impl Pieces for Fragments<'_> {
    fn count(&self) -> usize {
        self.count()
    }

    fn length(&self, index: usize) -> usize {
        self.length(index)
    }

    fn write(&self, index: usize, _skip: usize, out: &mut [u8]) {
        self.write(index, out);
    }
}
