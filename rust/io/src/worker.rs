//! A thread that carries packets both ways: it sleeps until something is there, then works until nothing is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use caponier_plane::{Arrival, Drop, Event, Form, Outbox, Plane, Train};

use crate::error::IoError;
use crate::eventfd::EventFd;
use crate::faces::{Face, Faces};
use crate::frames::Frames;
use crate::lost::Lost;
use crate::mailbox::{Mailbox, Order};
use crate::mmsg::{Slots, BATCH};
use crate::notices::Notices;
use crate::paths::Paths;
use crate::patience::Patience;
use crate::poller::Poller;
use crate::raw::RawPort;
use crate::relay::{Arrived, Line, Parcel, Relay};
use crate::tun::{Tun, MAX_FRAME};
use crate::udp::UdpPort;

/// Trains from a UDP socket, batches from a raw socket, and batches of frames from the TUN interface, before the others
/// have their turn.
const UDP_TURN: usize = 32;
const RAW_TURN: usize = 8;
const TUN_TURN: usize = 16;
/// Turns of one descriptor that fail in a row until it is given up, and how many of them until there are pauses between
/// them: a second in all.
const STRIKES: u32 = 64;
const WARNINGS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(18);

/// The sockets, shared by all workers for sending.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) udp: Vec<UdpPort>,
    /// Of protocols 50 and 51.
    pub(crate) raw: Vec<RawPort>,
    /// For packets that bring their IP header. Nothing is read from them.
    pub(crate) whole: Vec<RawPort>,
    pub(crate) paths: Paths,
    pub(crate) notices: Notices,
}

impl Ports {
    /// Packets that came while a socket's buffer was full.
    pub(crate) fn drops(&self) -> u64 {
        let udp = self.udp.iter().map(UdpPort::drops);
        udp.chain(self.raw.iter().map(RawPort::drops)).sum()
    }
}

/// A worker's part in the sockets: every `workers`-th from `index` on is its own to read, and the first that it sends
/// through.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) workers: usize,
}

impl Share {
    fn owns(self, place: usize) -> bool {
        place % self.workers == self.index
    }

    /// The ports, our own first.
    fn order<T>(self, ports: &[T]) -> impl Iterator<Item = &T> {
        let own = ports.iter().skip(self.index).step_by(self.workers);
        own.chain(ports)
    }
}

/// What the poller says is ready.
#[derive(Clone, Copy)]
enum Source {
    Stop,
    /// There are orders, or packets have the SA now that they waited for.
    Mailbox,
    /// A train that another worker received.
    Parcel,
    /// The queue of this interface.
    Tun(u32),
    Udp(usize),
    Raw(usize),
}

/// A worker: its own queue of each TUN interface, and the sockets that it alone reads.
pub(crate) struct Worker {
    plane: Arc<Plane>,
    faces: Faces,
    ports: Arc<Ports>,
    share: Share,
    mailbox: Arc<Mailbox>,
    poller: Poller<Source>,
    /// Errors in a row, for each place in the poller.
    strikes: Vec<u32>,
    patience: Patience,
    frames: Frames,
    outbox: Outbox,
    buffer: Vec<u8>,
    slots: Slots,
    relay: Option<Arc<Relay>>,
    /// Of the UDP sockets, by their places.
    lines: Vec<Line>,
}

impl Worker {
    /// Get ready. `stop` must live as long as the worker. Its queues come by the mailbox.
    pub(crate) fn new(
        plane: Arc<Plane>,
        ports: Arc<Ports>,
        stop: &EventFd,
        mailbox: Arc<Mailbox>,
        share: Share,
        relay: Option<Arc<Relay>>,
    ) -> Result<Self, IoError> {
        let mut poller = Poller::new()?;
        poller.watch(stop.fd(), Source::Stop)?;
        if let Some(relay) = &relay {
            poller.watch(relay.bell(share.index).fd(), Source::Parcel)?;
        }
        poller.watch(mailbox.wake().fd(), Source::Mailbox)?;
        for place in (0..ports.udp.len()).filter(|place| share.owns(*place)) {
            poller.watch(ports.udp[place].fd(), Source::Udp(place))?;
        }
        for place in (0..ports.raw.len()).filter(|place| share.owns(*place)) {
            poller.watch(ports.raw[place].fd(), Source::Raw(place))?;
        }
        let lines = ports.udp.iter().map(|_| Line::new()).collect();
        Ok(Self {
            plane,
            faces: Faces::default(),
            ports,
            share,
            mailbox,
            strikes: Vec::new(),
            poller,
            patience: Patience::new(stop.fd()),
            frames: Frames::new(),
            outbox: Outbox::new(),
            buffer: vec![0; MAX_FRAME],
            slots: Slots::new(),
            relay,
            lines,
        })
    }

    /// Carry packets until told to stop.
    pub(crate) fn run(mut self) {
        loop {
            let count = self.sleep();
            self.patience.renew();
            for number in 0..count {
                match self.poller.ready(number) {
                    Some((_, Source::Stop)) => return,
                    Some((place, source)) => self.turn(place, source),
                    None => {}
                }
            }
        }
    }

    /// Wait until something is ready; others may give us something to do meanwhile.
    fn sleep(&mut self) -> usize {
        let Some(relay) = self.relay.clone() else {
            return self.poller.wait();
        };
        relay.rest(self.share.index);
        let count = self.poller.wait();
        if let Some(parcel) = relay.rise(self.share.index) {
            self.open_parcel(&relay, parcel);
        }
        count
    }

    fn turn(&mut self, place: usize, source: Source) {
        let done = match source {
            Source::Stop => Ok(()),
            Source::Mailbox => {
                self.obey();
                Ok(())
            }
            Source::Parcel => {
                self.relay
                    .iter()
                    .for_each(|relay| relay.bell(self.share.index).lower());
                Ok(())
            }
            Source::Tun(number) => self.seal_turn(number),
            Source::Udp(index) => self.open_udp_turn(index),
            Source::Raw(index) => self.open_raw_turn(index),
        };
        match done {
            Ok(()) => {
                if let Some(strikes) = self.strikes.get_mut(place) {
                    *strikes = 0;
                }
            }
            Err(error) => self.failed(place, source, &error),
        }
    }

    /// Do what the control side wants, and seal what waited for its SA.
    fn obey(&mut self) {
        let orders = self.mailbox.take();
        let count = orders.len();
        for order in orders {
            match order {
                Order::Add(number, tun) => self.add(number, tun),
                Order::Remove(number) => {
                    if let Some(face) = self.faces.remove(number) {
                        self.poller.forget(face.place());
                    }
                }
            }
        }
        self.mailbox.finished(count);
        self.plane.seal_released(&mut self.outbox);
        self.send_all();
    }

    fn add(&mut self, number: u32, tun: Tun) {
        match self.poller.watch(tun.fd(), Source::Tun(number)) {
            Ok(place) => {
                if let Some(strikes) = self.strikes.get_mut(place) {
                    *strikes = 0; // those of what had the place before
                }
                self.faces.insert(number, Face::new(tun, place));
            }
            Err(_) => self.plane.report(Event::PortFailed {
                errno: libc::ENOSPC, // the limit of what may be polled
                interface: Some(number),
            }),
        }
    }

    /// One descriptor failed; the others go on. A passing error is tried again, one that lasts is reported.
    fn failed(&mut self, place: usize, source: Source, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let is_gone = matches!(errno, libc::EBADFD | libc::EBADF | libc::ENODEV);
        if self.strikes.len() <= place {
            self.strikes.resize(place + 1, 0);
        }
        self.strikes[place] += 1;
        if is_gone || self.strikes[place] >= STRIKES {
            self.poller.forget(place);
            let interface = match source {
                Source::Tun(number) => Some(number),
                _ => None,
            };
            self.plane.report(Event::PortFailed { errno, interface });
        } else if self.strikes[place] > WARNINGS {
            std::thread::sleep(PAUSE); // what the system lacks now, such as memory, it may have then
        }
    }

    // -- outbound

    fn seal_turn(&mut self, number: u32) -> io::Result<()> {
        for _ in 0..TUN_TURN {
            let Some(face) = self.faces.get(number) else {
                break;
            };
            let is_drained = face.tun().read_many(&mut self.frames)?;
            let frames = self.frames.iter();
            self.plane.seal_from(number, frames, &mut self.outbox);
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
            let _turn = train.turn();
            let lost = send(&self.ports, self.share, train, octets, &mut self.patience);
            learn(&self.plane, &self.ports.paths, train, lost);
        }
        for (to, message) in self.outbox.notices() {
            self.ports.notices.send(to, message, &mut self.patience);
        }
        self.outbox.clear();
    }

    // -- inbound

    fn open_udp_turn(&mut self, index: usize) -> io::Result<()> {
        let done = self.open_trains(index);
        self.write_all();
        done
    }

    fn open_trains(&mut self, index: usize) -> io::Result<()> {
        for round in 0..UDP_TURN {
            let received = self.ports.udp[index].receive(&mut self.buffer)?;
            let Some((count, segment, arrival)) = received else {
                break;
            };
            // The first is ours: with nothing behind it there is no need for help.
            if round > 0 && self.hand_over(index, count, segment, arrival) {
                continue;
            }
            let train = &mut self.buffer[..count];
            self.plane.open(train, segment, &arrival, &mut self.faces);
            self.write_in_turn(index);
        }
        Ok(())
    }

    /// Hand the train in the buffer to a worker that sleeps; false if it stays ours.
    fn hand_over(&mut self, index: usize, count: usize, segment: usize, arrival: Arrival) -> bool {
        let Some(relay) = self.relay.clone() else {
            return false;
        };
        if !relay.has_idle(self.share.index) {
            return false;
        }
        self.write_all(); // what is under construction came before
        let train = Arrived {
            buffer: std::mem::take(&mut self.buffer),
            count,
            segment,
            arrival,
        };
        let handed = relay.hand_over(self.share.index, &mut self.lines[index], train);
        let is_away = handed.is_ok();
        self.buffer = handed.unwrap_or_else(|train| train.buffer);
        is_away
    }

    /// Write what our own train made, behind those that others still have.
    fn write_in_turn(&mut self, index: usize) {
        let line = &mut self.lines[index];
        if line.is_clear() {
            return self.write_closed();
        }
        let turn = line.own_turn();
        let failed = self.faces.write_all();
        drop(turn);
        self.count_failed(failed);
    }

    /// Open a train that another worker received, and write it when its turn comes.
    fn open_parcel(&mut self, relay: &Relay, mut parcel: Parcel) {
        let train = &mut parcel.train;
        let octets = &mut train.buffer[..train.count];
        self.plane
            .open(octets, train.segment, &train.arrival, &mut self.faces);
        let turn = parcel.turn();
        self.write_all();
        drop(turn);
        relay.give_back(parcel);
    }

    fn open_raw_turn(&mut self, index: usize) -> io::Result<()> {
        let done = self.open_batches(index);
        self.write_all();
        done
    }

    fn open_batches(&mut self, index: usize) -> io::Result<()> {
        for _ in 0..RAW_TURN {
            let port = &self.ports.raw[index];
            let Some(count) = port.receive(&mut self.slots)? else {
                break;
            };
            let packets = port.packets(&mut self.slots);
            self.plane.open_each(packets, &mut self.faces);
            self.write_closed();
            if count < BATCH {
                break;
            }
        }
        Ok(())
    }

    /// Write what is complete, while it is in the cache.
    fn write_closed(&mut self) {
        let failed = self.faces.write_closed();
        self.count_failed(failed);
    }

    fn write_all(&mut self) {
        let failed = self.faces.write_all();
        self.count_failed(failed);
    }

    fn count_failed(&self, frames: usize) {
        if frames > 0 {
            self.plane.count_drop(Drop::WriteFailed, frames as u64);
        }
    }
}

/// Count what was lost of a train, and ask for its path MTU where the system says that it was too long.
///
/// What brings its own IP header is refused only where the interface is too narrow, not where a router on the way has said
/// so: its path is asked for once a second while it sends. That costs each such train two locks and a clock.
fn learn(plane: &Plane, paths: &Paths, train: &Train, lost: Lost) {
    if lost != Lost::default() {
        plane.count_drop(Drop::SendFailed, lost.others as u64);
        plane.count_oversize(train.handle, lost.too_big as u64);
    }
    if lost.too_big > 0 || (train.form == Form::Whole && plane.asks_path_mtu(train.handle)) {
        if let Some(mtu) = paths.mtu(train.tunnel.remote) {
            plane.learn_path_mtu(train.handle, mtu);
        }
    }
}

/// Send a train through the first port that carries it; returns what the system did not take.
fn send(
    ports: &Ports,
    share: Share,
    train: &Train,
    octets: &[u8],
    patience: &mut Patience,
) -> Lost {
    if octets.is_empty() {
        return Lost::default();
    }
    if let Some(port) = share.order(&ports.udp).find(|port| port.carries(train)) {
        return port.send(train, octets, patience);
    }
    let raw = match train.form {
        Form::Bare => &ports.raw,
        Form::Whole => &ports.whole,
    };
    match share.order(raw).find(|port| port.carries(train)) {
        Some(port) => port.send(train, octets, &ports.paths, patience),
        None => Lost::others(train.count),
    }
}
