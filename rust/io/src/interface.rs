//! The queue between the kernel and the TUN interface's reader: how long it is, and what did not fit.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::error::{checked, IoError};

/// Packets that wait for a worker. The kernel's own 500 are gone in 3 ms at 170 000 packets a second, which is how long
/// the scheduler may let a worker wait; it drops what comes then.
const QUEUE: libc::c_int = 2000;
/// Which number of a line of /proc/net/dev tells the packets that were not sent: 8 of receiving stand before the octets,
/// packets, errors and drops of sending.
const SENDING_DROPS: usize = 8 + 3;

/// The counters of interfaces, wherever the reader stands: opened in their network namespace.
#[derive(Debug)]
pub(crate) struct InterfaceCounters {
    /// None where the system has no /proc.
    table: Option<Mutex<File>>,
}

impl InterfaceCounters {
    /// Call it in the interfaces' network namespace.
    pub(crate) fn open() -> Self {
        Self {
            table: File::open("/proc/thread-self/net/dev").ok().map(Mutex::new),
        }
    }

    /// Packets that the kernel dropped because the workers did not fetch them in time; 0 where it does not tell.
    pub(crate) fn drops(&self, interfaces: &[Option<String>]) -> u64 {
        let text = self.table.as_ref().and_then(|table| {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            read_again(&mut table).ok()
        });
        let names: HashSet<&str> = interfaces.iter().flatten().map(String::as_str).collect();
        text.map_or(0, |text| sending_drops(&text, &names))
    }
}

fn read_again(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn sending_drops(table: &str, names: &HashSet<&str>) -> u64 {
    let of_line = |line: &str| -> Option<u64> {
        let (name, numbers) = line.split_once(':')?;
        let numbers = names.contains(name.trim()).then_some(numbers)?;
        numbers.split_whitespace().nth(SENDING_DROPS)?.parse().ok()
    };
    table.lines().filter_map(of_line).sum()
}

/// Make the queue long enough for the times that a worker has to wait. Call it in the interface's network namespace.
pub(crate) fn lengthen_queue(name: &str) -> Result<(), IoError> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    let fd = checked(fd, "a socket to ask about interfaces")?;
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = libc::IFNAMSIZ - 1;
    for (slot, octet) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *slot = octet as libc::c_char;
    }
    request.ifr_ifru.ifru_metric = QUEUE; // ifr_qlen is the same int
                                          // SAFETY: SIOCSIFTXQLEN reads an ifreq.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFTXQLEN, &raw mut request) };
    checked(done, &format!("lengthening the queue of {name}")).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    3    4    5     6          7         8        9       10   11   12   13    14      15         16
  cap0:     101     102  103  104  105   106        107       108      109      110  111  112  113   114     115        116
";

    fn drops(table: &str, names: &[&str]) -> u64 {
        sending_drops(table, &names.iter().copied().collect())
    }

    #[test]
    fn finds_the_drops_of_its_interfaces() {
        assert_eq!(drops(TABLE, &["cap0"]), 112);
        assert_eq!(drops(TABLE, &["lo", "cap0"]), 124);
        assert_eq!(drops(TABLE, &["cap"]), 0);
        assert_eq!(drops("cap0: 1 2 3", &["cap0"]), 0);
    }

    #[test]
    fn reads_the_living_table() {
        let (counters, lo) = (InterfaceCounters::open(), [Some("lo".to_owned()), None]);
        let first = counters.drops(&lo);
        assert!(counters.drops(&lo) >= first);
        let mut table = counters.table.as_ref().unwrap().lock().unwrap();
        for _ in 0..2 {
            assert!(read_again(&mut table).unwrap().contains("lo:"));
        }
    }
}
