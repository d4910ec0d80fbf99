//! How long a full socket is waited for.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// In one turn of a worker. What cannot be sent by then is lost, as in every router with a full queue.
const TURN: Duration = Duration::from_millis(20);

/// What is left of a turn's time for waiting. The stop signal ends it, so that a stuck socket never delays the end.
pub(crate) struct Patience {
    stop: RawFd,
    left: Duration,
}

impl Patience {
    /// `stop`: readable when all is to end; it must live as long as this.
    pub(crate) fn new(stop: RawFd) -> Self {
        Self { stop, left: TURN }
    }

    /// A new turn begins.
    pub(crate) fn renew(&mut self) {
        self.left = TURN;
    }

    /// Wait until a socket takes something; false when there is no time left.
    pub(crate) fn wait_writable(&mut self, fd: RawFd) -> bool {
        let began = Instant::now();
        let wants = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut polled = [wants(fd, libc::POLLOUT), wants(self.stop, libc::POLLIN)];
        let limit = self.left.as_millis() as libc::c_int;
        // SAFETY: two pollfds are given, and two are there.
        let count = unsafe { libc::poll(polled.as_mut_ptr(), 2, limit) };
        self.left = self.left.saturating_sub(began.elapsed());
        if count <= 0 || polled[1].revents != 0 {
            self.left = Duration::ZERO;
        }
        !self.left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventfd::EventFd;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    fn full() -> (UnixDatagram, UnixDatagram) {
        let (full, other) = UnixDatagram::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.send(&[0; 1024]).is_ok() {}
        (full, other)
    }

    #[test]
    fn ends_after_its_time() {
        let (stop, (full, _other)) = (EventFd::new().unwrap(), full());
        let mut patience = Patience::new(stop.fd());
        let began = Instant::now();
        assert!(!patience.wait_writable(full.as_raw_fd()));
        assert!(began.elapsed() >= TURN);
        let began = Instant::now();
        assert!(!patience.wait_writable(full.as_raw_fd()));
        assert!(began.elapsed() < TURN);
    }

    #[test]
    fn ends_with_the_stop_signal() {
        let (stop, (full, _other)) = (EventFd::new().unwrap(), full());
        let mut patience = Patience::new(stop.fd());
        stop.raise();
        let began = Instant::now();
        assert!(!patience.wait_writable(full.as_raw_fd()));
        assert!(began.elapsed() < TURN);
    }

    #[test]
    fn goes_on_when_there_is_room() {
        let (stop, (full, other)) = (EventFd::new().unwrap(), full());
        let mut patience = Patience::new(stop.fd());
        other.set_nonblocking(true).unwrap();
        while other.recv(&mut [0; 1024]).is_ok() {}
        assert!(patience.wait_writable(full.as_raw_fd()));
    }
}
