//! Replays a capture for ever into a network device of the kernel, from one core: the source of peers that are
//! the kernel itself. What the device does with a frame, the sending thread does within its system call.

use crate::capture;
use clap::Args;
use miette::{IntoDiagnostic, Result, bail, miette};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, setsockopt, socket,
};
use nix::{setsockopt_impl, sockopt_impl};
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// Frames per system call.
const BATCH: usize = 64;

sockopt_impl!(
    /// Frames go to the device at once, through no queueing discipline (packet(7)).
    QdiscBypass,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_QDISC_BYPASS,
    bool
);

/// A sender process.
#[derive(Args)]
pub struct Sender {
    /// What it sends
    #[arg(long)]
    pub capture: PathBuf,
    /// The device, in the process's network namespace
    #[arg(long)]
    pub device: String,
    /// Where it runs
    #[arg(long)]
    pub core: usize,
}

/// Sends until the process is ended. Frames that the device refuses are lost; counters are the device's.
///
/// # Errors
/// Where the capture cannot be read or the device does not take frames.
pub fn run(sender: &Sender) -> Result<()> {
    dpdk::pin_to_core(sender.core).into_diagnostic()?;
    let frames = capture::read(&sender.capture)?;
    if frames.is_empty() {
        bail!("{} holds no frames", sender.capture.display());
    }
    // No protocol: the socket receives nothing.
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).into_diagnostic()?;
    bind(socket.as_raw_fd(), &device(&sender.device)?).into_diagnostic()?;
    setsockopt(&socket, QdiscBypass, &true).into_diagnostic()?;
    let slices: Vec<[IoSlice; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
    let mut headers = MultiHeaders::<LinkAddr>::preallocate(BATCH, None);
    loop {
        for batch in slices.chunks(BATCH) {
            match sendmmsg(socket.as_raw_fd(), &mut headers, batch, [None; BATCH], [], MsgFlags::empty()) {
                // A frame dropped behind the device is the device's to count.
                Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS) => {}
                Err(error) => return Err(error).into_diagnostic(),
            }
        }
    }
}

fn device(name: &str) -> Result<LinkAddr> {
    getifaddrs()
        .into_diagnostic()?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| miette!("no device {name}"))
}
