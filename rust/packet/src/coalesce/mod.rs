//! Coalescing: consecutive packets of one flow, put together into one super-packet for the TUN interface.
//!
//! Only what the receiver may see as one is merged, so that cutting the super-packet again gives the very packets that
//! came in: the same addresses, ports, TTL, DSCP, ECN, flow label, and equal payloads but for the last, which may be
//! shorter. TCP segments must also follow one another in sequence, with the same acknowledgement, window and options
//! (timestamps too), and no flag but ACK and ECE, and PSH at the end. UDP datagrams (virtio specification 1.2,
//! `VIRTIO_NET_HDR_GSO_UDP_L4`) keep their bounds: whoever receives them gets each by itself.
//!
//! The checksums of every packet are verified first: the kernel trusts those of a super-packet, and a corrupted packet
//! must not become a valid one by being merged. Whatever is not such a packet passes by itself, its checksum untouched.

mod segment;
mod super_packet;

pub use segment::Segment;
pub use super_packet::{SuperPacket, MAX_PACKET};
