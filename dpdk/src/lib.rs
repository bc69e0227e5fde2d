//! Safe DPDK: the environment, mempools, mbufs, ports and queues.
//!
//! ```text
//!   Eal ──► Device ──► Port ──► RxQueue ──► Mbuf ──► TxQueue
//!    └────► Mempool ──► Pool ──────────────►┘
//! ```
//!
//! [`Eal::init`] starts DPDK once per process. A [`Mempool`] is shared; each thread makes its own [`Pool`] of it,
//! which keeps mbufs at hand. A [`Device`] is found by PCI address or vdev, and [`Device::start`] turns it into a
//! [`Port`] and its queues, which one thread each may use.
//!
//! The types hold each other up: queues keep their port, ports and pools keep DPDK, and the last one to go cleans
//! up. A mempool whose mbufs are still out when its last handle goes is left allocated, and DPDK with it.

mod clock;
mod device;
mod eal;
mod error;
mod mbuf;
mod mempool;
mod pool;
mod port;
mod queue;
mod rss;
mod thread;

pub use clock::{Clock, cycles};
pub use device::{Device, DeviceInfo};
pub use eal::Eal;
pub use error::Error;
pub use mbuf::{HEADROOM, Mbuf, free_all};
pub use mempool::{Mempool, PoolConfig};
pub use pool::{Pool, STASH};
pub use port::{Link, Port, PortConfig, PortStats, Reception};
pub use queue::{BURST, RxQueue, TxQueue};
pub use rss::{Rss, RssKey};
pub use thread::{Registration, pin_to_core, socket_of_core};
