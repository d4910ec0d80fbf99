//! A thread that carries packets both ways: it sleeps until something is there, then works until nothing is.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use caponier_plane::{Drop, Event, Inbox, Outbox, Plane};

use crate::error::{checked, IoError};
use crate::eventfd::EventFd;
use crate::mmsg::{Slots, BATCH};
use crate::raw::RawPort;
use crate::tun::{Frames, Tun, MAX_FRAME};
use crate::udp::UdpPort;

/// Trains from a UDP socket before the others have their turn.
const UDP_TURN: usize = 32;
/// Batches of packets from a raw socket before the others have their turn.
const RAW_TURN: usize = 8;
/// Batches of frames from the TUN interface before the others have their turn.
const TUN_TURN: usize = 16;

/// The sockets, shared by all workers for sending.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) udp: Vec<UdpPort>,
    pub(crate) raw: Vec<RawPort>,
}

/// What the poller says is ready.
#[derive(Clone, Copy)]
enum Ready {
    Stop,
    Tun,
    Udp(usize),
    Raw(usize),
}

/// A worker: its own TUN queue, and the sockets that it alone reads.
pub(crate) struct Worker {
    plane: Arc<Plane>,
    tun: Tun,
    ports: Arc<Ports>,
    poller: OwnedFd,
    ready: Vec<Ready>,
    outbox: Outbox,
    inbox: Inbox,
    buffer: Vec<u8>,
    slots: Slots,
    frames: Frames,
}

impl Worker {
    /// Get ready; `share` says which of the sockets are this worker's to read: every `share.1`-th from `share.0` on.
    pub(crate) fn new(
        plane: Arc<Plane>,
        tun: Tun,
        ports: Arc<Ports>,
        stop: &EventFd,
        share: (usize, usize),
    ) -> Result<Self, IoError> {
        // SAFETY: takes no pointers.
        let poller = checked(
            unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) },
            "epoll_create",
        )?;
        // SAFETY: the descriptor is new and nobody else's.
        let poller = unsafe { OwnedFd::from_raw_fd(poller) };
        let inbox = Inbox::new(tun.takes_datagrams());
        let mut worker = Self {
            plane,
            tun,
            ports: Arc::clone(&ports),
            poller,
            ready: Vec::new(),
            outbox: Outbox::new(),
            inbox,
            buffer: vec![0; MAX_FRAME],
            slots: Slots::new(),
            frames: Frames::new(),
        };
        worker.watch(stop.fd(), Ready::Stop)?;
        worker.watch(worker.tun.fd(), Ready::Tun)?;
        let is_ours = |index: &usize| index % share.1 == share.0;
        for index in (0..ports.udp.len()).filter(is_ours) {
            worker.watch(ports.udp[index].fd(), Ready::Udp(index))?;
        }
        for index in (0..ports.raw.len()).filter(is_ours) {
            worker.watch(ports.raw[index].fd(), Ready::Raw(index))?;
        }
        Ok(worker)
    }

    fn watch(&mut self, fd: RawFd, ready: Ready) -> Result<(), IoError> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: self.ready.len() as u64,
        };
        self.ready.push(ready);
        // SAFETY: the event lives until after the call.
        let done = unsafe {
            libc::epoll_ctl(
                self.poller.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd,
                &raw mut event,
            )
        };
        checked(done, "epoll_ctl").map(|_| ())
    }

    /// Carry packets until told to stop.
    pub(crate) fn run(mut self) {
        loop {
            for ready in self.wait() {
                let done = match ready {
                    Ready::Stop => return,
                    Ready::Tun => self.seal_turn(),
                    Ready::Udp(index) => self.open_udp_turn(index),
                    Ready::Raw(index) => self.open_raw_turn(index),
                };
                if let Err(error) = done {
                    if self.is_gone(ready, &error) {
                        return;
                    }
                }
            }
        }
    }

    fn wait(&mut self) -> Vec<Ready> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        // SAFETY: there is room for as many events as are asked for.
        let count = unsafe {
            libc::epoll_wait(
                self.poller.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                -1,
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        events[..count]
            .iter()
            .filter_map(|event| self.ready.get(event.u64 as usize).copied())
            .collect()
    }

    /// Report what failed. A TUN interface that is down answers EIO and comes back; one that was removed does not.
    fn is_gone(&self, ready: Ready, error: &io::Error) -> bool {
        let errno = error.raw_os_error().unwrap_or(0);
        if matches!(ready, Ready::Tun) && errno == libc::EIO {
            return false;
        }
        let removed = matches!(errno, libc::EBADFD | libc::EBADF | libc::ENODEV);
        if removed {
            self.plane.report(Event::PortFailed { errno });
        }
        removed
    }

    // -- outbound

    fn seal_turn(&mut self) -> io::Result<()> {
        for _ in 0..TUN_TURN {
            let is_drained = self.tun.read_many(&mut self.frames)?;
            self.plane.seal_each(self.frames.iter(), &mut self.outbox);
            self.send_all();
            if is_drained {
                break;
            }
        }
        Ok(())
    }

    fn send_all(&mut self) {
        for train in self.outbox.trains() {
            let octets = self.outbox.octets(train);
            let lost = if let Some(port) = self
                .ports
                .udp
                .iter()
                .find(|port| port.carries(&train.tunnel))
            {
                port.send(&train.tunnel, octets, train.segment)
            } else if let Some(port) = self
                .ports
                .raw
                .iter()
                .find(|port| port.carries(&train.tunnel))
            {
                port.send(&train.tunnel, octets, train.segment)
            } else {
                train.count
            };
            if lost > 0 {
                self.plane.count_drop(Drop::SendFailed, lost as u64);
            }
        }
        self.outbox.clear();
    }

    // -- inbound

    fn open_udp_turn(&mut self, index: usize) -> io::Result<()> {
        let ports = Arc::clone(&self.ports);
        for _ in 0..UDP_TURN {
            let Some((count, segment, arrival)) = ports.udp[index].receive(&mut self.buffer)?
            else {
                break;
            };
            self.plane.open(
                &mut self.buffer[..count],
                segment,
                &arrival,
                &mut self.inbox,
            );
            self.write_closed();
        }
        self.write_all();
        Ok(())
    }

    fn open_raw_turn(&mut self, index: usize) -> io::Result<()> {
        let ports = Arc::clone(&self.ports);
        let port = &ports.raw[index];
        for _ in 0..RAW_TURN {
            let Some(count) = port.receive(&mut self.slots)? else {
                break;
            };
            self.plane
                .open_each(port.packets(&mut self.slots), &mut self.inbox);
            self.write_closed();
            if count < BATCH {
                break;
            }
        }
        self.write_all();
        Ok(())
    }

    /// Write what is complete, while it is in the cache.
    fn write_closed(&mut self) {
        let failed = self
            .inbox
            .frames()
            .filter(|frame| self.tun.write(frame).is_err())
            .count();
        if failed > 0 {
            self.plane.count_drop(Drop::WriteFailed, failed as u64);
        }
        self.inbox.recycle();
    }

    fn write_all(&mut self) {
        self.inbox.finish();
        self.write_closed();
    }
}
