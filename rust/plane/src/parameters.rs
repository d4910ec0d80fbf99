//! What the control side says about SAs and policies. Numbers are host order.

use std::net::IpAddr;

use caponier_packet::ecn::Marking;
use caponier_packet::esp::KeyMaterial;
use caponier_packet::sequence::Width;
use caponier_packet::transport::nat::RealAddresses;
use caponier_packet::transport::Form;

use crate::drops::Drop;
use crate::selector::Selector;

/// The protocol of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 4303.
    Esp,
    /// RFC 4302.
    Ah,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Esp => "ESP",
            Self::Ah => "AH",
        })
    }
}

/// The mode of an SA (RFC 4301 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Whole packets, behind an IP header of ours.
    Tunnel,
    /// What stands behind the packets' own IP headers.
    Transport,
}

/// How much an SA may carry (RFC 4301 section 4.4.2.1); 0 for as much as there is. Inner octets and packets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Octets after which it is to be replaced.
    pub soft_octets: u64,
    /// Octets after which it carries nothing more.
    pub hard_octets: u64,
    /// Packets after which it is to be replaced.
    pub soft_packets: u64,
    /// Packets after which it carries nothing more.
    pub hard_packets: u64,
}

/// DF in the outer IPv4 header of tunnel mode (RFC 4301 section 8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DontFragment {
    /// That of the inner header.
    #[default]
    Copy,
    /// Always.
    Set,
    /// Never.
    Clear,
}

/// An inbound SA (RFC 4301 section 4.4.2.1).
#[derive(Clone, Debug)]
pub struct InboundParameters {
    /// The SPI that the peer puts into its packets, 256 to 2^32 - 1.
    pub spi: u32,
    /// ESP or AH.
    pub protocol: Protocol,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// Algorithms and keys.
    pub keys: KeyMaterial,
    /// How wide the sequence numbers are.
    pub width: Width,
    /// Size of the replay window, 32 to 4096 packets.
    pub replay_window: u32,
    /// Destinations that a packet may have that comes out.
    pub local: Vec<Selector>,
    /// Sources that a packet may have that comes out.
    pub remote: Vec<Selector>,
    /// Our outer address.
    pub local_address: IpAddr,
    /// The peer's outer address.
    pub remote_address: IpAddr,
    /// The peer's UDP port, to report when it moves; 0 for without encapsulation, or not to report.
    pub remote_port: u16,
    /// The TUN interface that what comes out goes to.
    pub interface: u32,
    /// Transport mode through NAT: the addresses that the peer's checksums counted (RFC 3948 section 3.1.2).
    pub nat: Option<RealAddresses>,
    /// Whether the ECN of the outer header is taken over (RFC 6040 section 4.2).
    pub ecn: bool,
    /// Octets of the packets that TCP's segments shall fit; 0 for as they are.
    pub clamp: u16,
    /// How much it may carry.
    pub lifetime: Lifetime,
}

/// An outbound SA.
#[derive(Clone, Debug)]
pub struct OutboundParameters {
    /// The SPI that the peer chose, 256 to 2^32 - 1.
    pub spi: u32,
    /// ESP or AH.
    pub protocol: Protocol,
    /// Tunnel or transport mode.
    pub mode: Mode,
    /// Algorithms and keys.
    pub keys: KeyMaterial,
    /// How wide the sequence numbers are.
    pub width: Width,
    /// Octets up to which inner packets are padded, to hide their length (RFC 4303 section 2.7); 0 for not at all. Of ESP
    /// in tunnel mode only.
    pub tfc: u16,
    /// The outer addresses and ports. In transport mode the packets have these addresses themselves.
    pub tunnel: Tunnel,
    /// DSCP and ECN of the outer header of tunnel mode.
    pub marking: Marking,
    /// DF of the outer header of tunnel mode.
    pub df: DontFragment,
    /// Octets of the outer IP packets that the path carries; 0 for unknown.
    pub path_mtu: u32,
    /// Octets of the packets that TCP's segments shall fit; 0 for as they are.
    pub clamp: u16,
    /// How much it may carry.
    pub lifetime: Lifetime,
}

/// A policy for packets that leave (RFC 4301 section 4.4.1). The matching policy of lowest `order` decides.
#[derive(Clone, Debug)]
pub struct PolicyParameters {
    /// The number of the policy; an existing policy of this number is replaced.
    pub policy: u64,
    /// The TUN interface that its packets come from.
    pub interface: u32,
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
    /// Send as it is.
    Bypass,
}

/// The outer header of an SA's packets. Ports 0 and 0 mean right behind IP, otherwise ESP in UDP (RFC 3948).
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

/// Where packets came from, and what the IP header said that they came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What the socket is for.
    pub protocol: Protocol,
    /// Whether the octets begin with the IP header, or behind it.
    pub form: Form,
    /// The address it was sent to, where the socket tells.
    pub local: Option<IpAddr>,
    /// The address it came from.
    pub remote: IpAddr,
    /// The UDP port it came from; 0 for without encapsulation.
    pub remote_port: u16,
    /// True for ESP in UDP.
    pub encapsulated: bool,
    /// DSCP and ECN, where the socket tells.
    pub traffic_class: u8,
    /// TTL or hop limit, where the socket tells.
    pub hop_limit: u8,
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
    /// The soft lifetime of the outbound SA is over, or its sequence numbers soon will be: it is to be replaced (RFC 4301
    /// section 4.4.2.1). Told once, as the next three.
    Expiring {
        /// The SA's handle.
        handle: u64,
    },
    /// The hard lifetime of the outbound SA is over: it seals nothing more.
    Expired {
        /// The SA's handle.
        handle: u64,
    },
    /// The soft lifetime of the inbound SA is over.
    InboundExpiring {
        /// The SA's protocol.
        protocol: Protocol,
        /// The SA's SPI.
        spi: u32,
    },
    /// The hard lifetime of the inbound SA is over: it opens nothing more.
    InboundExpired {
        /// The SA's protocol.
        protocol: Protocol,
        /// The SA's SPI.
        spi: u32,
    },
    /// An authenticated packet of the inbound SA came in UDP from another address or port than the SA's (RFC 7296 section
    /// 2.23). Told once until the event is taken, or [`crate::Plane::move_inbound`] tells the new one.
    PeerMoved {
        /// The SA's protocol.
        protocol: Protocol,
        /// The SA's SPI.
        spi: u32,
        /// Where it came from.
        address: IpAddr,
        /// The port it came from.
        port: u16,
    },
    /// A packet was dropped, the first of its SA for this reason (RFC 4301 section 9). Until [`crate::Plane::audit_again`]
    /// no other one is told of that SA for that reason.
    Dropped(Dropped),
    /// A socket or the TUN interface failed for good.
    PortFailed {
        /// The system's error number.
        errno: i32,
        /// Of a TUN interface, its number.
        interface: Option<u32>,
    },
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the sockets to the TUN interface.
    In,
    /// From the TUN interface to the sockets.
    Out,
}

/// What an audit log wants to know of a packet that was dropped (RFC 4301 sections 5.1.1 and 5.2, RFC 4303 section 4, RFC
/// 4302 section 4), as far as the packet and the socket told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: Drop,
    /// Which way it went.
    pub direction: Direction,
    /// Inbound the SPI, also where no SA has it; outbound the SA's handle; 0 where there is neither.
    pub number: u64,
    /// ESP or AH.
    pub protocol: Option<Protocol>,
    /// Outbound, of the packet that was to be sealed; inbound, of what came.
    pub source: Option<IpAddr>,
    /// As `source`.
    pub destination: Option<IpAddr>,
    /// The lower half of the sequence number; outbound the last that the SA used.
    pub sequence: Option<u32>,
    /// Inbound, where what came out is not what the SA may carry: its source and destination.
    pub inner: Option<(IpAddr, IpAddr)>,
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
