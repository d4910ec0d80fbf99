//! The extension headers of IPv6 (RFC 8200 section 4).

use crate::inner::Fragment;
use crate::{ipv6, protocol, u16_at, Malformed};

/// More extension headers than any honest packet has.
const MAX_EXTENSION_HEADERS: usize = 16;

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    /// Which one it is.
    pub kind: u8,
    /// Where it begins, with its Next Header field.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
    /// What follows it.
    pub next_header: u8,
    /// Of a Fragment header: which part of a packet this is. `Whole` for others.
    pub fragment: Fragment,
}

/// Walks the extension headers up to the first header that is none, or up to what a later fragment continues.
#[derive(Clone, Debug)]
pub(crate) struct Extensions<'a> {
    packet: &'a [u8],
    next_header: u8,
    at: usize,
    left: usize,
}

impl<'a> Extensions<'a> {
    /// The extension headers of a packet whose fixed header was checked.
    pub(crate) fn new(packet: &'a [u8]) -> Self {
        Self {
            packet,
            next_header: ipv6::Packet::new_unchecked(packet).next_header(),
            at: ipv6::HEADER_LEN,
            left: MAX_EXTENSION_HEADERS,
        }
    }

    fn step(&mut self) -> Result<Extension, Malformed> {
        let header = self.packet.get(self.at..self.at + 8);
        let header = header.ok_or(Malformed::new("ipv6.extension", "outside the packet"))?;
        let mut extension = Extension {
            kind: self.next_header,
            at: self.at,
            end: self.at + 8 + 8 * usize::from(header[1]),
            next_header: header[0],
            fragment: Fragment::Whole,
        };
        if self.next_header == protocol::IPV6_FRAGMENT {
            extension.end = self.at + 8; // RFC 8200 section 4.5: the second octet is reserved
            extension.fragment = fragment(u16_at(header, 2));
        }
        if extension.end > self.packet.len() {
            return Err(Malformed::new(
                "ipv6.extension_length",
                "outside the packet",
            ));
        }
        if self.left == 0 {
            return Err(Malformed::new(
                "ipv6.next_header",
                "too many extension headers",
            ));
        }
        self.left -= 1;
        (self.next_header, self.at) = (extension.next_header, extension.end);
        if extension.fragment == Fragment::Later {
            self.next_header = protocol::NO_NEXT_HEADER; // what follows it is not a header
        }
        Ok(extension)
    }
}

impl Iterator for Extensions<'_> {
    type Item = Result<Extension, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if !is_extension(self.next_header) {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.next_header = protocol::NO_NEXT_HEADER;
        }
        Some(step)
    }
}

fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP
            | protocol::IPV6_ROUTE
            | protocol::IPV6_FRAGMENT
            | protocol::IPV6_OPTIONS
    )
}

fn fragment(word: u16) -> Fragment {
    match (word & 0xfff8, word & 1) {
        (0, 0) => Fragment::Whole, // an atomic fragment (RFC 6946)
        (0, _) => Fragment::First,
        _ => Fragment::Later,
    }
}
