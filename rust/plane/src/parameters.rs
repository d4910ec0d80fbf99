//! What the control side says about SAs and policies. Numbers are host order.

use std::net::IpAddr;

use caponier_packet::esp::KeyMaterial;
use caponier_packet::sequence::Width;

use crate::selector::Selector;

/// An inbound ESP SA in tunnel mode (RFC 4301 section 4.4.2.1).
#[derive(Clone, Debug)]
pub struct InboundParameters {
    /// The SPI that the peer puts into its packets, 256 to 2^32 - 1.
    pub spi: u32,
    /// Algorithms and keys.
    pub keys: KeyMaterial,
    /// How wide the sequence numbers are.
    pub width: Width,
    /// Size of the replay window, 32 to 4096 packets.
    pub replay_window: u32,
    /// Destinations that an inner packet may have.
    pub local: Vec<Selector>,
    /// Sources that an inner packet may have.
    pub remote: Vec<Selector>,
    /// Our outer address.
    pub local_address: IpAddr,
    /// The peer's outer address.
    pub remote_address: IpAddr,
}

/// An outbound ESP SA in tunnel mode.
#[derive(Clone, Debug)]
pub struct OutboundParameters {
    /// The SPI that the peer chose, 256 to 2^32 - 1.
    pub spi: u32,
    /// Algorithms and keys.
    pub keys: KeyMaterial,
    /// How wide the sequence numbers are.
    pub width: Width,
    /// Octets up to which inner packets are padded, to hide their length (RFC 4303 section 2.7); 0 for not at all.
    pub tfc: u16,
    /// The outer addresses and ports.
    pub tunnel: Tunnel,
}

/// A policy for packets that leave (RFC 4301 section 4.4.1). The matching policy of lowest `order` decides.
#[derive(Clone, Debug)]
pub struct PolicyParameters {
    /// The number of the policy; an existing policy of this number is replaced.
    pub policy: u64,
    /// Place among the policies; equal orders are decided by the lower policy number.
    pub order: i64,
    /// Sources.
    pub local: Vec<Selector>,
    /// Destinations.
    pub remote: Vec<Selector>,
    /// What happens to a matching packet.
    pub action: Action,
}

/// What a policy does with a matching packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Seal under this outbound SA; without one, drop and report an acquire.
    Protect(Option<u64>),
    /// Drop.
    Discard,
}

/// The outer header of an SA's packets. Ports 0 and 0 mean raw ESP, otherwise ESP in UDP (RFC 3948).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// Our address.
    pub local: IpAddr,
    /// Our UDP port, or 0.
    pub local_port: u16,
    /// The peer's address.
    pub remote: IpAddr,
    /// The peer's UDP port, or 0.
    pub remote_port: u16,
}

/// Where a train of ESP packets came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address it was sent to, where the socket tells.
    pub local: Option<IpAddr>,
    /// The address it came from.
    pub remote: IpAddr,
    /// The UDP port it came from; 0 for raw ESP.
    pub remote_port: u16,
    /// True for ESP in UDP.
    pub encapsulated: bool,
}

/// What the plane reports to the control side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet wanted the SA of this policy, which is not there (RFC 4301 section 5.1).
    Acquire {
        /// The policy's number.
        policy: u64,
    },
    /// The outbound SA used its last sequence number and carries nothing more (RFC 4303 section 3.3.3).
    SequenceExhausted {
        /// The SA's handle.
        handle: u64,
    },
    /// A socket or the TUN interface failed for good.
    PortFailed {
        /// The system's error number.
        errno: i32,
    },
}

/// What one SA carried since its installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Inner packets that were sealed or opened.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Packets dropped, by reason; reasons without drops are left out.
    pub drops: Vec<(&'static str, u64)>,
}
