//! Fragmentation of IPv4 packets whose sender allows it (RFC 791 section 3.2), before they enter a tunnel that is too
//! narrow for them (RFC 4301 section 8.2.1).

use crate::{ipv4, Malformed};

/// The bit in an option's type that says that every fragment has it (RFC 791 section 3.1).
const COPIED: u8 = 0x80;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// The longest IPv4 header.
const MAX_HEADER: usize = 60;
/// The largest offset, in units of 8 octets.
const MAX_OFFSET: usize = 0x1fff;

/// Why a packet is not fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its sender forbids it, and wants an ICMP message instead (RFC 1191).
    #[error("DF is set")]
    DontFragment,
    /// Not even 8 octets behind the header fit.
    #[error("an MTU of {0} octets is too small")]
    MtuTooSmall(usize),
    /// It is no IPv4 packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// How one IPv4 packet is cut into fragments.
#[derive(Clone, Copy, Debug)]
pub struct Fragments<'a> {
    packet: &'a [u8],
    header_len: usize,
    /// The header of all fragments but the first, with the options that are copied.
    later: [u8; MAX_HEADER],
    later_len: usize,
    /// Octets of payload in the first, and in each of the others but the last.
    first_size: usize,
    later_size: usize,
    count: usize,
}

impl<'a> Fragments<'a> {
    /// Plan the fragments of a packet, perhaps a fragment itself, of at most `mtu` octets each. A packet that fits is
    /// its own only one.
    pub fn new(packet: &'a [u8], mtu: usize) -> Result<Self, Refused> {
        let ip = ipv4::Packet::new_checked(packet)?;
        let packet = &packet[..ip.total_len()];
        let header_len = ip.header_len();
        let (later, later_len) = later_header(&packet[..header_len])?;
        let mut fragments = Self {
            packet,
            header_len,
            later,
            later_len,
            first_size: mtu.saturating_sub(header_len) & !7,
            later_size: mtu.saturating_sub(later_len) & !7,
            count: 1,
        };
        if packet.len() <= mtu {
            fragments.first_size = packet.len() - header_len;
            return Ok(fragments);
        }
        if ip.fragment_word() & ipv4::DONT_FRAGMENT != 0 {
            return Err(Refused::DontFragment);
        }
        if fragments.first_size == 0 || fragments.later_size == 0 {
            return Err(Refused::MtuTooSmall(mtu));
        }
        let rest = packet.len() - header_len - fragments.first_size;
        fragments.count += rest.div_ceil(fragments.later_size);
        let last = usize::from(ip.fragment_offset()) + fragments.begin(fragments.count - 1) / 8;
        if last > MAX_OFFSET {
            return Err(Malformed::new("ipv4.fragment_offset", "beyond the longest packet").into());
        }
        Ok(fragments)
    }

    /// Number of fragments, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Octets of the fragment at `index`.
    pub fn length(&self, index: usize) -> usize {
        let (header, size) = match index {
            0 => (self.header_len, self.first_size),
            _ => (self.later_len, self.later_size),
        };
        let rest = self.packet.len() - self.header_len - self.begin(index);
        header + size.min(rest)
    }

    /// Write the fragment at `index` into `out`.
    ///
    /// # Panics
    /// If `index` is not below [`Fragments::count`] or `out` has not [`Fragments::length`] octets.
    pub fn write(&self, index: usize, out: &mut [u8]) {
        let header = match index {
            0 => &self.packet[..self.header_len],
            _ => &self.later[..self.later_len],
        };
        let begin = self.header_len + self.begin(index);
        let (head, payload) = out.split_at_mut(header.len());
        head.copy_from_slice(header);
        payload.copy_from_slice(&self.packet[begin..begin + payload.len()]);
        if self.count > 1 {
            self.fill(index, out);
        }
    }

    /// Length, flags and offset, and the checksum over them. The last fragment of a fragment has its MF.
    fn fill(&self, index: usize, out: &mut [u8]) {
        let length = out.len() as u16;
        let whole = ipv4::Packet::new_unchecked(self.packet);
        let offset = whole.fragment_offset() + (self.begin(index) / 8) as u16;
        let is_last = index + 1 == self.count;
        let more = if is_last {
            whole.fragment_word() & ipv4::MORE_FRAGMENTS
        } else {
            ipv4::MORE_FRAGMENTS
        };
        let mut ip = ipv4::Packet::new_unchecked(out);
        ip.set_total_len(length);
        ip.set_fragment_word(more | offset);
        ip.fill_checksum();
    }

    /// Where the payload of the fragment at `index` begins.
    fn begin(&self, index: usize) -> usize {
        match index {
            0 => 0,
            _ => self.first_size + (index - 1) * self.later_size,
        }
    }
}

/// The header without the options that only the first fragment has, filled up with ends of the list.
fn later_header(header: &[u8]) -> Result<([u8; MAX_HEADER], usize), Malformed> {
    let (fixed, mut options) = header.split_at(ipv4::HEADER_LEN);
    let mut later = [END; MAX_HEADER];
    later[..ipv4::HEADER_LEN].copy_from_slice(fixed);
    let mut length = ipv4::HEADER_LEN;
    while let Some(kind) = options.first().copied().filter(|kind| *kind != END) {
        let option_len = match kind {
            NO_OPERATION => 1,
            _ => usize::from(*options.get(1).unwrap_or(&0)),
        };
        let Some((option, rest)) = options
            .split_at_checked(option_len)
            .filter(|_| option_len > 0)
        else {
            return Err(Malformed::new("ipv4.options", "outside the header"));
        };
        if kind & COPIED != 0 {
            later[length..length + option_len].copy_from_slice(option);
            length += option_len;
        }
        options = rest;
    }
    let length = length.next_multiple_of(4);
    later[0] = 0x40 | (length / 4) as u8;
    Ok((later, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ah::round_trip::v4;
    use proptest::prelude::*;

    fn packet(options: &[u8], payload: &[u8], word: u16) -> Vec<u8> {
        let mut packet = v4(17, options, payload);
        let mut ip = ipv4::Packet::new_unchecked(&mut packet[..]);
        ip.set_fragment_word(word);
        ip.fill_checksum();
        packet
    }

    fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Refused> {
        let fragments = Fragments::new(packet, mtu)?;
        let write = |index| {
            let mut out = vec![0xee; fragments.length(index)];
            fragments.write(index, &mut out);
            out
        };
        Ok((0..fragments.count()).map(write).collect())
    }

    /// RFC 791 section 3.2: the example of a fragmentation, with numbers of our own.
    #[test]
    fn a_packet_is_cut() {
        let payload: Vec<u8> = (0..100).collect();
        let fragments = cut(&packet(&[], &payload, 0), 20 + 45).expect("fragments");
        let found: Vec<(usize, u16)> = fragments
            .iter()
            .map(|it| {
                (
                    it.len(),
                    ipv4::Packet::new_unchecked(&it[..]).fragment_word(),
                )
            })
            .collect();
        assert_eq!(found, [(60, 0x2000), (60, 0x2005), (40, 0x000a)]);
        assert_eq!(fragments[1][20..], payload[40..80]);
    }

    /// RFC 791 section 3.1: options with the copied flag go into every fragment, others into the first alone.
    #[test]
    fn options_are_copied_by_their_flag() {
        let options = [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 1, 131, 3, 4, 0];
        let fragments = cut(&packet(&options, &[9; 100], 0), 84).expect("fragments");
        assert_eq!(fragments[0][20..36], options);
        for later in &fragments[1..] {
            assert_eq!(later[..1], [0x47]);
            assert_eq!(later[20..28], [148, 4, 0, 0, 131, 3, 4, 0]);
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let whole = packet(&[], &[9; 100], 0);
        let forbidden = packet(&[], &[9; 100], ipv4::DONT_FRAGMENT);
        assert_eq!(cut(&forbidden, 119).err(), Some(Refused::DontFragment));
        assert_eq!(cut(&forbidden, 120), Ok(vec![forbidden.clone()]));
        assert_eq!(cut(&whole, 120), Ok(vec![whole.clone()]));
        assert_eq!(cut(&whole, 27).err(), Some(Refused::MtuTooSmall(27)));
        assert!(cut(&whole, 28).is_ok());
        assert!(matches!(
            cut(&packet(&[7, 9, 0, 0], &[9; 100], 0), 60),
            Err(Refused::Malformed(_))
        ));
        assert!(matches!(
            cut(&packet(&[], &[9; 100], 0x1fff), 60),
            Err(Refused::Malformed(_))
        ));
    }

    proptest! {
        /// RFC 791 section 3.2: put together again by their offsets, the fragments are the packet.
        #[test]
        fn reassembly_gives_the_packet(
            options in 0usize..=10,
            payload in proptest::collection::vec(any::<u8>(), 0..3000),
            mtu in 80usize..2000,
            offset in 0u16..1000,
            more: bool,
        ) {
            let word = offset | if more { ipv4::MORE_FRAGMENTS } else { 0 };
            let whole = packet(&[NO_OPERATION; 40][..options * 4], &payload, word);
            let fragments = cut(&whole, mtu).expect("fragments");
            let mut again = Vec::new();
            for (index, fragment) in fragments.iter().enumerate() {
                let ip = ipv4::Packet::new_checked(&fragment[..]).expect("a packet");
                prop_assert!(fragment.len() <= mtu && ip.total_len() == fragment.len());
                prop_assert!(ip.is_header_intact());
                prop_assert_eq!(ip.identification(), 7);
                prop_assert_eq!(usize::from(ip.fragment_offset() - offset) * 8, again.len());
                let is_last = index + 1 == fragments.len();
                prop_assert_eq!(ip.has_more_fragments(), more || !is_last);
                again.extend_from_slice(&fragment[ip.header_len()..]);
            }
            prop_assert_eq!(again, payload);
        }

        #[test]
        fn junk_never_panics(mut junk in proptest::collection::vec(any::<u8>(), 0..200), mtu in 0usize..100) {
            if junk.len() > 20 {
                junk[0] |= 0x40;
                junk[2] = 0;
            }
            let _ = cut(&junk, mtu);
        }
    }
}
