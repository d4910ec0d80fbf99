//! The two directions of ESP as the plane uses them: transform, sequence numbers, replay window. Each also stands by
//! itself, without I/O, for tests and tools.

use std::sync::{Mutex, PoisonError};

use caponier_packet::esp::{self, KeyMaterial, Packet, Trailer};
use caponier_packet::inner::Inner;
use caponier_packet::replay::{Refused, Window};
use caponier_packet::segment::Plan;
use caponier_packet::sequence::{Counter, Numbers, Width};
use caponier_packet::{protocol, virtio};

use crate::drops::Drop;
use crate::error::PlaneError;

/// SPIs 1 to 255 are reserved by IANA, 0 for local use (RFC 4303 section 2.1).
const FIRST_SPI: u32 = 256;

/// One outbound SA: seals inner IP packets.
pub struct Sealer {
    transform: esp::Sealer,
    sequence: Counter,
}

impl Sealer {
    /// Make the keys of an SA ready; the first packet has the number `sequence`, 1 for a new SA.
    pub fn new(spi: u32, keys: &KeyMaterial, sequence: u64) -> Result<Self, PlaneError> {
        check_spi(spi)?;
        if !(1..=Width::Bits32.last()).contains(&sequence) {
            return Err(PlaneError::Sequence(sequence));
        }
        Ok(Self {
            transform: esp::Sealer::new(spi, keys, Width::Bits32)?,
            sequence: Counter::new(sequence, Width::Bits32),
        })
    }

    /// Seal an inner IP packet; returns the ESP packet, without outer headers.
    ///
    /// # Errors
    /// `MalformedInner` for what is not an IP packet, `SequenceExhausted` after number 2^32 - 1.
    pub fn seal(&self, inner: &[u8]) -> Result<Vec<u8>, Drop> {
        let parsed = Inner::parse(inner)?;
        let plan = Plan::new(&virtio::Header::default(), inner, &parsed)?;
        let number = self.reserve(1).next().ok_or(Drop::SequenceExhausted)?;
        let mut slot = vec![0; self.transform.sealed_len(parsed.length)];
        self.seal_segment(&plan, 0, parsed.tunnel_next_header(), number, &mut slot)?;
        Ok(slot)
    }

    pub(crate) fn reserve(&self, count: usize) -> Numbers {
        self.sequence.reserve(count)
    }

    pub(crate) fn sealed_len(&self, inner_len: usize) -> usize {
        self.transform.sealed_len(inner_len)
    }

    /// Cut the segment at `index` into its place in `slot` and seal it there.
    pub(crate) fn seal_segment(
        &self,
        plan: &Plan<'_>,
        index: usize,
        next_header: u8,
        number: u64,
        slot: &mut [u8],
    ) -> Result<(), Drop> {
        let (start, length) = (self.transform.headroom(), plan.length(index));
        plan.write(index, &mut slot[start..start + length]);
        Ok(self.transform.seal(slot, length, next_header, number)?)
    }
}

/// One inbound SA: opens ESP packets.
pub struct Opener {
    spi: u32,
    transform: esp::Opener,
    window: Mutex<Window>,
}

impl Opener {
    /// Make the keys of an SA ready. `replay_window`: 32 to 4096 packets.
    pub fn new(spi: u32, keys: &KeyMaterial, replay_window: u32) -> Result<Self, PlaneError> {
        check_spi(spi)?;
        let window = Window::new(replay_window).ok_or(PlaneError::ReplayWindow(replay_window))?;
        Ok(Self {
            spi,
            transform: esp::Opener::new(keys, Width::Bits32)?,
            window: Mutex::new(window),
        })
    }

    /// Open an ESP packet, from the SPI on; returns the inner IP packet.
    ///
    /// # Errors
    /// Why a gateway would drop the packet. A dummy packet (next header 59) is `Dummy`.
    pub fn open(&self, esp: &[u8]) -> Result<Vec<u8>, Drop> {
        let mut octets = esp.to_vec();
        let (_, inner) = self.open_in_place(&mut octets)?;
        Ok(inner.to_vec())
    }

    /// Open in place: replay check, ICV, replay window, padding, next header, inner packet, in the order of RFC 4303
    /// section 3.4.
    pub(crate) fn open_in_place<'a>(&self, esp: &'a mut [u8]) -> Result<(Inner, &'a [u8]), Drop> {
        let packet = Packet::new_checked(&*esp).map_err(|_| Drop::Truncated)?;
        if packet.spi() != self.spi {
            return Err(Drop::UnknownSpi);
        }
        let sequence = u64::from(packet.sequence());
        self.with_window(|window| window.check(sequence))?;
        let plaintext = self.transform.decrypt(esp, sequence)?;
        self.with_window(|window| window.accept(sequence))?;
        let plaintext = &esp[plaintext];
        let trailer = Trailer::decode(plaintext)?;
        tunnelled(&plaintext[..trailer.payload_len], trailer.next_header)
    }

    /// The lock is uncontended where packets of one SA arrive at one thread, as the sockets' steering has it.
    fn with_window(
        &self,
        step: impl FnOnce(&mut Window) -> Result<(), Refused>,
    ) -> Result<(), Drop> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(step(&mut window)?)
    }
}

/// The inner packet of tunnel mode, without what TFC padding follows it (RFC 4303 section 2.7).
fn tunnelled(payload: &[u8], next_header: u8) -> Result<(Inner, &[u8]), Drop> {
    match next_header {
        protocol::IPV4 | protocol::IPV6 => {}
        protocol::NO_NEXT_HEADER => return Err(Drop::Dummy),
        _ => return Err(Drop::BadNextHeader),
    }
    let inner = Inner::parse(payload)?;
    if inner.tunnel_next_header() != next_header {
        return Err(Drop::MalformedInner);
    }
    let packet = &payload[..inner.length];
    Ok((inner, packet))
}

fn check_spi(spi: u32) -> Result<(), PlaneError> {
    if spi < FIRST_SPI {
        return Err(PlaneError::ReservedSpi(spi));
    }
    Ok(())
}
