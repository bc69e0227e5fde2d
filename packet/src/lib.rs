//! Packets: the buffers they live in, views of their headers, checksums, and the reasons to drop them.
//!
//! This crate knows no device, clock, socket or randomness. A buffer is anything that implements
//! [`PacketBuf`]: DPDK's mbuf in the appliance, [`heap::HeapBuf`] in tests, the simulator and fuzzers.
#![forbid(unsafe_code)]

mod addr;
mod buf;
pub mod checksum;
mod counter;
pub mod ethernet;
pub mod extent;
pub mod fragment;
mod headers;
pub mod heap;
pub mod icmp;
pub mod index;
pub mod ip;
pub mod mss;
pub mod plain;
mod reason;
pub mod rss;
pub mod siit;
pub mod transport;

pub use addr::{Addr, Mac};
pub use buf::{BufPool, NoRoom, PacketBuf};
pub use counter::Counter;
pub use headers::Headers;
pub use ip::IpVersion;
pub use reason::Reason;
