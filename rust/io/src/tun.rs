//! The TUN interface with segmentation offload (linux/if_tun.h).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use caponier_packet::virtio;

use crate::error::{checked, IoError};
use crate::frames::Frames;

const IFF_TUN: libc::c_short = 0x0001;
const IFF_MULTI_QUEUE: libc::c_short = 0x0100;
const IFF_NO_PI: libc::c_short = 0x1000;
const IFF_VNET_HDR: libc::c_short = 0x4000;
const IFF_TUN_EXCL: libc::c_short = 0x8000_u16 as libc::c_short;
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const TUN_F_CSUM: libc::c_uint = 0x01;
const TUN_F_TSO4: libc::c_uint = 0x02;
const TUN_F_TSO6: libc::c_uint = 0x04;
const TUN_F_USO4: libc::c_uint = 0x20;
const TUN_F_USO6: libc::c_uint = 0x40;

/// Octets that one read may give: a super-packet of 64 KiB behind its header.
pub(crate) const MAX_FRAME: usize = 65_536 + virtio::HEADER_LEN;

/// One queue of a TUN interface; the interface goes when its last queue is dropped.
#[derive(Debug)]
pub(crate) struct Tun {
    fd: OwnedFd,
    takes_datagrams: bool,
}

impl Tun {
    /// Create the interface with one queue for each worker.
    ///
    /// `pattern` may hold `%d`; the name that came of it is returned.
    pub(crate) fn create(pattern: &str, queues: usize) -> Result<(String, Vec<Self>), IoError> {
        let shared = if queues > 1 { IFF_MULTI_QUEUE } else { 0 };
        // Not somebody else's interface, which takes more queues as ours does.
        let (first, name) = Self::open(pattern, shared | IFF_TUN_EXCL)?;
        let mut made = vec![first];
        for _ in 1..queues {
            made.push(Self::open(&name, shared)?.0);
        }
        Ok((name, made))
    }

    fn open(pattern: &str, flags: libc::c_short) -> Result<(Self, String), IoError> {
        // SAFETY: the path is a C string.
        let fd = unsafe {
            libc::open(
                c"/dev/net/tun".as_ptr(),
                libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK,
            )
        };
        let fd = checked(fd, "opening /dev/net/tun")?;
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut tun = Self {
            fd,
            takes_datagrams: false,
        };
        let name = tun.set_interface(pattern, flags)?;
        tun.set_offloads()?;
        Ok((tun, name))
    }

    fn set_interface(&self, pattern: &str, flags: libc::c_short) -> Result<String, IoError> {
        let bad = |c: char| c.is_whitespace() || c == '/' || c == '\0';
        if pattern.is_empty() || pattern.len() >= libc::IFNAMSIZ || pattern.contains(bad) {
            return Err(IoError::InterfaceName(pattern.to_owned()));
        }
        // SAFETY: all zeros is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (slot, octet) in request.ifr_name.iter_mut().zip(pattern.bytes()) {
            *slot = octet as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags;
        // SAFETY: TUNSETIFF reads and writes an ifreq.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), TUNSETIFF, &raw mut request) };
        checked(done, &format!("creating the interface {pattern}"))?;
        // SAFETY: the name was shorter than its field, or the kernel wrote it; both end with a zero.
        let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        Ok(name.to_string_lossy().into_owned())
    }

    /// Ask for super-packets in both directions; kernels before 6.2 have no UDP segmentation here.
    fn set_offloads(&mut self) -> Result<(), IoError> {
        let size = virtio::HEADER_LEN as libc::c_int;
        // SAFETY: TUNSETVNETHDRSZ reads an int.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), TUNSETVNETHDRSZ, &raw const size) };
        checked(done, "setting the size of the TUN header")?;
        let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
        let udp = TUN_F_USO4 | TUN_F_USO6;
        for features in [tcp | udp, tcp, TUN_F_CSUM] {
            // SAFETY: TUNSETOFFLOAD takes a number.
            if unsafe {
                libc::ioctl(
                    self.fd.as_raw_fd(),
                    TUNSETOFFLOAD,
                    libc::c_ulong::from(features),
                )
            } == 0
            {
                self.takes_datagrams = features & udp != 0;
                return Ok(());
            }
        }
        Ok(()) // without any offload it is slower, and as right
    }

    /// Whether super-packets of UDP may be written.
    pub(crate) fn takes_datagrams(&self) -> bool {
        self.takes_datagrams
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Fill `frames` anew with what is there; true when nothing more is. An error that comes after a frame is left for the
    /// next call.
    pub(crate) fn read_many(&self, frames: &mut Frames) -> io::Result<bool> {
        frames.clear();
        while let Some(room) = frames.room() {
            match self.read(room) {
                Ok(Some(count)) => frames.push(count),
                Ok(None) => return Ok(true),
                Err(error) if frames.is_empty() => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Read one frame; None when there is none.
    fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the buffer has the length that is given.
        let count = unsafe { libc::read(self.fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match usize::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => would_block_is_none(io::Error::last_os_error()),
        }
    }

    /// Write one frame.
    pub(crate) fn write(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the frame has the length that is given.
        let count = unsafe { libc::write(self.fd(), frame.as_ptr().cast(), frame.len()) };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// "Nothing there now" and "a signal came" are no errors.
pub(crate) fn would_block_is_none<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}
