//! What can go wrong, each cause in one sentence that says what to do about it.

use std::io;

/// Why DPDK did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// [`Eal::init`](crate::Eal::init) was called a second time in this process.
    #[error("DPDK is initialised once per process and already was: restart the process")]
    AlreadyInitialised,

    /// DPDK does not know an argument, or its value makes no sense.
    #[error("DPDK refuses its arguments ({detail}): correct the EAL options")]
    Arguments {
        /// What DPDK said.
        detail: String,
    },

    /// There are no free hugepages of the wanted size on the wanted NUMA nodes.
    #[error(
        "no free hugepages ({detail}): reserve some with `sysctl vm.nr_hugepages=512`, ask for less memory, or do \
         without them by --no-huge"
    )]
    NoHugepages {
        /// What DPDK said.
        detail: String,
    },

    /// The process may not do something that DPDK needs.
    #[error(
        "no permission ({detail}): run as root or with CAP_IPC_LOCK, CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN"
    )]
    NoPermission {
        /// What DPDK said.
        detail: String,
    },

    /// Another DPDK process of this host uses the same file prefix.
    #[error("another DPDK process runs with this file prefix: stop it or choose another --file-prefix")]
    FilePrefixInUse,

    /// DPDK did not start for another reason.
    #[error("DPDK did not start ({detail}): correct what it names")]
    Start {
        /// What DPDK said.
        detail: String,
    },

    /// The shim and the Rust side disagree about an mbuf's layout.
    #[error("the mbuf layout of the Rust side differs from the C side: rebuild against the installed DPDK")]
    Layout,

    /// A mempool's numbers are out of range.
    #[error(
        "a pool cannot have {capacity} buffers of {data_room} bytes: choose 1 to 2^28 buffers of 64 to 65407 bytes"
    )]
    PoolSize {
        /// Buffers asked for.
        capacity: u32,
        /// Bytes behind the headroom asked for.
        data_room: u16,
    },

    /// There is not enough memory for a mempool.
    #[error(
        "no memory for {capacity} packet buffers, {mebibytes} MiB in all: give DPDK more (-m) or ask for fewer"
    )]
    PoolMemory {
        /// Buffers asked for.
        capacity: u32,
        /// What they take, MiB, rounded up.
        mebibytes: u64,
    },

    /// No device of this name exists, or it cannot be plugged in.
    #[error(
        "no device {device} for DPDK ({detail}): name a PCI device bound to vfio-pci or a virtual device such as \
         net_af_packet0,iface=eth1"
    )]
    NoDevice {
        /// The device as asked for.
        device: String,
        /// What DPDK said.
        detail: String,
    },

    /// The device is in use already in this process.
    #[error("device {device} is in use already: name each device once")]
    DeviceInUse {
        /// The device as asked for.
        device: String,
    },

    /// The device has fewer queues than asked for, or none were asked for.
    #[error(
        "device {device} has 1 to {rx_max} receive and 1 to {tx_max} transmit queues, not {rx} and {tx}: use fewer \
         workers, or give a virtual device more queues in its arguments"
    )]
    Queues {
        /// The device.
        device: String,
        /// Receive queues asked for.
        rx: u16,
        /// Transmit queues asked for.
        tx: u16,
        /// Receive queues the device has.
        rx_max: u16,
        /// Transmit queues the device has.
        tx_max: u16,
    },

    /// The device cannot do this MTU.
    #[error("device {device} takes an MTU of {min} to {max} bytes, not {mtu}: change the MTU")]
    Mtu {
        /// The device.
        device: String,
        /// The MTU asked for, bytes.
        mtu: u16,
        /// The smallest it takes, bytes.
        min: u16,
        /// The largest it takes, bytes.
        max: u16,
    },

    /// A frame of this MTU does not fit into one buffer of the pool.
    #[error(
        "a frame of MTU {mtu} needs {needed} bytes and the pool's buffers have {data_room}: make them larger"
    )]
    MtuExceedsBuffer {
        /// The MTU asked for, bytes.
        mtu: u16,
        /// What a frame needs, bytes.
        needed: usize,
        /// What a buffer holds behind its headroom, bytes.
        data_room: u16,
    },

    /// The RSS key has the wrong length for the device.
    #[error("device {device} takes an RSS key of up to {max} bytes, not {len}: shorten it, or leave it out")]
    RssKey {
        /// The device.
        device: String,
        /// The key's length, bytes.
        len: usize,
        /// The longest the device takes, bytes.
        max: usize,
    },

    /// A device failed at something else.
    #[error("device {device} failed to {step}: {cause}")]
    Device {
        /// The device.
        device: String,
        /// What it was to do.
        step: &'static str,
        /// The system's error, and what DPDK said.
        cause: String,
    },

    /// A thread cannot run on this core.
    #[error("cannot run on core {core} ({source}): name a core that exists and that this process may use")]
    Core {
        /// The core.
        core: usize,
        /// The system's error.
        source: io::Error,
    },

    /// DPDK has no place for another thread.
    #[error("DPDK takes no further thread ({source}): use fewer workers")]
    Thread {
        /// The system's error.
        source: io::Error,
    },
}

/// The system's error for a negative errno.
pub(crate) fn errno(negative: i32) -> io::Error {
    io::Error::from_raw_os_error(negative.saturating_neg())
}

/// The system's words for a negative errno.
pub(crate) fn meaning(negative: i32) -> String {
    let text = errno(negative).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
