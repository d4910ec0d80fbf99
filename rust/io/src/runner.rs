//! The plane at work: its interface, its sockets, its threads.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use caponier_plane::{Drop, Plane};

use crate::error::IoError;
use crate::eventfd::EventFd;
use crate::interface::{lengthen_queue, InterfaceCounters};
use crate::mailbox::{Mailbox, Order};
use crate::notices::Notices;
use crate::paths::Paths;
use crate::raw::{Kind, RawPort};
use crate::relay::{Relay, FROM_WORKERS, LEAST_WINDOW};
use crate::tun::Tun;
use crate::udp::UdpPort;
use crate::worker::{Ports, Share, Worker};

/// TUN interfaces and the threads between them and the sockets. Dropping it stops the threads and removes the interfaces.
pub struct Runner {
    plane: Arc<Plane>,
    /// Their names, by number; a number is never used again.
    interfaces: Vec<Option<String>>,
    mark: u32,
    counters: InterfaceCounters,
    /// One for each worker, from the beginning: the queues wait there.
    mailboxes: Vec<Arc<Mailbox>>,
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
    /// Create the first TUN interface, which has number 0, down and without addresses. What the plane asks the system of,
    /// and says to hosts, it does in the network namespace of this call.
    ///
    /// # Errors
    /// No privilege, no /dev/net/tun, a name that is taken.
    pub fn new(
        plane: Arc<Plane>,
        interface: &str,
        mark: u32,
        workers: usize,
    ) -> Result<Self, IoError> {
        let first = Arc::new(Mailbox::new()?);
        let woken = Arc::clone(&first);
        plane.set_worker_waker(Box::new(move || woken.wake().raise()));
        let others = (1..workers).map(|_| Mailbox::new().map(Arc::new));
        let mailboxes = std::iter::once(Ok(first)).chain(others);
        let mut made = Self {
            counters: InterfaceCounters::open(),
            plane,
            interfaces: Vec::new(),
            mark,
            mailboxes: mailboxes.collect::<Result<_, _>>()?,
            ports: Arc::new(Ports {
                paths: Paths::open(mark),
                notices: Notices::open(mark),
                ..Ports::default()
            }),
            stop: EventFd::new()?,
            threads: Vec::new(),
            state: State::Ready,
        };
        made.add_interface(interface)?;
        Ok(made)
    }

    /// The name of the first interface.
    pub fn interface(&self) -> &str {
        self.interfaces
            .first()
            .and_then(Option::as_deref)
            .unwrap_or("")
    }

    /// Create another TUN interface, down and without addresses, also while the threads run. Returns its number and its name;
    /// `pattern` may hold `%d`. Its policies are those that have its number.
    ///
    /// # Errors
    /// As for [`Runner::new`], or the plane is closed.
    pub fn add_interface(&mut self, pattern: &str) -> Result<(u32, String), IoError> {
        if self.state == State::Closed {
            return Err(IoError::State("is closed"));
        }
        let (name, queues) = Tun::create(pattern, self.mailboxes.len())?;
        let _ = lengthen_queue(&name); // with the kernel's own length it works too
        let number = self.interfaces.len() as u32;
        for (mailbox, queue) in self.mailboxes.iter().zip(queues) {
            mailbox.give(Order::Add(number, queue));
        }
        self.interfaces.push(Some(name.clone()));
        Ok((number, name))
    }

    /// Remove an interface that was added. Its policies and SAs stay: they carry nothing more.
    ///
    /// # Errors
    /// No interface has this number, or it is the first.
    pub fn remove_interface(&mut self, number: u32) -> Result<(), IoError> {
        let slot = self.interfaces.get_mut(number as usize);
        let known = slot.filter(|_| number != 0).and_then(Option::take);
        known.ok_or(IoError::NoInterface(number))?;
        for mailbox in &self.mailboxes {
            match self.state {
                State::Running => mailbox.give(Order::Remove(number)),
                _ => mailbox.cancel(number),
            }
        }
        // It goes with the last queue; a worker that is stuck drops its queue later.
        for mailbox in self.mailboxes.iter().filter(|_| !self.threads.is_empty()) {
            mailbox.await_done();
        }
        self.plane.forget_interface(number);
        Ok(())
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
        let workers = self.mailboxes.len();
        let relay = self.relay(workers)?;
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            let worker = Worker::new(
                Arc::clone(&self.plane),
                Arc::clone(&self.ports),
                &self.stop,
                Arc::clone(mailbox),
                Share { index, workers },
                relay.clone(),
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

    /// What the workers help each other by, where there are enough of them.
    fn relay(&self, workers: usize) -> Result<Option<Arc<Relay>>, IoError> {
        if workers < FROM_WORKERS {
            return Ok(None);
        }
        self.plane.widen_windows(LEAST_WINDOW);
        Ok(Some(Arc::new(Relay::new(workers)?)))
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
            (Drop::QueueFull, self.counters.drops(&self.interfaces)),
            (Drop::SocketFull, self.ports.drops()),
        ];
        found.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Stop the threads and remove the interfaces; a second call does nothing.
    pub fn close(&mut self) {
        self.stop.raise(); // stays raised: every thread sees it
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread that panicked has said so
        }
        self.mailboxes.clear(); // with the queues that no worker took
        self.ports = Arc::default();
        self.state = State::Closed;
    }
}

impl std::ops::Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}
