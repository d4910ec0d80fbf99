//! ESP in transport mode.

use super::place::{total_len, Place};
use crate::error::{OpenError, SealError};
use crate::sequence::Width;
use crate::transform::Opened;
use crate::{esp, protocol};

/// Who writes the IP header of an ESP packet in transport mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// We do: what is sealed is a whole IP packet, and what is opened too.
    Whole,
    /// The socket does, a raw one or, with UDP encapsulation, a UDP one: what is sealed and opened is the ESP packet
    /// alone. So the IP header must be a plain one.
    Bare,
}

/// The outbound direction of ESP.
pub struct Sealer {
    esp: esp::Sealer,
    form: Form,
}

impl Sealer {
    /// Use this transform in transport mode.
    pub fn new(esp: esp::Sealer, form: Form) -> Self {
        Self { esp, form }
    }

    /// Have another write the IP header from now on.
    pub fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// Where ESP goes in this packet, and in all that it is cut into.
    pub fn place(&self, packet: &[u8]) -> Result<Place, SealError> {
        let place = Place::for_esp(packet)?;
        if self.form == Form::Bare && !place.is_plain() {
            return Err(SealError::NotPlain);
        }
        Ok(place)
    }

    /// Octets of the packet in front that are left out of the slot.
    pub fn skip(&self, place: &Place) -> usize {
        match self.form {
            Form::Whole => 0,
            Form::Bare => place.at(),
        }
    }

    /// Octets of the slot in front of what is written there.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.esp.headroom()
    }

    /// Octets of what leaves for a packet of `packet_len` octets.
    #[inline]
    pub fn sealed_len(&self, place: &Place, packet_len: usize) -> usize {
        let sealed = self.esp.sealed_len(packet_len.saturating_sub(place.at()));
        match self.form {
            Form::Whole => place.at() + sealed,
            Form::Bare => sealed,
        }
    }

    /// The longest packet of which no more than `limit` octets leave; `None` if none is so short.
    pub fn max_packet_len(&self, place: &Place, limit: usize) -> Option<usize> {
        let limit = match self.form {
            Form::Whole => limit.checked_sub(place.at())?,
            Form::Bare => limit,
        };
        Some(place.at() + self.esp.max_payload_len(limit)?)
    }

    /// Seal the packet that stands in `slot` behind [`Sealer::headroom`] octets, without its first [`Sealer::skip`]
    /// octets.
    ///
    /// `slot`: as long as [`Sealer::sealed_len`] says. `packet_len`: all octets of the packet.
    pub fn seal(
        &self,
        slot: &mut [u8],
        place: &Place,
        packet_len: usize,
        sequence: u64,
    ) -> Result<(), SealError> {
        if slot.len() != self.sealed_len(place, packet_len) {
            return Err(SealError::Refused);
        }
        let payload_len = packet_len
            .checked_sub(place.at())
            .ok_or(SealError::Refused)?;
        if self.form == Form::Bare {
            return self
                .esp
                .seal(slot, payload_len, place.next_header, sequence);
        }
        place.lead(slot, self.headroom());
        let esp = &mut slot[place.at()..];
        self.esp
            .seal(esp, payload_len, place.next_header, sequence)?;
        Ok(place.announce(slot, protocol::ESP)?)
    }
}

/// The inbound direction of ESP.
pub struct Opener {
    esp: esp::Opener,
}

impl Opener {
    /// Use this transform in transport mode.
    pub fn new(esp: esp::Opener) -> Self {
        Self { esp }
    }

    /// How wide the sequence numbers are.
    pub fn width(&self) -> Width {
        self.esp.width()
    }

    /// Open in place. The result is the packet as it was before ESP, with the addresses that it came with, or
    /// ([`Form::Bare`]) what stood behind its header. A dummy packet is left as it is: its next header tells.
    ///
    /// Parameters: as [`crate::transform::Inbound::open`] has them.
    pub fn open<E: From<OpenError>>(
        &self,
        octets: &mut [u8],
        form: Form,
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        if form == Form::Bare {
            return self.esp.open(octets, sequence, accept);
        }
        let (place, opened) = open_whole(&self.esp, octets, sequence, accept)?;
        if opened.next_header == protocol::NO_NEXT_HEADER {
            return Ok(opened);
        }
        let range = place.restore(octets, opened.range.clone(), opened.next_header);
        Ok(Opened {
            range: range.map_err(OpenError::from)?,
            ..opened
        })
    }
}

/// Open ESP behind the IP header of a whole packet: where it was, and where its payload is in the packet.
pub(crate) fn open_whole<E: From<OpenError>>(
    esp: &esp::Opener,
    packet: &mut [u8],
    sequence: u64,
    accept: impl FnOnce() -> Result<(), E>,
) -> Result<(Place, Opened), E> {
    let place = Place::of(packet, protocol::ESP).map_err(OpenError::from)?;
    let end = total_len(packet);
    let mut opened = esp.open(&mut packet[place.at()..end], sequence, accept)?;
    opened.range = place.at() + opened.range.start..place.at() + opened.range.end;
    Ok((place, opened))
}
