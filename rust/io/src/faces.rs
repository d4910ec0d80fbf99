//! A worker's queues of the TUN interfaces, each with what is on its way into it.

use caponier_plane::{Inbox, Inboxes};

use crate::tun::Tun;

/// One queue.
#[derive(Debug)]
pub(crate) struct Face {
    tun: Tun,
    inbox: Inbox,
    /// Something came for it in this turn.
    is_used: bool,
    /// Where the poller has it.
    place: usize,
}

impl Face {
    pub(crate) fn new(tun: Tun, place: usize) -> Self {
        Self {
            inbox: if tun.takes_datagrams() {
                Inbox::new()
            } else {
                Inbox::without_datagrams()
            },
            tun,
            is_used: false,
            place,
        }
    }

    pub(crate) fn tun(&self) -> &Tun {
        &self.tun
    }

    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Write what is complete; how many frames the system did not take.
    fn write(&mut self) -> usize {
        let frames = self.inbox.frames();
        let failed = frames.filter(|frame| self.tun.write(frame).is_err());
        let count = failed.count();
        self.inbox.recycle();
        count
    }
}

/// The queues by the numbers of their interfaces. Numbers are never used again, and what is left of a removed one is a word.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    by_number: Vec<Option<Box<Face>>>,
    /// Those that something came for in this turn.
    used: Vec<u32>,
}

impl Faces {
    pub(crate) fn insert(&mut self, number: u32, face: Face) {
        let at = number as usize;
        if self.by_number.len() <= at {
            self.by_number.resize_with(at + 1, || None);
        }
        self.by_number[at] = Some(Box::new(face));
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Box<Face>> {
        self.by_number.get_mut(number as usize)?.take()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Face> {
        self.by_number.get(number as usize)?.as_deref()
    }

    /// Write what is complete, while it is in the cache; how many frames the system did not take.
    pub(crate) fn write_closed(&mut self) -> usize {
        let mut failed = 0;
        for number in &self.used {
            if let Some(Some(face)) = self.by_number.get_mut(*number as usize) {
                failed += face.write();
            }
        }
        failed
    }

    /// Write everything; the turn ends.
    pub(crate) fn write_all(&mut self) -> usize {
        let mut failed = 0;
        for number in self.used.drain(..) {
            if let Some(Some(face)) = self.by_number.get_mut(number as usize) {
                face.inbox.finish();
                failed += face.write();
                face.is_used = false;
            }
        }
        failed
    }
}

impl Inboxes for Faces {
    #[inline]
    fn of(&mut self, interface: u32) -> Option<&mut Inbox> {
        let face = self.by_number.get_mut(interface as usize)?.as_mut()?;
        if !face.is_used {
            face.is_used = true;
            self.used.push(interface);
        }
        Some(&mut face.inbox)
    }
}
