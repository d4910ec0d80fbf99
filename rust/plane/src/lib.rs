//! The IPsec data plane without I/O: SAD, SPD and the pipeline between TUN frames and ESP packets.
#![forbid(unsafe_code)]

mod counters;
mod drops;
mod error;
mod events;
mod inbound;
mod inbox;
mod outbound;
mod outbox;
mod parameters;
mod plane;
mod prefix;
mod sad;
mod selector;
mod spd;
mod standalone;
mod turns;

pub use caponier_packet::esp::KeyMaterial;
pub use caponier_packet::sequence::Width;
pub use drops::Drop;
pub use error::PlaneError;
pub use inbox::Inbox;
pub use outbox::{Outbox, Train};
pub use parameters::{
    Action, Arrival, Counters, Event, InboundParameters, OutboundParameters, PolicyParameters,
    Tunnel,
};
pub use plane::Plane;
pub use selector::Selector;
pub use standalone::{Opener, Sealer};
pub use turns::Turn;
