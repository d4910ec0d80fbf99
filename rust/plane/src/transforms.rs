//! Which transform an SA has, by its protocol and mode.

use caponier_packet::esp::KeyMaterial;
use caponier_packet::sequence::Width;
use caponier_packet::transform::{Inbound, Outbound};
use caponier_packet::transport::{self, Form, PlainHeader};
use caponier_packet::{ah, esp, protocol};

use crate::error::PlaneError;
use crate::parameters::{Mode, Protocol, Tunnel};

/// SPIs 1 to 255 are reserved by IANA, 0 for local use (RFC 4303 section 2.1, RFC 4302 section 2.4).
const FIRST_SPI: u32 = 256;
/// Of the outer header of AH in tunnel mode: the default of hosts (RFC 1700).
const HOP_LIMIT: u8 = 64;
/// Room for an outer header without options.
const OUTER_LEN: usize = 40;

/// What both ends of an SA agree on (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug)]
pub struct Association<'a> {
    /// ESP or AH.
    pub protocol: Protocol,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// 256 to 2^32 - 1.
    pub spi: u32,
    /// Algorithms and keys.
    pub keys: &'a KeyMaterial,
    /// How wide the sequence numbers are.
    pub width: Width,
}

impl Association<'_> {
    /// The transform of the outbound SA. `tunnel`: its ends, without which AH has no outer header.
    pub(crate) fn outbound(&self, tunnel: Option<&Tunnel>) -> Result<Outbound, PlaneError> {
        self.check_spi()?;
        let (spi, keys, width) = (self.spi, self.keys, self.width);
        Ok(match (self.protocol, self.mode) {
            (Protocol::Esp, Mode::Tunnel) => {
                Outbound::EspTunnel(esp::Sealer::new(spi, keys, width)?)
            }
            (Protocol::Esp, Mode::Transport) => {
                let sealer = esp::Sealer::new(spi, keys, width)?;
                let form = tunnel.map_or(Form::Whole, transport_form);
                Outbound::EspTransport(transport::Sealer::new(sealer, form))
            }
            (Protocol::Ah, Mode::Tunnel) => {
                let outer = outer_header(tunnel.ok_or(PlaneError::NoAddresses)?)?;
                Outbound::AhTunnel(ah::TunnelSealer::new(spi, keys, width, outer.octets())?)
            }
            (Protocol::Ah, Mode::Transport) => {
                Outbound::AhTransport(ah::TransportSealer::new(spi, keys, width)?)
            }
        })
    }

    /// The transform of the inbound SA.
    pub(crate) fn inbound(&self) -> Result<Inbound, PlaneError> {
        self.check_spi()?;
        let (keys, width) = (self.keys, self.width);
        Ok(match (self.protocol, self.mode) {
            (Protocol::Esp, Mode::Tunnel) => Inbound::EspTunnel(esp::Opener::new(keys, width)?),
            (Protocol::Esp, Mode::Transport) => {
                Inbound::EspTransport(transport::Opener::new(esp::Opener::new(keys, width)?))
            }
            (Protocol::Ah, Mode::Tunnel) => Inbound::AhTunnel(ah::Opener::new(keys, width)?),
            (Protocol::Ah, Mode::Transport) => Inbound::AhTransport(ah::Opener::new(keys, width)?),
        })
    }

    fn check_spi(&self) -> Result<(), PlaneError> {
        if self.spi < FIRST_SPI {
            return Err(PlaneError::ReservedSpi(self.spi));
        }
        Ok(())
    }
}

/// Have a transform seal for a tunnel whose ends are elsewhere.
pub(crate) fn move_to(transform: &mut Outbound, tunnel: &Tunnel) -> Result<(), PlaneError> {
    match transform {
        Outbound::EspTransport(sealer) => sealer.set_form(transport_form(tunnel)),
        Outbound::AhTunnel(sealer) => sealer.set_outer(outer_header(tunnel)?.octets())?,
        Outbound::EspTunnel(_) | Outbound::AhTransport(_) => {}
    }
    Ok(())
}

/// What a transform seals: whole IP packets, or what stands behind a header that the socket makes.
pub(crate) fn form(transform: &Outbound, tunnel: &Tunnel) -> Form {
    match transform {
        Outbound::EspTunnel(_) => Form::Bare,
        Outbound::EspTransport(_) => transport_form(tunnel),
        Outbound::AhTunnel(_) | Outbound::AhTransport(_) => Form::Whole,
    }
}

/// In UDP the socket makes the IP header. Otherwise ESP in transport mode keeps the packet's own one, with its options or
/// extension headers (RFC 4303 section 3.1.1), and with what a raw socket of protocol 50 would lose of a plain one too:
/// TTL, DF, identification, flow label. What that socket would do in return, to fragment what is too long for the link, is
/// not for packets that were routed into an interface with an MTU of its own.
fn transport_form(tunnel: &Tunnel) -> Form {
    if tunnel.remote_port == 0 {
        Form::Whole
    } else {
        Form::Bare
    }
}

/// An outer header, at the end of its room.
struct OuterHeader([u8; OUTER_LEN], usize);

impl OuterHeader {
    fn octets(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

fn outer_header(tunnel: &Tunnel) -> Result<OuterHeader, PlaneError> {
    let mixed = PlaneError::MixedFamilies(tunnel.local, tunnel.remote);
    let header = PlainHeader {
        source: tunnel.local,
        destination: tunnel.remote,
        traffic_class: 0,
        hop_limit: HOP_LIMIT,
    };
    let mut room = [0; OUTER_LEN];
    let range = header.prepend(&mut room, OUTER_LEN..OUTER_LEN, protocol::AH);
    let range = range.ok_or(mixed)?;
    Ok(OuterHeader(room, range.start))
}
