//! A device that DPDK can drive: found by PCI address or vdev, not yet running.

use crate::eal::{self, Eal};
use crate::error::{Error, meaning};
use dpdk_sys as sys;
use packet::Mac;
use std::ffi::{CStr, c_char};
use std::sync::{Mutex, PoisonError};

/// DPDK's numbers of the ports that are in someone's hands.
static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// A device in one's hands, not yet running: look at its [`info`](Device::info), then
/// [`start`](Device::start) it.
#[derive(Debug)]
pub struct Device {
    pub(crate) claim: Claim,
    pub(crate) info: DeviceInfo,
}

/// What a device is and can do.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// DPDK's name: the PCI address, or the vdev's name without arguments.
    pub name: String,
    /// The driver, such as `net_ixgbe`.
    pub driver: String,
    /// Its hardware address.
    pub mac: Mac,
    /// The MTU it has now, bytes.
    pub mtu: u16,
    /// The smallest and the largest MTU it takes, bytes.
    pub mtu_range: (u16, u16),
    /// Receive queues, at most.
    pub rx_queues_max: u16,
    /// Transmit queues, at most.
    pub tx_queues_max: u16,
    /// The NUMA node it is attached to.
    pub socket: Option<u32>,
    /// Whether it can spread packets over queues by a hash of their IP addresses.
    pub rss_addresses: bool,
    /// Whether that hash can include TCP and UDP ports.
    pub rss_ports: bool,
    /// The hash key's length, bytes; 0 where unknown.
    pub rss_key_len: usize,
    /// Entries in the table from hash to queue; 0 where unknown.
    pub rss_table_len: usize,
}

impl Device {
    /// Finds a device by `name`: a PCI address (`0000:3b:00.0`), or a vdev with its arguments
    /// (`net_af_packet0,iface=eth1`). One that DPDK does not know yet is plugged in.
    ///
    /// # Errors
    /// [`Error::NoDevice`], or [`Error::DeviceInUse`] while someone holds it.
    pub fn find(eal: &Eal, name: &str) -> Result<Device, Error> {
        if name.is_empty() {
            return Err(Error::NoDevice { device: String::new(), detail: "the name is empty".to_owned() });
        }
        let bare = eal::c_string(name.split(',').next().unwrap_or(name))?;
        let whole = eal::c_string(name)?;
        let (port, log) = eal::logged(|| {
            // SAFETY: valid C strings, DPDK runs, and this thread has the turn for control functions.
            unsafe {
                let port = sys::proa_port_find(bare.as_ptr());
                if port >= 0 {
                    return Ok(port);
                }
                let plugged = sys::proa_port_plug(whole.as_ptr());
                let port = sys::proa_port_find(bare.as_ptr());
                if port >= 0 { Ok(port) } else { Err(if plugged < 0 { plugged } else { port }) }
            }
        });
        let port = port.map_err(|code| {
            let detail = eal::cause(code, &log);
            if eal::is_forbidden(code, &log) || lacks_root(name, &log) {
                return Error::NoPermission { detail };
            }
            Error::NoDevice { device: name.to_owned(), detail }
        })?;
        Device::take(eal, port as u16, name)
    }

    /// All devices that DPDK knows and nobody holds: those it found at start and those named by `--vdev`.
    pub fn all(eal: &Eal) -> Vec<Device> {
        let mut devices = Vec::new();
        let mut from = 0;
        // SAFETY: DPDK runs; the function only looks.
        while let Ok(port) = u16::try_from(unsafe { sys::proa_port_next(from) }) {
            devices.extend(Device::take(eal, port, ""));
            from = u32::from(port) + 1;
        }
        devices
    }

    fn take(eal: &Eal, port: u16, name: &str) -> Result<Device, Error> {
        let claim = Claim::new(eal, port).ok_or_else(|| Error::DeviceInUse { device: name.to_owned() })?;
        let info = DeviceInfo::read(port)
            .map_err(|code| Error::NoDevice { device: name.to_owned(), detail: meaning(code) })?;
        Ok(Device { claim, info })
    }

    /// What it is and can do.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }
}

impl DeviceInfo {
    /// Asks DPDK; the error is a negative errno.
    pub(crate) fn read(port: u16) -> Result<DeviceInfo, i32> {
        let _turn = eal::control();
        // SAFETY: all-zero is a value of this plain structure.
        let mut raw: sys::proa_port_info = unsafe { std::mem::zeroed() };
        // SAFETY: DPDK runs where a port's number is known; it fills in the structure.
        let code = unsafe { sys::proa_port_info(port, &raw mut raw) };
        if code != 0 {
            return Err(code);
        }
        Ok(DeviceInfo {
            name: text(&raw.name),
            driver: text(&raw.driver),
            mac: Mac(raw.mac),
            mtu: raw.mtu,
            mtu_range: (raw.mtu_min, raw.mtu_max),
            rx_queues_max: raw.rx_queues_max,
            tx_queues_max: raw.tx_queues_max,
            socket: u32::try_from(raw.socket).ok(),
            rss_addresses: raw.rss_ip != 0,
            rss_ports: raw.rss_ports != 0,
            rss_key_len: usize::from(raw.rss_key_len),
            rss_table_len: usize::from(raw.rss_table_len),
        })
    }
}

/// Whether a device failed that an ordinary user cannot have: its driver does not say that this is why.
fn lacks_root(name: &str, log: &str) -> bool {
    let kernels = ["net_af_packet", "net_af_xdp", "net_tap"].iter().any(|driver| name.starts_with(driver));
    // SAFETY: has no precondition and cannot fail.
    kernels && unsafe { libc::geteuid() } != 0 && !log.contains("No such device")
}

/// The text of a C array up to its zero.
fn text(array: &[c_char]) -> String {
    // SAFETY: c_char and u8 have the same size and alignment, and every value is valid for both.
    let bytes = unsafe { std::slice::from_raw_parts(array.as_ptr().cast::<u8>(), array.len()) };
    CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_string_lossy().into_owned()
}

/// The right to a port, given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) port: u16,
    _eal: Eal,
}

impl Claim {
    fn new(eal: &Eal, port: u16) -> Option<Claim> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains(&port) {
            return None;
        }
        taken.push(port);
        Some(Claim { port, _eal: eal.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|port| *port != self.port);
    }
}
