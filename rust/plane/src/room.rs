//! How long the packets of an outbound SA may be, and whether they may be fragmented (RFC 4301 section 8).

use caponier_packet::transform::Shape;
use caponier_packet::transport::Form;
use caponier_packet::{ipv4, ipv6, udp};

use crate::parameters::{DontFragment, Mode};
use crate::sad::Outbound;

impl Outbound {
    /// The shape with DF as the SA has it: a matter of tunnel mode (RFC 4301 section 8.1), for in transport mode the header
    /// is the packet's own.
    pub(crate) fn outer(&self, shape: &Shape) -> Shape {
        let is_wanted = match (self.mode, self.df) {
            (Mode::Tunnel, DontFragment::Set) => true,
            (Mode::Tunnel, DontFragment::Clear) => false,
            _ => shape.dont_fragment,
        };
        let mut outer = *shape;
        outer.dont_fragment = is_wanted && self.path.may_forbid_fragments();
        outer
    }

    /// Whether a packet of this length, once it is sealed, fits its way.
    #[inline]
    pub(crate) fn fits(&self, shape: &Shape, length: usize) -> bool {
        let longest = self.max_outer().min(self.path.limit());
        self.sealed_len(shape, length) <= longest
    }

    /// Whether it fits an IP packet at all, which may be fragmented then.
    pub(crate) fn can_be_sent(&self, shape: &Shape, length: usize) -> bool {
        self.sealed_len(shape, length) <= self.max_outer()
    }

    /// The longest packet of this shape that fits.
    pub(crate) fn max_packet_len(&self, shape: &Shape) -> Option<usize> {
        let longest = self.max_outer().min(self.path.limit());
        let left = longest.checked_sub(self.outer_headers())?;
        self.sealer.max_packet_len(shape, left)
    }

    /// Octets of all that leaves for a packet.
    fn sealed_len(&self, shape: &Shape, length: usize) -> usize {
        self.outer_headers() + self.sealer.sealed_len(shape, length)
    }

    /// The octets of the longest IP packet: the length of IPv6 is that of what follows the header (RFC 8200 section 3).
    fn max_outer(&self) -> usize {
        if self.tunnel.remote.is_ipv4() {
            65535
        } else {
            ipv6::HEADER_LEN + 65535
        }
    }

    /// Octets of the headers that the socket makes.
    fn outer_headers(&self) -> usize {
        let ip = match (self.form, self.tunnel.remote.is_ipv4()) {
            (Form::Whole, _) => return 0,
            (Form::Bare, true) => ipv4::HEADER_LEN,
            (Form::Bare, false) => ipv6::HEADER_LEN,
        };
        let udp = if self.tunnel.remote_port == 0 {
            0
        } else {
            udp::HEADER_LEN
        };
        ip + udp
    }
}
