//! The two directions of an SA as the plane uses them: transform, sequence numbers, replay window. Each also stands by
//! itself, without I/O, for tests and tools.

use std::sync::{Mutex, MutexGuard, PoisonError};

use caponier_packet::ecn::Marking;
use caponier_packet::esn::Resync;
use caponier_packet::inner::Inner;
use caponier_packet::replay::Window;
use caponier_packet::segment::Plan;
use caponier_packet::sequence::{Counter, Numbers, Width};
use caponier_packet::transform::{Inbound, Opened, Outbound, Shape};
use caponier_packet::transport::Form;
use caponier_packet::{protocol, virtio, SealError};

use crate::drops::Drop;
use crate::error::PlaneError;
use crate::parameters::Tunnel;
use crate::pieces::Pieces;
use crate::transforms::{self, Association};

/// One outbound SA: seals IP packets.
pub struct Sealer {
    transform: Outbound,
    marking: Marking,
    sequence: Counter,
}

impl Sealer {
    /// Make the keys of an SA ready; the first packet has the number `sequence`, 1 for a new SA.
    ///
    /// `tunnel`: where its packets go. Without it ESP in transport mode seals whole packets, and AH in tunnel mode is
    /// refused.
    pub fn new(
        sa: Association<'_>,
        tunnel: Option<&Tunnel>,
        sequence: u64,
    ) -> Result<Self, PlaneError> {
        let transform = sa.outbound(tunnel)?;
        if !(1..=sa.width.last()).contains(&sequence) {
            return Err(PlaneError::Sequence(sequence));
        }
        Ok(Self {
            transform,
            marking: Marking::default(),
            sequence: Counter::new(sequence, sa.width),
        })
    }

    /// Pad inner packets up to `size` octets (RFC 4303 section 2.7); 0 turns it off.
    ///
    /// # Errors
    /// It is not ESP in tunnel mode.
    pub fn with_tfc(mut self, size: u16) -> Result<Self, PlaneError> {
        self.transform = match self.transform {
            Outbound::EspTunnel(sealer) => Outbound::EspTunnel(sealer.with_tfc(size)),
            _ if size > 0 => return Err(PlaneError::Tfc(size)),
            other => other,
        };
        Ok(self)
    }

    /// Give the outer headers of tunnel mode this DSCP and ECN.
    #[must_use]
    pub fn with_marking(mut self, marking: Marking) -> Self {
        self.marking = marking;
        self
    }

    /// Seal an IP packet. Of ESP in tunnel mode, and in transport mode in UDP, returns the ESP packet, without outer
    /// headers; otherwise all of the IP packet.
    ///
    /// # Errors
    /// `MalformedInner` for what is not an IP packet, `Fragment` for one in transport mode, `SequenceExhausted` after the
    /// last number.
    pub fn seal(&self, packet: &[u8]) -> Result<Vec<u8>, Drop> {
        let inner = Inner::parse(packet)?;
        let plan = Plan::new(&virtio::Header::default(), packet, &inner)?;
        let shape = self.shape(&inner, packet)?;
        let number = self.reserve(1).next().ok_or(Drop::SequenceExhausted)?;
        let mut slot = vec![0; self.sealed_len(&shape, inner.length)];
        self.seal_piece(&plan, 0, &shape, number, &mut slot)?;
        Ok(slot)
    }

    /// What all packets have in common that `packet` is cut into.
    #[inline]
    pub(crate) fn shape(&self, inner: &Inner, packet: &[u8]) -> Result<Shape, SealError> {
        self.transform.shape(inner, packet, &self.marking)
    }

    pub(crate) fn reserve(&self, count: usize) -> Numbers {
        self.sequence.reserve(count)
    }

    /// The last sequence number that was used.
    pub(crate) fn used(&self) -> u64 {
        self.sequence.used()
    }

    #[inline]
    pub(crate) fn sealed_len(&self, shape: &Shape, packet_len: usize) -> usize {
        self.transform.sealed_len(shape, packet_len)
    }

    /// Whether what is sealed for this tunnel are whole IP packets.
    pub(crate) fn form(&self, tunnel: &Tunnel) -> Form {
        transforms::form(&self.transform, tunnel)
    }

    /// Seal for a tunnel whose ends are elsewhere.
    pub(crate) fn move_to(&mut self, tunnel: &Tunnel) -> Result<(), PlaneError> {
        transforms::move_to(&mut self.transform, tunnel)
    }

    /// The longest packet of this shape of which no more than `limit` octets leave.
    pub(crate) fn max_packet_len(&self, shape: &Shape, limit: usize) -> Option<usize> {
        self.transform.max_packet_len(shape, limit)
    }

    /// Write the piece at `index` to its place in `slot` and seal it there.
    #[inline]
    pub(crate) fn seal_piece(
        &self,
        pieces: &impl Pieces,
        index: usize,
        shape: &Shape,
        number: u64,
        slot: &mut [u8],
    ) -> Result<(), Drop> {
        let length = pieces.length(index);
        let written = shape.headroom..shape.headroom + length - shape.skip;
        pieces.write(index, shape.skip, &mut slot[written]);
        Ok(self.transform.seal(slot, shape, length, number)?)
    }
}

/// One inbound SA: opens packets of ESP or AH.
pub struct Opener {
    spi: u32,
    transform: Inbound,
    arrivals: Mutex<Arrivals>,
}

/// What was accepted so far, and what failed since.
struct Arrivals {
    window: Window,
    resync: Resync,
}

impl Opener {
    /// Make the keys of an SA ready. `replay_window`: 32 to 4096 packets.
    pub fn new(sa: Association<'_>, replay_window: u32) -> Result<Self, PlaneError> {
        let window = Window::new(replay_window).ok_or(PlaneError::ReplayWindow(replay_window))?;
        Ok(Self {
            spi: sa.spi,
            transform: sa.inbound()?,
            arrivals: Mutex::new(Arrivals {
                window,
                resync: Resync::new(),
            }),
        })
    }

    /// Open a packet as [`Sealer::seal`] makes it without a tunnel: of ESP in tunnel mode from the SPI on, otherwise all of
    /// the IP packet. Returns the inner packet, in transport mode the packet as it was.
    ///
    /// # Errors
    /// Why a gateway would drop the packet. A dummy packet (next header 59) is `Dummy`.
    pub fn open(&self, packet: &[u8]) -> Result<Vec<u8>, Drop> {
        let form = match self.transform {
            Inbound::EspTunnel(_) => Form::Bare,
            _ => Form::Whole,
        };
        let mut octets = packet.to_vec();
        let Opened { range, next_header } = self.open_in_place(&mut octets, form)?;
        let opened = &octets[range];
        match self.transform {
            Inbound::EspTunnel(_) | Inbound::AhTunnel(_) => {
                let inner = tunnelled(opened, next_header)?;
                Ok(opened[..inner.length].to_vec())
            }
            Inbound::EspTransport(_) | Inbound::AhTransport(_) => Ok(opened.to_vec()),
        }
    }

    /// Open in place: replay check, ICV, replay window, padding, next header, in the order of RFC 4303 section 3.4 and RFC
    /// 4302 section 3.4.
    #[inline]
    pub(crate) fn open_in_place(&self, octets: &mut [u8], form: Form) -> Result<Opened, Drop> {
        let (spi, lower) = self.transform.peek(octets, form)?;
        if spi != self.spi {
            return Err(Drop::UnknownSpi);
        }
        let opened = match self.transform.width() {
            Width::Bits32 => self.open_numbered(octets, form, lower.into())?,
            Width::Bits64 => self.open_extended(octets, form, lower)?,
        };
        self.check_next_header(opened.next_header)?;
        Ok(opened)
    }

    /// Open a packet of this number, once.
    fn open_numbered(&self, octets: &mut [u8], form: Form, sequence: u64) -> Result<Opened, Drop> {
        self.arrivals().window.check(sequence)?;
        let accept = || Ok(self.arrivals().window.accept(sequence)?);
        self.transform.open(octets, form, sequence, accept)
    }

    /// As [`Opener::open_numbered`], with the upper half of the number found by the window, and after many failures by
    /// trial (RFC 4303 appendices A2 and A3). The copy that a trial needs is made for one failure in 64.
    fn open_extended(&self, octets: &mut [u8], form: Form, lower: u32) -> Result<Opened, Drop> {
        let (sequence, spare) = {
            let arrivals = self.arrivals();
            let sequence = arrivals.window.number(lower, Width::Bits64)?;
            arrivals.window.check(sequence)?;
            (sequence, arrivals.resync.is_due().then(|| octets.to_vec()))
        };
        let accept = || self.accept(sequence);
        match self.transform.open(octets, form, sequence, accept) {
            Err(Drop::BadIcv) if self.arrivals().resync.failed() => {
                let spare = spare.ok_or(Drop::BadIcv)?;
                let accept = |sequence| self.accept(sequence);
                self.transform
                    .resynchronize(octets, &spare, form, sequence, accept)
            }
            opened => opened,
        }
    }

    fn accept(&self, sequence: u64) -> Result<(), Drop> {
        let mut arrivals = self.arrivals();
        arrivals.resync.succeeded();
        Ok(arrivals.window.accept(sequence)?)
    }

    /// Tunnel mode carries IP packets only (RFC 4303 section 2.6, RFC 4302 section 2.1). ESP has dummies in both modes; AH
    /// has none, and 59 in transport mode is a packet with nothing behind its headers.
    fn check_next_header(&self, next_header: u8) -> Result<(), Drop> {
        let is_ip = matches!(next_header, protocol::IPV4 | protocol::IPV6);
        let is_none = next_header == protocol::NO_NEXT_HEADER;
        match self.transform {
            Inbound::EspTunnel(_) | Inbound::EspTransport(_) if is_none => Err(Drop::Dummy),
            Inbound::EspTunnel(_) | Inbound::AhTunnel(_) if !is_ip => Err(Drop::BadNextHeader),
            _ => Ok(()),
        }
    }

    /// The lock is uncontended where packets of one SA arrive at one thread, as the sockets' steering has it.
    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the inner packet of tunnel mode is, without what TFC padding follows it (RFC 4303 section 2.7).
pub(crate) fn tunnelled(payload: &[u8], next_header: u8) -> Result<Inner, Drop> {
    let inner = Inner::parse(payload)?;
    if inner.tunnel_next_header() != next_header {
        return Err(Drop::MalformedInner);
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::parameters::{Mode, Protocol};
    use caponier_packet::esn;
    use caponier_packet::esp::KeyMaterial;

    const INNER: [u8; 20] = [
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2,
    ];

    fn keys() -> KeyMaterial {
        KeyMaterial::new(20, 128, &[7; 20], 0, &[])
    }

    fn association(keys: &KeyMaterial, width: Width) -> Association<'_> {
        Association {
            protocol: Protocol::Esp,
            mode: Mode::Tunnel,
            spi: 700,
            keys,
            width,
        }
    }

    fn sealer(width: Width, sequence: u64) -> Result<Sealer, PlaneError> {
        Sealer::new(association(&keys(), width), None, sequence)
    }

    fn sealed(sequence: u64) -> Vec<u8> {
        let sealer = sealer(Width::Bits64, sequence).expect("an SA");
        sealer.seal(&INNER).expect("a packet")
    }

    fn opener() -> Opener {
        Opener::new(association(&keys(), Width::Bits64), 64).expect("an SA")
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
        let narrow = sealer(Width::Bits32, u32::MAX.into()).expect("an SA");
        assert!(narrow.seal(&INNER).is_ok());
        assert_eq!(narrow.seal(&INNER), Err(Drop::SequenceExhausted));
        assert!(sealer(Width::Bits32, 1 << 32).is_err());
        let wide = sealer(Width::Bits64, u32::MAX.into()).expect("an SA");
        assert!(wide.seal(&INNER).is_ok());
        assert!(wide.seal(&INNER).is_ok());
    }
}
