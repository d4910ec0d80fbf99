//! The packets that may be merged.

use crate::checksum::Checksum;
use crate::inner::{Fragment, Inner};
use crate::{ipv4, ipv6, protocol, tcp, udp};

/// A TCP segment or UDP datagram that may be merged: evidence that its form and its checksums were verified.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub(super) packet: &'a [u8],
    pub(super) is_v6: bool,
    pub(super) is_udp: bool,
    /// Where the transport header begins, and where the payload.
    pub(super) transport: usize,
    pub(super) payload: usize,
}

impl<'a> Segment<'a> {
    /// Verify that `packet`, which `inner` was parsed from, may become part of a super-packet.
    pub fn verify(inner: &Inner, packet: &'a [u8]) -> Option<Self> {
        let packet = packet.get(..inner.length)?;
        let transport = packet.get(inner.transport..)?;
        let header_len = match inner.protocol {
            _ if !has_plain_ip_header(inner) => return None,
            protocol::TCP => tcp_header_len(transport)?,
            protocol::UDP => udp_header_len(transport)?,
            _ => return None,
        };
        if header_len == transport.len() || !is_intact(inner, packet, transport) {
            return None;
        }
        Some(Self {
            packet,
            is_v6: inner.is_v6(),
            is_udp: inner.protocol == protocol::UDP,
            transport: inner.transport,
            payload: inner.transport + header_len,
        })
    }

    pub(super) fn payload_len(&self) -> usize {
        self.packet.len() - self.payload
    }

    /// The number of its first octet; 0 where there are none.
    pub(super) fn sequence(&self) -> u32 {
        if self.is_udp {
            return 0;
        }
        tcp::Packet::new_unchecked(&self.packet[self.transport..]).sequence()
    }

    /// True when nothing may follow it.
    pub(super) fn has_push(&self) -> bool {
        let transport = &self.packet[self.transport..];
        !self.is_udp && tcp::Packet::new_unchecked(transport).flags() & tcp::PSH != 0
    }
}

/// No IP options, no extension headers, no fragment.
fn has_plain_ip_header(inner: &Inner) -> bool {
    let plain = if inner.is_v6() {
        ipv6::HEADER_LEN
    } else {
        ipv4::HEADER_LEN
    };
    inner.fragment == Fragment::Whole && inner.transport == plain
}

fn tcp_header_len(transport: &[u8]) -> Option<usize> {
    let tcp = tcp::Packet::new_checked(transport).ok()?;
    let flags = tcp.flags() & !(tcp::PSH | tcp::ECE);
    (flags == tcp::ACK).then(|| tcp.header_len())
}

/// A datagram without a checksum (RFC 768) would get one by being merged.
fn udp_header_len(transport: &[u8]) -> Option<usize> {
    let udp = udp::Packet::new_checked(transport).ok()?;
    (udp.length() == transport.len() && udp.checksum() != 0).then_some(udp::HEADER_LEN)
}

fn is_intact(inner: &Inner, packet: &[u8], transport: &[u8]) -> bool {
    let ip = inner.is_v6() || ipv4::Packet::new_unchecked(packet).is_header_intact();
    let addresses = inner.addresses(packet);
    ip && Checksum::pseudo_header(addresses, inner.protocol, transport.len())
        .plus(transport)
        .is_intact()
}
