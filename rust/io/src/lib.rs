//! The data plane's descriptors: TUN, UDP sockets, raw sockets, and the threads between them. All `unsafe` of the packet
//! path is here, and it is system calls only.

mod address;
mod control;
mod discovery;
mod error;
mod eventfd;
mod faces;
mod frames;
mod interface;
mod lost;
mod mailbox;
mod message;
mod mmsg;
mod notices;
mod paths;
mod patience;
mod poller;
mod raw;
mod relay;
mod runner;
mod socket;
mod tun;
mod udp;
mod worker;

pub use error::IoError;
pub use eventfd::EventFd;
pub use runner::Runner;
