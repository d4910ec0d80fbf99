//! The Maximum Segment Size option of TCP (RFC 9293 section 3.7.1), lowered on its way into a tunnel, so that the
//! segments of either side fit it even where no ICMP message gets through.

use crate::checksum;
use crate::inner::{Fragment, Inner};
use crate::{ipv4, ipv6, protocol, tcp, u16_at};

mod option {
    pub const END: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const MAXIMUM_SEGMENT_SIZE: u8 = 2;
    pub const MAXIMUM_SEGMENT_SIZE_LEN: u8 = 4;
}

/// The segment size that fits IP packets of `mtu` octets, without IP and TCP options (RFC 9293 section 3.7.1, RFC
/// 6691).
pub fn for_mtu(mtu: u16, is_v6: bool) -> u16 {
    let ip = if is_v6 {
        ipv6::HEADER_LEN
    } else {
        ipv4::HEADER_LEN
    };
    mtu.saturating_sub((ip + tcp::HEADER_LEN) as u16)
}

/// Whether the packet, which `inner` was parsed from, is a SYN segment.
pub fn is_syn(packet: &[u8], inner: &Inner) -> bool {
    inner.protocol == protocol::TCP
        && inner.fragment != Fragment::Later
        && packet
            .get(inner.transport..inner.length)
            .and_then(|segment| tcp::Packet::new_checked(segment).ok())
            .is_some_and(|header| header.flags() & tcp::SYN != 0)
}

/// Lower the option in a SYN segment to `maximum`, never raise it; a segment without it is left as it is. True if
/// something changed. `packet`: with its checksum complete, as [`crate::segment::Plan::write`] leaves it; `inner` was
/// parsed from it.
pub fn clamp(packet: &mut [u8], inner: &Inner, maximum: u16) -> bool {
    if !is_syn(packet, inner) {
        return false;
    }
    let Some(segment) = packet.get_mut(inner.transport..inner.length) else {
        return false;
    };
    let header_len = tcp::Packet::new_unchecked(&*segment).header_len();
    match find(&segment[..header_len]) {
        Some(at) if u16_at(segment, at) > maximum => {
            lower(segment, at, maximum);
            true
        }
        _ => false,
    }
}

/// Where the value of the option is.
fn find(header: &[u8]) -> Option<usize> {
    let mut at = tcp::HEADER_LEN;
    loop {
        let kind = *header.get(at)?;
        let length = match kind {
            option::END => return None,
            option::NO_OPERATION => 1,
            _ => *header.get(at + 1)?,
        };
        if kind == option::MAXIMUM_SEGMENT_SIZE {
            let is_whole = length == option::MAXIMUM_SEGMENT_SIZE_LEN && at + 4 <= header.len();
            return is_whole.then_some(at + 2);
        }
        if kind != option::NO_OPERATION && length < 2 {
            return None;
        }
        at += usize::from(length);
    }
}

fn lower(segment: &mut [u8], at: usize, maximum: u16) {
    let (mut old, mut new) = (u16_at(segment, at), maximum);
    segment[at..at + 2].copy_from_slice(&maximum.to_be_bytes());
    if at % 2 == 1 {
        // The octets stand in two words of the sum, the other way round.
        (old, new) = (old.swap_bytes(), new.swap_bytes());
    }
    let mut tcp = tcp::Packet::new_unchecked(segment);
    tcp.set_checksum(checksum::updated(tcp.checksum(), old, new));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ah::round_trip::{v4, v6};
    use crate::checksum::Checksum;
    use proptest::prelude::*;

    /// A TCP segment with these options, in a packet with a right checksum.
    fn segment(is_v6: bool, flags: u8, options: &[u8]) -> Vec<u8> {
        let mut tcp = vec![0; 20];
        tcp[..4].copy_from_slice(&[0x30, 0x39, 0, 80]);
        tcp[12] = (5 + options.len() as u8 / 4) << 4;
        tcp[13] = flags;
        tcp.extend(options);
        let mut packet = if is_v6 { v6(6, &tcp) } else { v4(6, &[], &tcp) };
        let inner = Inner::parse(&packet).expect("a packet");
        crate::transport::nat::recompute(&mut packet, &inner);
        packet
    }

    fn clamped(packet: &[u8], maximum: u16) -> Option<Vec<u8>> {
        let mut changed = packet.to_vec();
        let inner = Inner::parse(packet).expect("a packet");
        let is_changed = clamp(&mut changed, &inner, maximum);
        assert_eq!(is_changed, changed != packet);
        is_changed.then_some(changed)
    }

    /// RFC 9293 section 3.7.1: 1460 becomes less, in SYN and SYN ACK, and is never enlarged.
    #[test]
    fn only_syn_and_only_down() {
        let option = [2, 4, 0x05, 0xb4];
        for flags in [tcp::SYN, tcp::SYN | tcp::ACK] {
            let packet = segment(false, flags, &option);
            let expected = segment(false, flags, &[2, 4, 0x05, 0x78]);
            assert_eq!(clamped(&packet, 1400), Some(expected));
            assert_eq!(clamped(&packet, 1460), None);
            assert_eq!(clamped(&packet, 1500), None);
        }
        assert_eq!(clamped(&segment(false, tcp::ACK, &option), 1400), None);
    }

    /// Whatever is not a whole option of four octets is left alone.
    #[test]
    fn odd_options_are_left_alone() {
        for options in [
            &[][..],
            &[0, 2, 4, 5],
            &[2, 3, 9, 9],
            &[1, 1, 2, 4],
            &[8, 0, 2, 4, 9, 9, 9, 9],
            &[8, 1, 2, 4, 9, 9, 9, 9],
            &[3, 40, 2, 4, 9, 9, 9, 9],
            &[1, 1, 1, 2],
        ] {
            assert_eq!(
                clamped(&segment(false, tcp::SYN, options), 100),
                None,
                "{options:?}"
            );
        }
        let udp = v4(17, &[], &[1; 40]);
        assert_eq!(clamped(&udp, 100), None);
    }

    #[test]
    fn sizes_for_an_mtu() {
        assert_eq!((for_mtu(1500, false), for_mtu(1500, true)), (1460, 1440));
        assert_eq!(for_mtu(30, true), 0);
    }

    proptest! {
        /// At an even and at an odd offset, the checksum stays right (RFC 1624).
        #[test]
        fn the_checksum_stays_right(is_v6: bool, before in 0usize..4, old: u16, maximum: u16) {
            let mut options = vec![1; before];
            options.extend([2, 4]);
            options.extend(old.to_be_bytes());
            options.resize(8, 0);
            let packet = segment(is_v6, tcp::SYN, &options);
            let changed = clamped(&packet, maximum);
            prop_assert_eq!(changed.is_some(), old > maximum);
            if let Some(changed) = changed {
                let inner = Inner::parse(&changed).expect("a packet");
                let tcp = &changed[inner.transport..];
                let sum = Checksum::pseudo_header(inner.addresses(&changed), 6, tcp.len()).plus(tcp);
                prop_assert!(sum.is_intact());
                prop_assert_eq!(u16_at(tcp, 20 + before + 2), maximum);
            }
        }

        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..60), flags: u8) {
            let mut tcp = junk;
            if tcp.len() > 13 {
                tcp[13] = flags | tcp::SYN;
            }
            let mut packet = v4(6, &[], &tcp);
            let inner = Inner::parse(&packet).expect("a packet");
            clamp(&mut packet, &inner, 100);
        }
    }
}
