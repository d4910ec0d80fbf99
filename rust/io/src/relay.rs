//! More than one core for what one socket brings.
//!
//! All packets of an SA come to one socket, so that one worker opens them in their order (decision 8). Where there are
//! cores to spare and more trains in the socket than that worker can open, it only receives: it hands each train to a
//! worker that sleeps, and opens one itself when none does. The trains are opened side by side and written one after the
//! other, in the order in which they came: each has a ticket, and each ticket its turn.
//!
//! What is away at a time is bounded, so that an SA's replay window, which is [`LEAST_WINDOW`] at least, never passes a
//! train that is still being opened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caponier_plane::{Arrival, Turn, Turns};

use crate::error::IoError;
use crate::eventfd::EventFd;
use crate::tun::MAX_FRAME;

/// From so many workers on: with fewer the cores have no time to spare, and waking one another costs more than it gives.
pub(crate) const FROM_WORKERS: usize = 4;
/// Trains of one socket that others have.
const MOST_AWAY: u64 = 8;
/// Packets; more than [`MOST_AWAY`] trains of 64, and as many again.
pub(crate) const LEAST_WINDOW: u32 = 1024;

/// Octets of a train that is worth a wake-up: some ten microseconds of work.
const WORTH: usize = 16_384;

/// A train as it came from a socket.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// A buffer of [`MAX_FRAME`] octets.
    pub(crate) buffer: Vec<u8>,
    /// Octets of the train.
    pub(crate) count: usize,
    /// Octets of each packet but the last.
    pub(crate) segment: usize,
    pub(crate) arrival: Arrival,
}

/// A train for another worker.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) train: Arrived,
    turns: Arc<Turns>,
    ticket: u64,
}

impl Parcel {
    /// Wait until all that came before it is written; others wait until the turn is dropped.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.turns.await_turn(self.ticket, self.ticket + 1)
    }
}

/// The order of what one socket brings; its reader's.
#[derive(Debug)]
pub(crate) struct Line {
    turns: Arc<Turns>,
    next: u64,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Turns::new(0)),
            next: 0,
        }
    }

    /// Whether all that was handed over is written.
    pub(crate) fn is_clear(&self) -> bool {
        self.turns.has_come(self.next)
    }

    /// Wait for the turn of a train that the reader opened itself.
    pub(crate) fn own_turn(&mut self) -> Turn<'_> {
        let ticket = self.ticket();
        self.turns.await_turn(ticket, ticket + 1)
    }

    fn has_room(&self) -> bool {
        self.turns.has_come(self.next.saturating_sub(MOST_AWAY - 1))
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// Where a worker is handed trains.
#[derive(Debug)]
struct Desk {
    is_idle: AtomicBool,
    parcel: Mutex<Option<Parcel>>,
    bell: EventFd,
}

impl Desk {
    fn parcel(&self) -> MutexGuard<'_, Option<Parcel>> {
        self.parcel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workers' desks, and buffers that nobody uses now.
#[derive(Debug)]
pub(crate) struct Relay {
    desks: Vec<Desk>,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Relay {
    pub(crate) fn new(workers: usize) -> Result<Self, IoError> {
        let desk = |_| {
            Ok(Desk {
                is_idle: AtomicBool::new(false),
                parcel: Mutex::new(None),
                bell: EventFd::new()?,
            })
        };
        Ok(Self {
            desks: (0..workers).map(desk).collect::<Result<_, IoError>>()?,
            spare: Mutex::default(),
        })
    }

    /// Readable while there is a parcel for this worker.
    pub(crate) fn bell(&self, worker: usize) -> &EventFd {
        &self.desks[worker].bell
    }

    /// The worker has nothing to do.
    pub(crate) fn rest(&self, worker: usize) {
        self.desks[worker].is_idle.store(true, Ordering::Release);
    }

    /// The worker woke up; returns the train that it was handed meanwhile. That goes first: nobody waits for a turn while
    /// another one waits for what lies on its desk.
    pub(crate) fn rise(&self, worker: usize) -> Option<Parcel> {
        if self.desks[worker].is_idle.swap(false, Ordering::AcqRel) {
            return None;
        }
        loop {
            // Somebody has claimed this worker, and lays the parcel down in the next moment.
            match self.take(worker) {
                None => std::thread::yield_now(),
                parcel => return parcel,
            }
        }
    }

    fn take(&self, worker: usize) -> Option<Parcel> {
        let desk = &self.desks[worker];
        desk.bell.lower();
        desk.parcel().take()
    }

    /// Whether a worker sleeps that could take something; it may be gone in the next moment.
    pub(crate) fn has_idle(&self, reader: usize) -> bool {
        let mut others = self.others(reader);
        others.any(|desk| desk.is_idle.load(Ordering::Relaxed))
    }

    /// Hand a train to a worker that sleeps, and get an empty buffer for it; or keep it, where none does or enough of this
    /// line are away.
    pub(crate) fn hand_over(
        &self,
        reader: usize,
        line: &mut Line,
        train: Arrived,
    ) -> Result<Vec<u8>, Arrived> {
        if train.count < WORTH || !line.has_room() {
            return Err(train);
        }
        let Some(desk) = self.idle(reader) else {
            return Err(train);
        };
        *desk.parcel() = Some(Parcel {
            train,
            turns: Arc::clone(&line.turns),
            ticket: line.ticket(),
        });
        desk.bell.raise();
        Ok(self.buffer())
    }

    /// Give the buffer of a parcel back.
    pub(crate) fn give_back(&self, parcel: Parcel) {
        self.spare().push(parcel.train.buffer);
    }

    /// The desk of a worker that sleeps, which from here on is waited for.
    fn idle(&self, reader: usize) -> Option<&Desk> {
        self.others(reader).find(|desk| {
            desk.is_idle.load(Ordering::Relaxed) && desk.is_idle.swap(false, Ordering::AcqRel)
        })
    }

    fn others(&self, reader: usize) -> impl Iterator<Item = &Desk> {
        let desks = self.desks.iter().enumerate();
        desks
            .filter(move |(worker, _)| *worker != reader)
            .map(|(_, desk)| desk)
    }

    fn buffer(&self) -> Vec<u8> {
        let spare = self.spare().pop();
        spare.unwrap_or_else(|| vec![0; MAX_FRAME])
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caponier_plane::{Form, Protocol};
    use std::net::IpAddr;
    use std::time::Duration;

    fn train(number: usize) -> Arrived {
        Arrived {
            buffer: Vec::new(),
            count: WORTH + number,
            segment: 1,
            arrival: Arrival {
                protocol: Protocol::Esp,
                form: Form::Bare,
                local: None,
                remote: IpAddr::from([192, 0, 2, 1]),
                remote_port: 4500,
                encapsulated: true,
                traffic_class: 0,
                hop_limit: 64,
            },
        }
    }

    #[test]
    fn who_does_not_sleep_is_left_alone() {
        let relay = Relay::new(3).unwrap();
        let mut line = Line::new();
        assert!(relay.hand_over(0, &mut line, train(1)).is_err());
        relay.rest(0); // the reader itself does not count
        assert!(relay.hand_over(0, &mut line, train(1)).is_err());
        relay.rest(2);
        assert!(relay.hand_over(0, &mut line, train(1)).is_ok());
        assert!(relay.hand_over(0, &mut line, train(2)).is_err()); // it is on its way
        assert_eq!(relay.rise(2).unwrap().train.count, WORTH + 1);
        relay.rest(2);
        assert!(relay.rise(2).is_none());
    }

    #[test]
    fn only_so_many_are_away() {
        let relay = Relay::new(20).unwrap();
        let mut line = Line::new();
        (1..20).for_each(|worker| relay.rest(worker));
        let handed = (0..20).filter(|number| relay.hand_over(0, &mut line, train(*number)).is_ok());
        assert_eq!(handed.count() as u64, MOST_AWAY);
        assert!(!line.is_clear());
        for worker in 1..20 {
            if relay.desks[worker].is_idle.load(Ordering::Relaxed) {
                continue;
            }
            if let Some(parcel) = relay.rise(worker) {
                drop(parcel.turn());
                relay.give_back(parcel);
            }
        }
        assert!(line.is_clear());
        assert_eq!(relay.spare().len() as u64, MOST_AWAY);
    }

    /// Whoever opens them, and however long that takes: they are written in the order of their arrival.
    #[test]
    fn the_order_stays() {
        const TRAINS: usize = 2000;
        let (relay, written) = (Relay::new(4).unwrap(), Mutex::new(Vec::new()));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 1..4 {
                let (relay, written, is_over) = (&relay, &written, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Acquire) {
                        relay.rest(worker);
                        std::thread::yield_now();
                        if let Some(parcel) = relay.rise(worker) {
                            if parcel.train.count % 7 == 0 {
                                std::thread::sleep(Duration::from_micros(50));
                            }
                            let turn = parcel.turn();
                            written.lock().unwrap().push(parcel.train.count);
                            drop(turn);
                            relay.give_back(parcel);
                        }
                    }
                });
            }
            let patient = Turns::new(0).with_patience(Duration::from_secs(60)); // the machine may be busy
            let mut line = Line {
                turns: Arc::new(patient),
                next: 0,
            };
            for number in 0..TRAINS {
                if let Err(own) = relay.hand_over(0, &mut line, train(number)) {
                    let _turn = line.own_turn();
                    written.lock().unwrap().push(own.count);
                }
            }
            drop(line.own_turn());
            is_over.store(true, Ordering::Release);
        });
        assert_eq!(
            written.into_inner().unwrap(),
            (WORTH..WORTH + TRAINS).collect::<Vec<_>>()
        );
    }
}
