//! From trains of ESP packets to TUN frames (RFC 4301 section 5.2, RFC 4303 section 3.4).

use caponier_packet::esp::Packet;

use crate::drops::Drop;
use crate::inbox::Inbox;
use crate::parameters::Arrival;
use crate::plane::{Plane, Tables};
use crate::sad::Inbound;
use crate::selector;

/// What keeps a NAT's mapping alive (RFC 3948 section 2.3).
const KEEPALIVE: [u8; 1] = [0xff];

/// The SA of the last packet, and what it carried since it was counted.
#[derive(Default)]
struct Run<'a> {
    sa: Option<(u32, &'a Inbound)>,
    packets: u64,
    octets: u64,
}

impl<'a> Run<'a> {
    /// The SA of this SPI, looked up only where it is not the last packet's.
    fn sa(&mut self, tables: &'a Tables, spi: u32) -> Option<&'a Inbound> {
        if let Some((_, sa)) = self.sa.filter(|(last, _)| *last == spi) {
            return Some(sa);
        }
        self.count();
        self.sa = tables.sad.inbound(spi).map(|sa| (spi, sa));
        self.sa.map(|(_, sa)| sa)
    }

    fn count(&mut self) {
        if let Some((_, sa)) = self.sa {
            sa.counters.carried(self.packets, self.octets);
        }
        (self.packets, self.octets) = (0, 0);
    }
}

impl Plane {
    /// Open a train of ESP packets, of `segment` octets each but the last, which may be shorter; the octets are
    /// overwritten. What comes out goes to `inbox`.
    pub fn open(&self, train: &mut [u8], segment: usize, arrival: &Arrival, inbox: &mut Inbox) {
        let packets = train.chunks_mut(segment.max(1));
        self.open_each(packets.map(|esp| (esp, *arrival)), inbox);
    }

    /// Open ESP packets, each with where it came from; the octets are overwritten. What comes out goes to `inbox`.
    ///
    /// The whole batch costs one lock, and each run of packets of one SA one look-up and two counter updates.
    pub fn open_each<'a>(
        &self,
        packets: impl Iterator<Item = (&'a mut [u8], Arrival)>,
        inbox: &mut Inbox,
    ) {
        let tables = self.read();
        let mut run = Run::default();
        for (esp, arrival) in packets {
            if let Err(reason) = open_one(&tables, &mut run, esp, &arrival, inbox) {
                self.count_drop(reason, 1);
            }
        }
        run.count();
    }
}

/// Open one packet. An error has no SA to be counted with.
fn open_one<'a>(
    tables: &'a Tables,
    run: &mut Run<'a>,
    esp: &mut [u8],
    arrival: &Arrival,
    inbox: &mut Inbox,
) -> Result<(), Drop> {
    if esp == KEEPALIVE {
        return Err(Drop::Keepalive);
    }
    let spi = Packet::new_checked(&*esp)
        .map_err(|_| Drop::Truncated)?
        .spi();
    let sa = run.sa(tables, spi).ok_or(Drop::UnknownSpi)?;
    match admit(sa, esp, arrival, inbox) {
        Ok(octets) => {
            run.packets += 1;
            run.octets += octets as u64;
        }
        Err(reason) => sa.counters.dropped(reason, 1),
    }
    Ok(())
}

/// Open a packet under its SA and check that the SA may carry what comes out (RFC 4301 section 5.2, step 4). Returns the
/// inner packet's length.
fn admit(
    sa: &Inbound,
    esp: &mut [u8],
    arrival: &Arrival,
    inbox: &mut Inbox,
) -> Result<usize, Drop> {
    if !sa.fits(arrival) {
        return Err(Drop::WrongEncapsulation);
    }
    let (inner, packet) = sa.opener.open_in_place(esp)?;
    if !selector::admit(&sa.remote, &sa.local, &inner) {
        return Err(Drop::SelectorMismatch);
    }
    inbox.push(&inner, packet);
    Ok(packet.len())
}
