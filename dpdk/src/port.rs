//! A port that runs, and what its user may see and set of it.

use crate::device::{Claim, Device, DeviceInfo};
use crate::eal;
use crate::error::{Error, meaning};
use crate::mempool::Mempool;
use crate::queue::{RxQueue, TxQueue};
use crate::rss::{Rss, RssKey};
use dpdk_sys as sys;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

/// Bytes around an MTU in a frame: Ethernet header, two VLAN tags, check sequence.
const FRAME_OVERHEAD: usize = 14 + 2 * 4 + 4;

/// Which frames a port receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reception {
    /// Those to its own address and broadcast.
    Own,
    /// Those and all multicast, which IPv6's neighbour discovery needs.
    #[default]
    Multicast,
    /// All.
    Promiscuous,
}

/// How a port is to run.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Receive queues, one per worker that receives.
    pub rx_queues: u16,
    /// Transmit queues, one per worker that sends.
    pub tx_queues: u16,
    /// Slots per receive queue; rounded to what the device takes.
    pub rx_descriptors: u16,
    /// Slots per transmit queue; rounded to what the device takes.
    pub tx_descriptors: u16,
    /// The MTU, bytes.
    pub mtu: u16,
    /// Which frames to receive.
    pub reception: Reception,
    /// The key of the hash over IP addresses and TCP or UDP ports that spreads packets over several receive
    /// queues; `None` for the device's own. Devices that cannot hash ignore it.
    pub rss_key: Option<RssKey>,
}

impl Default for PortConfig {
    fn default() -> PortConfig {
        PortConfig {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            reception: Reception::default(),
            rss_key: None,
        }
    }
}

/// What a port has counted since it started. Software devices leave some at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets the device dropped because its queue was full.
    pub rx_missed: u64,
    /// Broken packets received.
    pub rx_errors: u64,
    /// Times no mbuf was left to receive into.
    pub rx_no_buffer: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that failed to be sent.
    pub tx_errors: u64,
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether it carries traffic.
    pub up: bool,
    /// Megabits per second, where known.
    pub speed_mbps: Option<u32>,
    /// Whether both directions carry at once.
    pub full_duplex: bool,
}

/// A running port: its control side, for one thread.
///
/// It runs until this and all its queues are dropped; then it is stopped and closed.
#[derive(Debug)]
pub struct Port {
    running: Arc<Running>,
    info: DeviceInfo,
    /// DPDK's control functions of one port take one thread at a time.
    _one_thread: PhantomData<Cell<()>>,
}

/// What keeps a port running. Fields drop in this order after the port is closed.
#[derive(Debug)]
pub(crate) struct Running {
    claim: Claim,
    /// What the device receives into must outlive it.
    _mempool: Mempool,
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.claim.port
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _turn = eal::control();
        // SAFETY: no queue of the port is left, so nobody receives or sends; DPDK runs as long as the claim.
        unsafe { sys::proa_port_close(self.claim.port) }
    }
}

impl Device {
    /// Configures the device, sets up its queues, which receive into `mempool`, and starts it.
    ///
    /// # Errors
    /// [`Error::Queues`], [`Error::Mtu`], [`Error::MtuExceedsBuffer`] and [`Error::RssKey`] for what the device or the
    /// pool cannot do, [`Error::Device`] for what else fails.
    pub fn start(
        self,
        config: &PortConfig,
        mempool: &Mempool,
    ) -> Result<(Port, Vec<RxQueue>, Vec<TxQueue>), Error> {
        let raw = self.check(config, mempool)?;
        let Device { claim, info } = self;
        let running = Arc::new(Running { claim, _mempool: mempool.clone() });
        let mut step = 0;
        let (code, log) = eal::logged(|| {
            // SAFETY: the claim gives the port to this value alone, `running` keeps the pool and DPDK alive, and this
            // thread has the turn for control functions.
            unsafe {
                sys::proa_port_start(running.port(), &raw const raw, mempool.raw().as_ptr(), &raw mut step)
            }
        });
        if code != 0 {
            let cause = eal::cause(code, &log);
            return Err(Error::Device { device: info.name, step: step_name(step), cause });
        }

        let info = DeviceInfo::read(running.port()).unwrap_or(info);
        let rx = (0..config.rx_queues).map(|queue| RxQueue::new(&running, queue)).collect();
        let tx = (0..config.tx_queues).map(|queue| TxQueue::new(&running, queue)).collect();
        Ok((Port { running, info, _one_thread: PhantomData }, rx, tx))
    }

    /// Refuses what the device or the pool cannot do, and puts the rest into the shim's words.
    fn check(&self, config: &PortConfig, mempool: &Mempool) -> Result<sys::proa_port_config, Error> {
        let info = &self.info;
        let device = || info.name.clone();
        let (rx, tx, mtu) = (config.rx_queues, config.tx_queues, config.mtu);
        if !(1..=info.rx_queues_max).contains(&rx) || !(1..=info.tx_queues_max).contains(&tx) {
            let (rx_max, tx_max) = (info.rx_queues_max, info.tx_queues_max);
            return Err(Error::Queues { device: device(), rx, tx, rx_max, tx_max });
        }
        let (min, max) = info.mtu_range;
        if !(min..=max).contains(&mtu) {
            return Err(Error::Mtu { device: device(), mtu, min, max });
        }
        let needed = usize::from(mtu) + FRAME_OVERHEAD;
        if needed > usize::from(mempool.data_room()) {
            return Err(Error::MtuExceedsBuffer { mtu, needed, data_room: mempool.data_room() });
        }

        let mut rss_key = [0u8; sys::PROA_RSS_KEY_MAX as usize];
        let key = config.rss_key.as_ref().map_or(&[][..], RssKey::bytes);
        let max = if info.rss_key_len == 0 { rss_key.len() } else { info.rss_key_len.min(rss_key.len()) };
        if key.len() > max {
            return Err(Error::RssKey { device: device(), len: key.len(), max });
        }
        rss_key[..key.len()].copy_from_slice(key);
        Ok(sys::proa_port_config {
            rx_queues: rx,
            tx_queues: tx,
            rx_descriptors: config.rx_descriptors,
            tx_descriptors: config.tx_descriptors,
            mtu,
            reception: config.reception as u8,
            rss_key_len: key.len() as u8,
            rss_key,
        })
    }
}

fn step_name(step: i32) -> &'static str {
    match step as sys::proa_step {
        sys::PROA_STEP_CONFIGURE => "take its configuration",
        sys::PROA_STEP_DESCRIPTORS => "size its queues",
        sys::PROA_STEP_MTU => "set its MTU",
        sys::PROA_STEP_RX_QUEUE => "set up a receive queue",
        sys::PROA_STEP_TX_QUEUE => "set up a transmit queue",
        sys::PROA_STEP_RECEPTION => "choose which frames it receives",
        _ => "start",
    }
}

impl Port {
    /// DPDK's number of the port.
    pub fn id(&self) -> u16 {
        self.running.port()
    }

    /// What the device is and can do, as of its start.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// The link's state now; does not wait for a link that is coming up.
    ///
    /// # Errors
    /// [`Error::Device`] when the device does not say.
    pub fn link(&self) -> Result<Link, Error> {
        let mut raw = sys::proa_link { up: 0, full_duplex: 0, speed_mbps: 0 };
        let _turn = eal::control();
        // SAFETY: the port runs; DPDK fills in the structure.
        let code = unsafe { sys::proa_port_link(self.id(), &raw mut raw) };
        self.result(code, "tell its link state")?;
        let speed_mbps = (!matches!(raw.speed_mbps, 0 | u32::MAX)).then_some(raw.speed_mbps);
        Ok(Link { up: raw.up != 0, speed_mbps, full_duplex: raw.full_duplex != 0 })
    }

    /// What it has counted.
    ///
    /// # Errors
    /// [`Error::Device`] when the device does not say.
    pub fn stats(&self) -> Result<PortStats, Error> {
        // SAFETY: all-zero is a value of this plain structure.
        let mut raw: sys::proa_port_stats = unsafe { std::mem::zeroed() };
        let _turn = eal::control();
        // SAFETY: the port runs; DPDK fills in the structure.
        let code = unsafe { sys::proa_port_stats(self.id(), &raw mut raw) };
        self.result(code, "tell its statistics")?;
        Ok(PortStats {
            rx_packets: raw.rx_packets,
            rx_bytes: raw.rx_bytes,
            rx_missed: raw.rx_missed,
            rx_errors: raw.rx_errors,
            rx_no_buffer: raw.rx_no_buffer,
            tx_packets: raw.tx_packets,
            tx_bytes: raw.tx_bytes,
            tx_errors: raw.tx_errors,
        })
    }

    /// How it spreads packets over its queues; `None` where the device does not say.
    pub fn rss(&self) -> Option<Rss> {
        let mut key = [0u8; sys::PROA_RSS_KEY_MAX as usize];
        let mut table = vec![0u16; sys::PROA_RSS_TABLE_MAX as usize];
        let _turn = eal::control();
        // SAFETY: the port runs; DPDK writes no more than there is room for.
        let (key_len, table_len) = unsafe {
            (
                sys::proa_port_rss_key(self.id(), key.as_mut_ptr(), key.len() as u32),
                sys::proa_port_rss_table(self.id(), table.as_mut_ptr(), table.len() as u32),
            )
        };
        table.truncate(usize::try_from(table_len).ok()?);
        Some(Rss { key: RssKey::new(&key[..usize::try_from(key_len).ok()?]), table })
    }

    fn result(&self, code: i32, step: &'static str) -> Result<(), Error> {
        if code == 0 {
            return Ok(());
        }
        Err(Error::Device { device: self.info.name.clone(), step, cause: meaning(code) })
    }
}
