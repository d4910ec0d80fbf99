//! The plane at work: its interface, its sockets, its threads.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use caponier_plane::{Drop, Plane};

use crate::error::IoError;
use crate::eventfd::EventFd;
use crate::interface::{lengthen_queue, InterfaceCounters};
use crate::notices::Notices;
use crate::paths::Paths;
use crate::raw::{Kind, RawPort};
use crate::tun::Tun;
use crate::udp::UdpPort;
use crate::worker::{Ports, Share, Worker};

/// One TUN interface and the threads between it and the sockets. Dropping it stops the threads and removes the interface.
pub struct Runner {
    plane: Arc<Plane>,
    interface: String,
    mark: u32,
    queues: Vec<Tun>,
    counters: InterfaceCounters,
    /// Gathered here until the start, and shared with the threads from then on.
    ports: Arc<Ports>,
    stop: EventFd,
    threads: Vec<JoinHandle<()>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    Closed,
}

impl Runner {
    /// Create the TUN interface, down and without addresses. What the plane asks the system of, and says to hosts, it does in
    /// the network namespace of this call.
    ///
    /// # Errors
    /// No privilege, no /dev/net/tun, a name that is taken.
    pub fn new(
        plane: Arc<Plane>,
        interface: &str,
        mark: u32,
        workers: usize,
    ) -> Result<Self, IoError> {
        let (interface, queues) = Tun::create(interface, workers.max(1))?;
        let _ = lengthen_queue(&interface); // with the kernel's own length it works too
        Ok(Self {
            counters: InterfaceCounters::open(&interface),
            plane,
            interface,
            mark,
            queues,
            ports: Arc::new(Ports {
                paths: Paths::open(mark),
                notices: Notices::open(mark),
                ..Ports::default()
            }),
            stop: EventFd::new()?,
            threads: Vec::new(),
            state: State::Ready,
        })
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Use a bound UDP socket for ESP in UDP; the descriptor is duplicated.
    ///
    /// # Errors
    /// Not such a socket, or the threads run already.
    pub fn attach_udp(&mut self, fd: RawFd) -> Result<(), IoError> {
        let port = UdpPort::attach(self.duplicate(fd)?, self.mark)?;
        self.ports()?.udp.push(port);
        Ok(())
    }

    /// Use a raw socket of protocol 50, 51, or 255, through which packets leave that bring their IP header; the descriptor
    /// is duplicated.
    ///
    /// # Errors
    /// Not such a socket, or the threads run already.
    pub fn attach_raw(&mut self, fd: RawFd) -> Result<(), IoError> {
        let port = RawPort::attach(self.duplicate(fd)?, self.mark)?;
        let ports = self.ports()?;
        match port.kind() {
            Kind::Protocol(_) => ports.raw.push(port),
            Kind::Headers => ports.whole.push(port),
        }
        Ok(())
    }

    /// The ports, while nobody shares them.
    fn ports(&mut self) -> Result<&mut Ports, IoError> {
        Arc::get_mut(&mut self.ports).ok_or(IoError::State("runs already"))
    }

    fn duplicate(&self, fd: RawFd) -> Result<OwnedFd, IoError> {
        self.require(State::Ready)?;
        if fd < 0 {
            return Err(IoError::NotTheSocket("open"));
        }
        // SAFETY: borrowed for this call only; a number that is no open descriptor gives an error, not a wrong one.
        unsafe { BorrowedFd::borrow_raw(fd) }
            .try_clone_to_owned()
            .map_err(|source| IoError::System {
                what: "duplicating a socket".to_owned(),
                source,
            })
    }

    /// Start the threads.
    ///
    /// # Errors
    /// They run already, or the system has no threads left.
    pub fn start(&mut self) -> Result<(), IoError> {
        self.require(State::Ready)?;
        let workers = self.queues.len();
        for (index, queue) in std::mem::take(&mut self.queues).into_iter().enumerate() {
            let worker = Worker::new(
                Arc::clone(&self.plane),
                queue,
                Arc::clone(&self.ports),
                &self.stop,
                Share { index, workers },
            )?;
            let thread = std::thread::Builder::new()
                .name(format!("plane-{index}"))
                .spawn(move || worker.run())
                .map_err(|source| IoError::System {
                    what: "starting a thread".to_owned(),
                    source,
                })?;
            self.threads.push(thread);
        }
        self.state = State::Running;
        Ok(())
    }

    fn require(&self, state: State) -> Result<(), IoError> {
        match self.state {
            found if found == state => Ok(()),
            State::Closed => Err(IoError::State("is closed")),
            _ => Err(IoError::State("runs already")),
        }
    }

    /// Packets that were lost in front of the workers: they did not keep up.
    pub fn overruns(&self) -> Vec<(Drop, u64)> {
        let found = [
            (Drop::QueueFull, self.counters.drops()),
            (Drop::SocketFull, self.ports.drops()),
        ];
        found.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Stop the threads and remove the interface; a second call does nothing.
    pub fn close(&mut self) {
        self.stop.raise(); // stays raised: every thread sees it
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread that panicked has said so
        }
        self.queues.clear();
        self.ports = Arc::default();
        self.state = State::Closed;
    }
}

impl std::ops::Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}
