//! What an SA does to packets, whichever protocol and mode it has: one match per packet.
//!
//! Outbound, for each super-packet: [`Outbound::shape`] once. For each packet of the plan: a slot of
//! [`Outbound::sealed_len`] octets, into which [`crate::segment::Plan::write_behind`] writes the packet, but for its first
//! [`Shape::skip`] octets, behind [`Shape::headroom`] octets; then [`Outbound::seal`].
//!
//! ```text
//! ESP tunnel           | ESP header, IV | packet                     | trailer, ICV |
//! ESP transport, bare  | ESP header, IV | packet without IP header   | trailer, ICV |
//! ESP transport, whole | IP header | ESP header, IV | its payload   | trailer, ICV |   the header moves to the front
//! AH tunnel            | outer IP header, AH | packet                              |
//! AH transport         | IP header | AH | its payload                              |   the header moves to the front
//! ```

use std::ops::Range;

use crate::ecn::{self, Marking};
use crate::error::{OpenError, SealError};
use crate::inner::Inner;
use crate::sequence::Width;
use crate::transport::{self, Place};
use crate::{ah, esn, esp, ipv4, protocol};

/// The outbound transform of an SA.
pub enum Outbound {
    /// ESP, around whole packets.
    EspTunnel(esp::Sealer),
    /// ESP, behind the packet's own IP header.
    EspTransport(transport::Sealer),
    /// AH, in front of whole packets, with the outer header.
    AhTunnel(ah::TunnelSealer),
    /// AH, behind the packet's own IP header.
    AhTransport(ah::TransportSealer),
}

/// What all packets of one super-packet have in common.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Octets in front of each packet that are not written into its slot.
    pub skip: usize,
    /// Octets of the slot in front of what is written there.
    pub headroom: usize,
    /// DSCP and ECN of the outer header. In tunnel mode ESP leaves it to the socket.
    pub traffic_class: u8,
    /// DF of an outer IPv4 header: that of the inner one (RFC 4301 section 8.1), set for IPv6, which no router fragments. The
    /// caller may decide otherwise.
    pub dont_fragment: bool,
    next_header: u8,
    place: Place,
}

impl Outbound {
    /// The shape of the packets that `packet`, which `inner` was parsed from, is cut into.
    ///
    /// # Errors
    /// In transport mode what has no place for ESP or AH: fragments, headers that do not fit.
    pub fn shape(
        &self,
        inner: &Inner,
        packet: &[u8],
        marking: &Marking,
    ) -> Result<Shape, SealError> {
        let packet = packet.get(..inner.length).ok_or(SealError::Refused)?;
        let class = ecn::traffic_class(packet);
        let (place, class) = match self {
            Self::EspTransport(sealer) => (sealer.place(packet)?, class),
            Self::AhTransport(sealer) => (sealer.place(packet)?, class),
            Self::EspTunnel(_) | Self::AhTunnel(_) => (Place::none(), marking.outer(class)),
        };
        let dont_fragment = inner.is_v6()
            || ipv4::Packet::new_unchecked(packet).fragment_word() & ipv4::DONT_FRAGMENT != 0;
        Ok(Shape {
            skip: self.skip(&place),
            headroom: self.headroom(&place),
            traffic_class: class,
            dont_fragment,
            next_header: inner.tunnel_next_header(),
            place,
        })
    }

    /// Octets of what leaves for a packet of `packet_len` octets.
    #[inline]
    pub fn sealed_len(&self, shape: &Shape, packet_len: usize) -> usize {
        match self {
            Self::EspTunnel(sealer) => sealer.sealed_len(packet_len),
            Self::EspTransport(sealer) => sealer.sealed_len(&shape.place, packet_len),
            Self::AhTunnel(sealer) => sealer.sealed_len(packet_len),
            Self::AhTransport(sealer) => sealer.sealed_len(&shape.place, packet_len),
        }
    }

    /// The longest packet of this shape of which no more than `limit` octets leave; `None` if none is so short. What is longer
    /// is cut, or its sender told (RFC 4301 section 8.2).
    pub fn max_packet_len(&self, shape: &Shape, limit: usize) -> Option<usize> {
        match self {
            Self::EspTunnel(sealer) => sealer.max_payload_len(limit),
            Self::EspTransport(sealer) => sealer.max_packet_len(&shape.place, limit),
            Self::AhTunnel(sealer) => limit.checked_sub(sealer.headroom()),
            Self::AhTransport(sealer) => limit.checked_sub(sealer.headroom(&shape.place)),
        }
    }

    /// Seal what was written into `slot`. `packet_len`: octets of the packet, those that were skipped included.
    ///
    /// On an error the slot is worthless.
    #[inline]
    pub fn seal(
        &self,
        slot: &mut [u8],
        shape: &Shape,
        packet_len: usize,
        sequence: u64,
    ) -> Result<(), SealError> {
        match self {
            Self::EspTunnel(sealer) => sealer.seal(slot, packet_len, shape.next_header, sequence),
            Self::EspTransport(sealer) => sealer.seal(slot, &shape.place, packet_len, sequence),
            Self::AhTunnel(sealer) if slot.len() == sealer.sealed_len(packet_len) => sealer.seal(
                slot,
                shape.next_header,
                shape.traffic_class,
                shape.dont_fragment,
                sequence,
            ),
            Self::AhTunnel(_) => Err(SealError::Refused),
            Self::AhTransport(sealer) => sealer.seal(slot, &shape.place, packet_len, sequence),
        }
    }

    fn skip(&self, place: &Place) -> usize {
        match self {
            Self::EspTransport(sealer) => sealer.skip(place),
            _ => 0,
        }
    }

    fn headroom(&self, place: &Place) -> usize {
        match self {
            Self::EspTunnel(sealer) => sealer.headroom(),
            Self::EspTransport(sealer) => sealer.headroom(),
            Self::AhTunnel(sealer) => sealer.headroom(),
            Self::AhTransport(sealer) => sealer.headroom(place),
        }
    }
}

/// The inbound transform of an SA.
pub enum Inbound {
    /// ESP, around whole packets.
    EspTunnel(esp::Opener),
    /// ESP, behind the packet's own IP header.
    EspTransport(transport::Opener),
    /// AH, in front of whole packets.
    AhTunnel(ah::Opener),
    /// AH, behind the packet's own IP header.
    AhTransport(ah::Opener),
}

/// What came out of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where it is: in tunnel mode the inner packet, with TFC padding behind it, in transport mode the packet as it was.
    pub range: Range<usize>,
    /// What it is: in tunnel mode 4 or 41, in transport mode the protocol behind the IP header; 59 for a dummy.
    pub next_header: u8,
}

impl Inbound {
    /// How wide the sequence numbers are.
    #[inline]
    pub fn width(&self) -> Width {
        match self {
            Self::EspTunnel(opener) => opener.width(),
            Self::EspTransport(opener) => opener.width(),
            Self::AhTunnel(opener) | Self::AhTransport(opener) => opener.width(),
        }
    }

    /// SPI and the lower half of the sequence number, before anything is verified. `octets`: as for [`Inbound::open`].
    pub fn peek(&self, octets: &[u8]) -> Result<(u32, u32), OpenError> {
        match self {
            Self::EspTunnel(_) => peek_esp(octets),
            Self::EspTransport(opener) => match opener.form() {
                transport::Form::Bare => peek_esp(octets),
                transport::Form::Whole => {
                    let place = Place::of(octets, protocol::ESP)?;
                    peek_esp(&octets[place.at..])
                }
            },
            Self::AhTunnel(_) | Self::AhTransport(_) => {
                let place = Place::of(octets, protocol::AH)?;
                let header = ah::Packet::new_checked(&octets[place.at..])?;
                Ok((header.spi(), header.sequence()))
            }
        }
    }

    /// Open a packet in place (RFC 4303 section 3.4, RFC 4302 section 3.4).
    ///
    /// `octets`: the ESP packet from the SPI on, in tunnel mode and in bare transport mode; otherwise all of the IP packet.
    /// `sequence`: the whole number, as [`crate::replay::Window::number`] finds it, checked against the window. `accept` is
    /// called when the ICV was right, before anything else is believed: it moves the window, or refuses.
    ///
    /// # Errors
    /// The octets are worthless then. After a wrong ICV they are as they were only for AH.
    #[inline]
    pub fn open<E: From<OpenError>>(
        &self,
        octets: &mut [u8],
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        match self {
            Self::EspTunnel(opener) => opener.open(octets, sequence, accept),
            Self::EspTransport(opener) => opener.open(octets, sequence, accept),
            Self::AhTunnel(opener) => opener.open_tunnel(octets, sequence, accept),
            Self::AhTransport(opener) => opener.open_transport(octets, sequence, accept),
        }
    }

    /// Try a packet whose ICV was wrong under later upper halves of its number (RFC 4303 appendix A3.2), when
    /// [`crate::esn::Resync::failed`] says so. Costs at most [`esn::TRIALS`] attempts to open it.
    ///
    /// `octets`: where it is opened. `copy`: the packet as it came in, as long. `recovered`: the number that failed. `accept`
    /// moves the window to the number that it is given.
    ///
    /// # Errors
    /// [`OpenError::BadIcv`] if it was forged after all, or if there is no upper half; what `accept` answers.
    pub fn resynchronize<E: From<OpenError>>(
        &self,
        octets: &mut [u8],
        copy: &[u8],
        recovered: u64,
        mut accept: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Opened, E> {
        if self.width() == Width::Bits32 || octets.len() != copy.len() {
            return Err(OpenError::BadIcv.into());
        }
        for number in esn::candidates(recovered) {
            octets.copy_from_slice(copy);
            match self.open(octets, number, || accept(number).map_err(Attempt::Refused)) {
                Err(Attempt::Failed(OpenError::BadIcv)) => {}
                Err(Attempt::Failed(error)) => return Err(error.into()),
                Err(Attempt::Refused(refused)) => return Err(refused),
                Ok(opened) => return Ok(opened),
            }
        }
        Err(OpenError::BadIcv.into())
    }
}

/// What ended an attempt of [`Inbound::resynchronize`].
enum Attempt<E> {
    Failed(OpenError),
    Refused(E),
}

impl<E> From<OpenError> for Attempt<E> {
    fn from(error: OpenError) -> Self {
        Self::Failed(error)
    }
}

fn peek_esp(octets: &[u8]) -> Result<(u32, u32), OpenError> {
    let header = esp::Packet::new_checked(octets).map_err(|_| OpenError::Truncated)?;
    Ok((header.spi(), header.sequence()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ah::round_trip::{v4, v6};
    use crate::keys::KeyMaterial;
    use crate::segment::Plan;
    use crate::suites;
    use crate::transport::Form;
    use crate::virtio::Header;
    use proptest::prelude::*;

    const SPI: u32 = 0x8000_0001;

    /// The four kinds of SA, ESP's transport mode in both forms, with one suite.
    fn pairs(
        esp: &KeyMaterial,
        ah: &KeyMaterial,
        width: Width,
        is_v6: bool,
    ) -> Vec<(Outbound, Inbound)> {
        let sealer = || esp::Sealer::new(SPI, esp, width).expect("a suite");
        let opener = || esp::Opener::new(esp, width).expect("a suite");
        let transport = |form| {
            (
                Outbound::EspTransport(transport::Sealer::new(sealer(), form)),
                Inbound::EspTransport(transport::Opener::new(opener(), form)),
            )
        };
        let outer = if is_v6 { v6(51, &[]) } else { v4(51, &[], &[]) };
        let tunnel = ah::TunnelSealer::new(SPI, ah, width, &outer).expect("a tunnel");
        let ah_transport = ah::TransportSealer::new(SPI, ah, width, is_v6).expect("a suite");
        let ah = || ah::Opener::new(ah, width).expect("a suite");
        vec![
            (Outbound::EspTunnel(sealer()), Inbound::EspTunnel(opener())),
            transport(Form::Whole),
            transport(Form::Bare),
            (Outbound::AhTunnel(tunnel), Inbound::AhTunnel(ah())),
            (
                Outbound::AhTransport(ah_transport),
                Inbound::AhTransport(ah()),
            ),
        ]
    }

    /// Seal as the plane does.
    fn seal(outbound: &Outbound, packet: &[u8], sequence: u64) -> (Shape, Vec<u8>) {
        let inner = Inner::parse(packet).expect("a packet");
        let plan = Plan::new(&Header::default(), packet, &inner).expect("a plan");
        let shape = outbound
            .shape(&inner, packet, &Marking::default())
            .expect("a shape");
        let length = plan.length(0);
        let mut slot = vec![0xee; outbound.sealed_len(&shape, length)];
        let written = shape.headroom..shape.headroom + length - shape.skip;
        plan.write_behind(0, shape.skip, &mut slot[written]);
        outbound
            .seal(&mut slot, &shape, length, sequence)
            .expect("sealed");
        (shape, slot)
    }

    fn any_width() -> impl Strategy<Value = Width> {
        prop_oneof![Just(Width::Bits32), Just(Width::Bits64)]
    }

    proptest! {
        #[test]
        fn round_trip(
            esp in proptest::sample::select(suites::esp()),
            ah in proptest::sample::select(suites::ah()),
            width in any_width(),
            six: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..1500),
            sequence: u64,
        ) {
            let sequence = sequence & width.last();
            let packet = if six { v6(17, &payload) } else { v4(17, &[], &payload) };
            for (outbound, inbound) in pairs(&esp, &ah, width, six) {
                let (shape, mut sealed) = seal(&outbound, &packet, sequence);
                prop_assert_eq!(inbound.peek(&sealed), Ok((SPI, sequence as u32)));
                prop_assert_eq!(inbound.width(), width);
                let mut accepted = 0;
                let opened = inbound.open::<OpenError>(&mut sealed, sequence, || {
                    accepted += 1;
                    Ok(())
                });
                let opened = opened.expect("opened");
                prop_assert_eq!(&sealed[opened.range], &packet[shape.skip..]);
                prop_assert_eq!(accepted, 1);
            }
        }

        /// RFC 4303 section 3.4.3: the window moves only after the ICV was verified, and its word counts.
        #[test]
        fn the_window_is_asked_after_the_icv(esp in proptest::sample::select(suites::esp()), ah in proptest::sample::select(suites::ah()), six: bool) {
            let packet = if six { v6(17, &[1; 50]) } else { v4(17, &[], &[1; 50]) };
            for (outbound, inbound) in pairs(&esp, &ah, Width::Bits32, six) {
                let (_, sealed) = seal(&outbound, &packet, 7);
                let refused = inbound.open(&mut sealed.clone(), 7, || Err(OpenError::Truncated));
                prop_assert_eq!(refused, Err(OpenError::Truncated));
                let mut forged = sealed;
                let last = forged.len() - 1;
                forged[last] ^= 1;
                let unasked = || -> Result<(), OpenError> { panic!("asked before the ICV was verified") };
                prop_assert_eq!(inbound.open(&mut forged, 7, unasked), Err(OpenError::BadIcv));
            }
        }

        /// RFC 4303 appendix A3.2: after a loss of more than 2^32 packets, the packet is opened under a later upper half, and
        /// the window follows; one from the past is not.
        #[test]
        fn the_receiver_comes_back_into_step(
            esp in proptest::sample::select(suites::esp()),
            ah in proptest::sample::select(suites::ah()),
            lost in 1u64..=esn::TRIALS + 1,
            lower: u32,
        ) {
            let packet = v4(17, &[], &[1; 50]);
            let recovered = 5 << 32 | u64::from(lower);
            let sent = recovered + (lost << 32);
            for (outbound, inbound) in pairs(&esp, &ah, Width::Bits64, false) {
                let (shape, sealed) = seal(&outbound, &packet, sent);
                let mut octets = sealed.clone();
                let opened = inbound.open::<OpenError>(&mut octets, recovered, || Ok(()));
                prop_assert_eq!(opened, Err(OpenError::BadIcv));
                let mut accepted = None;
                let opened = inbound.resynchronize::<OpenError>(&mut octets, &sealed, recovered, |number| {
                    accepted = Some(number);
                    Ok(())
                });
                if lost <= esn::TRIALS {
                    prop_assert_eq!(&octets[opened.expect("opened").range], &packet[shape.skip..]);
                    prop_assert_eq!(accepted, Some(sent));
                } else {
                    prop_assert_eq!((opened, accepted), (Err(OpenError::BadIcv), None));
                }
                let past = inbound.resynchronize::<OpenError>(&mut octets, &sealed, sent, |_| Ok(()));
                prop_assert_eq!(past, Err(OpenError::BadIcv));
            }
        }

        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..100)) {
            let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
            let ah = KeyMaterial::for_ah(12, &[1; 32]);
            for (_, inbound) in pairs(&keys, &ah, Width::Bits32, false) {
                let _ = inbound.peek(&junk);
                prop_assert!(inbound.open::<OpenError>(&mut junk.clone(), 7, || Ok(())).is_err());
            }
        }
    }

    /// RFC 4301 sections 5.1.2.1 and 8.1: what the outer header takes over from the inner one.
    #[test]
    fn the_shape_tells_of_the_outer_header() {
        let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
        let tunnel =
            Outbound::EspTunnel(esp::Sealer::new(SPI, &keys, Width::Bits32).expect("a suite"));
        let mut packet = v4(17, &[], &[1; 50]);
        packet[1] = 0xba;
        let shape = |packet: &[u8], marking: &Marking| {
            let inner = Inner::parse(packet).expect("a packet");
            tunnel.shape(&inner, packet, marking).expect("a shape")
        };
        let copied = shape(&packet, &Marking::default());
        assert_eq!((copied.traffic_class, copied.dont_fragment), (0xba, true));
        let fixed = Marking {
            dscp: ecn::Dscp::Fixed(0),
            ecn: ecn::Encapsulation::Normal,
        };
        packet[6] = 0;
        let shaped = shape(&packet, &fixed);
        assert_eq!((shaped.traffic_class, shaped.dont_fragment), (0x02, false));
        assert!(shape(&v6(17, &[1; 50]), &fixed).dont_fragment);
    }

    /// RFC 4301 section 8.2: the longest packet that fits, and not one octet more.
    #[test]
    fn the_longest_packet_fits() {
        for esp in suites::esp() {
            for is_v6 in [false, true] {
                let ah = KeyMaterial::for_ah(13, &[1; 48]);
                let packet = if is_v6 {
                    v6(17, &[1; 50])
                } else {
                    v4(17, &[], &[1; 50])
                };
                let inner = Inner::parse(&packet).expect("a packet");
                for (outbound, _) in pairs(&esp, &ah, Width::Bits32, is_v6) {
                    let shape = outbound
                        .shape(&inner, &packet, &Marking::default())
                        .expect("a shape");
                    for limit in 1380..1400 {
                        let longest = outbound.max_packet_len(&shape, limit).expect("a length");
                        assert!(outbound.sealed_len(&shape, longest) <= limit, "{esp:?}");
                        assert!(outbound.sealed_len(&shape, longest + 1) > limit, "{esp:?}");
                    }
                    assert_eq!(outbound.max_packet_len(&shape, 7), None);
                }
            }
        }
    }

    /// The plane's threads share SAs.
    #[test]
    fn transforms_are_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Outbound>();
        shared::<Inbound>();
    }

    /// A slot that is not as long as it should be is refused, not written beyond.
    #[test]
    fn slots_of_the_wrong_length_are_refused() {
        let esp = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
        let ah = KeyMaterial::for_ah(12, &[1; 32]);
        let packet = v4(17, &[], &[1; 50]);
        let inner = Inner::parse(&packet).expect("a packet");
        for (outbound, _) in pairs(&esp, &ah, Width::Bits32, false) {
            let shape = outbound
                .shape(&inner, &packet, &Marking::default())
                .expect("a shape");
            let right = outbound.sealed_len(&shape, packet.len());
            for length in [0, 1, 20, right - 1, right + 1] {
                let sealed = outbound.seal(&mut vec![0; length], &shape, packet.len(), 1);
                assert_eq!(sealed, Err(SealError::Refused), "{length}");
            }
            assert!(outbound.seal(&mut vec![0; right], &shape, 3, 1).is_err());
        }
    }
}
