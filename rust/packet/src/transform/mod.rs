//! What an SA does to packets, whichever protocol and mode it has: one match per packet.
//!
//! Outbound, for each super-packet: [`Outbound::shape`] once. For each packet of the plan: a slot of
//! [`Outbound::sealed_len`] octets, into which [`crate::segment::Plan::write_behind`] writes the packet, but for its
//! first [`Shape::skip`] octets, behind [`Shape::headroom`] octets; then [`Outbound::seal`].
//!
//! ```text
//! ESP tunnel           | ESP header, IV | packet                     | trailer, ICV |
//! ESP transport, bare  | ESP header, IV | packet without IP header   | trailer, ICV |
//! ESP transport, whole | IP header | ESP header, IV | its payload   | trailer, ICV |   the header moves to the front
//! AH tunnel            | outer IP header, AH | packet                              |
//! AH transport         | IP header | AH | its payload                              |   the header moves to the front
//! ```

#[cfg(test)]
mod round_trip;

use std::ops::Range;

use crate::ecn::{self, Marking};
use crate::error::{Malformed, OpenError, SealError};
use crate::inner::Inner;
use crate::sequence::Width;
use crate::transport::{self, Form, Place};
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
    /// DF of an outer IPv4 header: that of the inner one (RFC 4301 section 8.1), set for IPv6, which no router
    /// fragments. The caller may decide otherwise.
    pub dont_fragment: bool,
    next_header: u8,
    place: Place,
}

impl Outbound {
    /// The shape of the packets that `packet`, which `inner` was parsed from, is cut into.
    ///
    /// # Errors
    /// In transport mode what has no place for ESP or AH: fragments, headers that do not fit.
    #[inline]
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

    /// The longest packet of this shape of which no more than `limit` octets leave; `None` if none is so short. What is
    /// longer is cut, or its sender told (RFC 4301 section 8.2).
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

    #[inline]
    fn skip(&self, place: &Place) -> usize {
        match self {
            Self::EspTransport(sealer) => sealer.skip(place),
            _ => 0,
        }
    }

    #[inline]
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
    /// Where it is: in tunnel mode the inner packet, with TFC padding behind it, in transport mode the packet as it
    /// was.
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

    /// SPI and the lower half of the sequence number, before anything is verified. `octets` and `form`: as for
    /// [`Inbound::open`].
    #[inline]
    pub fn peek(&self, octets: &[u8], form: Form) -> Result<(u32, u32), OpenError> {
        match self {
            Self::EspTunnel(_) | Self::EspTransport(_) => peek_esp(octets, form),
            Self::AhTunnel(_) | Self::AhTransport(_) => peek_ah(octets, form),
        }
    }

    /// Open a packet in place (RFC 4303 section 3.4, RFC 4302 section 3.4).
    ///
    /// `octets`: all of the IP packet, or ([`Form::Bare`]) the ESP packet from the SPI on; AH is nothing without the
    /// IP header, which it covers. `sequence`: the whole number, as [`crate::replay::Window::number`] finds it, checked against the window.
    /// `accept` is called when the ICV was right, before anything else is believed: it moves the window, or refuses.
    ///
    /// # Errors
    /// The octets are worthless then. After a wrong ICV they are as they were only for AH.
    #[inline]
    pub fn open<E: From<OpenError>>(
        &self,
        octets: &mut [u8],
        form: Form,
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        match self {
            Self::EspTunnel(opener) if form == Form::Bare => opener.open(octets, sequence, accept),
            Self::EspTunnel(opener) => {
                transport::open_whole(opener, octets, sequence, accept).map(|(_, opened)| opened)
            }
            Self::EspTransport(opener) => opener.open(octets, form, sequence, accept),
            Self::AhTunnel(_) | Self::AhTransport(_) if form == Form::Bare => {
                Err(OpenError::from(AH_ALONE).into())
            }
            Self::AhTunnel(opener) => opener.open_tunnel(octets, sequence, accept),
            Self::AhTransport(opener) => opener.open_transport(octets, sequence, accept),
        }
    }

    /// Try a packet whose ICV was wrong under later upper halves of its number (RFC 4303 appendix A3.2), when
    /// [`crate::esn::Resync::failed`] says so. Costs at most [`esn::TRIALS`] attempts to open it.
    ///
    /// `octets`: where it is opened. `copy`: the packet as it came in, as long. `form`: as for [`Inbound::open`].
    /// `recovered`: the number that failed.
    /// `accept` moves the window to the number that it is given.
    ///
    /// # Errors
    /// [`OpenError::BadIcv`] if it was forged after all, or if there is no upper half; what `accept` answers.
    pub fn resynchronize<E: From<OpenError>>(
        &self,
        octets: &mut [u8],
        copy: &[u8],
        form: Form,
        recovered: u64,
        mut accept: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Opened, E> {
        if self.width() == Width::Bits32 || octets.len() != copy.len() {
            return Err(OpenError::BadIcv.into());
        }
        for number in esn::candidates(recovered) {
            octets.copy_from_slice(copy);
            let accept = || accept(number).map_err(Attempt::Refused);
            match self.open(octets, form, number, accept) {
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

const AH_ALONE: Malformed = Malformed::new("ah", "without the IP header, which it covers");

/// SPI and the lower half of the sequence number of an ESP packet.
#[inline]
pub fn peek_esp(octets: &[u8], form: Form) -> Result<(u32, u32), OpenError> {
    let octets = match form {
        Form::Bare => octets,
        Form::Whole => &octets[Place::of(octets, protocol::ESP)?.at()..],
    };
    let header = esp::Packet::new_checked(octets).map_err(|_| OpenError::Truncated)?;
    Ok((header.spi(), header.sequence()))
}

/// SPI and the lower half of the sequence number of a packet with AH.
pub fn peek_ah(octets: &[u8], form: Form) -> Result<(u32, u32), OpenError> {
    if form == Form::Bare {
        return Err(AH_ALONE.into());
    }
    let place = Place::of(octets, protocol::AH)?;
    let header = ah::Packet::new_checked(&octets[place.at()..])?;
    Ok((header.spi(), header.sequence()))
}
