//! The two directions of ESP as the plane uses them: transform, sequence numbers, replay window. Each also stands by
//! itself, without I/O, for tests and tools.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use caponier_packet::esn::{self, Resync};
use caponier_packet::esp::{self, KeyMaterial, OpenError, Packet, Trailer};
use caponier_packet::inner::Inner;
use caponier_packet::replay::Window;
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
    pub fn new(
        spi: u32,
        keys: &KeyMaterial,
        width: Width,
        sequence: u64,
    ) -> Result<Self, PlaneError> {
        check_spi(spi)?;
        if !(1..=width.last()).contains(&sequence) {
            return Err(PlaneError::Sequence(sequence));
        }
        Ok(Self {
            transform: esp::Sealer::new(spi, keys, width)?,
            sequence: Counter::new(sequence, width),
        })
    }

    /// Pad inner packets up to `size` octets (RFC 4303 section 2.7); 0 turns it off.
    #[must_use]
    pub fn with_tfc(mut self, size: u16) -> Self {
        self.transform = self.transform.with_tfc(size);
        self
    }

    /// Seal an inner IP packet; returns the ESP packet, without outer headers.
    ///
    /// # Errors
    /// `MalformedInner` for what is not an IP packet, `SequenceExhausted` after the last number.
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
    arrivals: Mutex<Arrivals>,
}

/// What was accepted so far, and what failed since.
struct Arrivals {
    window: Window,
    resync: Resync,
}

impl Opener {
    /// Make the keys of an SA ready. `replay_window`: 32 to 4096 packets.
    pub fn new(
        spi: u32,
        keys: &KeyMaterial,
        width: Width,
        replay_window: u32,
    ) -> Result<Self, PlaneError> {
        check_spi(spi)?;
        let window = Window::new(replay_window).ok_or(PlaneError::ReplayWindow(replay_window))?;
        Ok(Self {
            spi,
            transform: esp::Opener::new(keys, width)?,
            arrivals: Mutex::new(Arrivals {
                window,
                resync: Resync::new(),
            }),
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
        let lower = packet.sequence();
        let plaintext = match self.transform.width() {
            Width::Bits32 => self.verify(esp, lower.into())?,
            Width::Bits64 => self.verify_extended(esp, lower)?,
        };
        let plaintext = &esp[plaintext];
        let trailer = Trailer::decode(plaintext)?;
        tunnelled(&plaintext[..trailer.payload_len], trailer.next_header)
    }

    /// Decrypt a packet of this number, once; returns where its plaintext stands.
    fn verify(&self, esp: &mut [u8], sequence: u64) -> Result<Range<usize>, Drop> {
        self.arrivals().window.check(sequence)?;
        let plaintext = self.transform.decrypt(esp, sequence)?;
        self.arrivals().window.accept(sequence)?;
        Ok(plaintext)
    }

    /// As [`Opener::verify`], with the upper half of the number found by the window, and after many failures by trial (RFC
    /// 4303 appendices A2 and A3). The copy that a trial needs is made for one failure in 64.
    fn verify_extended(&self, esp: &mut [u8], lower: u32) -> Result<Range<usize>, Drop> {
        let (sequence, spare) = {
            let arrivals = self.arrivals();
            let sequence = arrivals.window.number(lower, Width::Bits64)?;
            arrivals.window.check(sequence)?;
            (sequence, arrivals.resync.is_due().then(|| esp.to_vec()))
        };
        let (sequence, plaintext) = match self.transform.decrypt(esp, sequence) {
            Ok(plaintext) => (sequence, plaintext),
            Err(OpenError::BadIcv) if self.arrivals().resync.failed() => {
                let spare = spare.ok_or(Drop::BadIcv)?;
                self.try_later(esp, &spare, sequence)?
            }
            Err(error) => return Err(error.into()),
        };
        let mut arrivals = self.arrivals();
        arrivals.resync.succeeded();
        arrivals.window.accept(sequence)?;
        Ok(plaintext)
    }

    fn try_later(
        &self,
        esp: &mut [u8],
        spare: &[u8],
        sequence: u64,
    ) -> Result<(u64, Range<usize>), Drop> {
        esn::candidates(sequence)
            .find_map(|candidate| {
                esp.copy_from_slice(spare);
                let opened = self.transform.decrypt(esp, candidate);
                opened.ok().map(|plaintext| (candidate, plaintext))
            })
            .ok_or(Drop::BadIcv)
    }

    /// The lock is uncontended where packets of one SA arrive at one thread, as the sockets' steering has it.
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: [u8; 20] = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2,
    ];

    fn keys() -> KeyMaterial {
        KeyMaterial::new(20, 128, &[7; 20], 0, &[])
    }

    fn sealed(sequence: u64) -> Vec<u8> {
        let sealer = Sealer::new(700, &keys(), Width::Bits64, sequence).expect("an SA");
        sealer.seal(&INNER).expect("a packet")
    }

    fn opener() -> Opener {
        Opener::new(700, &keys(), Width::Bits64, 64).expect("an SA")
    }

    /// RFC 4303 appendix A2: the upper half is not sent, and goes up with the lower half's turn.
    #[test]
    fn extended_numbers_go_on_beyond_32_bits() {
        let opener = opener();
        for sequence in [
            1,
            0x9000_0000,
            0xffff_fff0,
            0x1_0000_0005,
            0x1_c000_0000,
            0x2_0000_0000,
        ] {
            assert!(opener.open(&sealed(sequence)).is_ok(), "{sequence:#x}");
        }
        assert_eq!(opener.open(&sealed(0x2_0000_0000)), Err(Drop::Replayed));
    }

    /// RFC 4303 appendix A3: after more than 2^32 lost packets in a row the peers find together again.
    #[test]
    fn a_long_silence_is_bridged() {
        let opener = opener();
        assert!(opener.open(&sealed(9)).is_ok());
        let failures = (0..200u64)
            .take_while(|step| opener.open(&sealed(0x3_0000_0010 + step)).is_err())
            .count();
        assert_eq!(failures as u32, esn::TRIGGER - 1);
        assert_eq!(opener.open(&sealed(0x3_0000_004f)), Err(Drop::Replayed));
        assert!(opener.open(&sealed(0x3_0000_0100)).is_ok());
    }

    /// RFC 4303 section 3.3.3: the numbers of 32 bits end, those of 64 bits go on.
    #[test]
    fn numbers_end_where_the_width_ends() {
        let narrow = Sealer::new(700, &keys(), Width::Bits32, u32::MAX.into()).expect("an SA");
        assert!(narrow.seal(&INNER).is_ok());
        assert_eq!(narrow.seal(&INNER), Err(Drop::SequenceExhausted));
        assert!(Sealer::new(700, &keys(), Width::Bits32, 1 << 32).is_err());
        let wide = Sealer::new(700, &keys(), Width::Bits64, u32::MAX.into()).expect("an SA");
        assert!(wide.seal(&INNER).is_ok());
        assert!(wide.seal(&INNER).is_ok());
    }
}
