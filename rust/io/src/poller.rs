//! What is ready to be read (epoll(7)), level-triggered: whoever does not read everything in its turn is told again.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{checked, IoError};

/// Told at once; what is beyond is told the next time.
const MOST: usize = 16;

/// Descriptors, each with what it stands for.
pub(crate) struct Poller<T> {
    epoll: OwnedFd,
    /// By place; a place that was forgotten is free for the next.
    watched: Vec<Option<(RawFd, T)>>,
    events: [libc::epoll_event; MOST],
}

impl<T: Copy> Poller<T> {
    pub(crate) fn new() -> Result<Self, IoError> {
        // SAFETY: takes no pointers.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let epoll = checked(epoll, "epoll_create")?;
        Ok(Self {
            // SAFETY: the descriptor is new and nobody else's.
            epoll: unsafe { OwnedFd::from_raw_fd(epoll) },
            watched: Vec::new(),
            events: [libc::epoll_event { events: 0, u64: 0 }; MOST],
        })
    }

    /// Watch a descriptor, which must live until it is forgotten, or as long as this. Returns its place.
    pub(crate) fn watch(&mut self, fd: RawFd, what: T) -> Result<usize, IoError> {
        let free = self.watched.iter().position(Option::is_none);
        let place = free.unwrap_or(self.watched.len());
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: place as u64,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &raw mut event)?;
        if free.is_none() {
            self.watched.push(None);
        }
        self.watched[place] = Some((fd, what));
        Ok(place)
    }

    /// Watch it no longer. What [`Poller::wait`] told of it already is not told any more.
    pub(crate) fn forget(&mut self, place: usize) {
        if let Some((fd, _)) = self.watched.get_mut(place).and_then(Option::take) {
            // It fails where the descriptor is none any more; then it is forgotten already.
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut());
            for event in self
                .events
                .iter_mut()
                .filter(|event| event.u64 == place as u64)
            {
                event.u64 = u64::MAX; // its place may have another before this is looked at
            }
        }
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        event: *mut libc::epoll_event,
    ) -> Result<(), IoError> {
        // SAFETY: the event, if any, lives until after the call.
        let done = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, event) };
        checked(done, "epoll_ctl").map(|_| ())
    }

    /// Sleep until something is ready; how much is.
    pub(crate) fn wait(&mut self) -> usize {
        // SAFETY: there is room for as many events as are asked for.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                MOST as libc::c_int,
                -1,
            )
        };
        usize::try_from(count).unwrap_or(0) // a signal came
    }

    /// What is ready, by number below what [`Poller::wait`] said: its place, for [`Poller::forget`], and what it is.
    pub(crate) fn ready(&self, number: usize) -> Option<(usize, T)> {
        let place = self.events.get(number)?.u64 as usize;
        let (_, what) = self.watched.get(place)?.as_ref()?;
        Some((place, *what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;

    #[test]
    fn tells_what_is_ready_until_it_is_forgotten() {
        let (first, second) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let mut poller = Poller::new().unwrap();
        poller.watch(first.fd(), 'a').unwrap();
        poller.watch(second.fd(), 'b').unwrap();
        second.raise();
        assert_eq!(poller.wait(), 1);
        assert_eq!(poller.ready(0), Some((1, 'b')));
        poller.forget(1);
        first.raise();
        assert_eq!(poller.wait(), 1);
        assert_eq!(poller.ready(0), Some((0, 'a')));
    }

    #[test]
    fn a_place_that_is_free_has_no_news_of_the_one_before() {
        let (first, second) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        let mut poller = Poller::new().unwrap();
        assert_eq!(poller.watch(first.fd(), 'a').unwrap(), 0);
        first.raise();
        assert_eq!(poller.wait(), 1);
        poller.forget(0);
        assert_eq!(poller.watch(second.fd(), 'b').unwrap(), 0);
        assert_eq!(poller.ready(0), None);
        second.raise();
        assert_eq!(poller.wait(), 1);
        assert_eq!(poller.ready(0), Some((0, 'b')));
    }
}
