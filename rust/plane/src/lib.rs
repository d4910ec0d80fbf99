//! The IPsec data plane without I/O: SAD, SPD and the pipeline between TUN frames and packets of ESP and AH.
#![forbid(unsafe_code)]

mod acquisition;
mod allowance;
mod audit;
mod bypass;
mod counters;
mod drops;
mod error;
mod events;
mod handles;
mod inbound;
mod inbox;
mod lifetime;
mod mix;
mod outbound;
mod outbox;
mod oversize;
mod parameters;
mod path;
mod peer;
mod pieces;
mod plane;
mod prefix;
mod report;
mod room;
mod sad;
mod selector;
mod spd;
mod standalone;
mod transforms;
mod turns;
mod waiting;

pub use caponier_packet::ecn;
pub use caponier_packet::esp::KeyMaterial;
pub use caponier_packet::sequence::Width;
pub use caponier_packet::transport::nat::RealAddresses;
pub use caponier_packet::transport::Form;
pub use drops::Drop;
pub use error::PlaneError;
pub use inbox::{Inbox, Inboxes};
pub use outbox::{Outbox, Train};
pub use parameters::{
    Action, Arrival, Counters, Direction, DontFragment, Dropped, Event, InboundParameters,
    Lifetime, Mode, OutboundParameters, PolicyParameters, Protocol, Tunnel,
};
pub use plane::Plane;
pub use selector::Selector;
pub use standalone::{Opener, Sealer};
pub use transforms::Association;
pub use turns::{Turn, Turns};
