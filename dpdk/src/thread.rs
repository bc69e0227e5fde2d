//! Threads of one's own as packet threads: bound to a core and known to DPDK.

use crate::eal::{self, Eal};
use crate::error::{Error, errno};
use dpdk_sys as sys;
use std::marker::PhantomData;
use std::{fs, io};

/// Makes the calling thread known to DPDK, which then keeps mbufs at hand for it. Dropping it undoes that.
///
/// Bind the thread to its core first ([`pin_to_core`]): DPDK looks once which NUMA node it runs on. A thread that
/// is not registered can do the same, only slower.
#[derive(Debug)]
pub struct Registration {
    _eal: Eal,
    /// It is this thread's.
    _not_send: PhantomData<*mut ()>,
}

impl Registration {
    /// Registers the calling thread.
    ///
    /// # Errors
    /// [`Error::Thread`] when DPDK has no place for it.
    pub fn new(eal: &Eal) -> Result<Registration, Error> {
        let _turn = eal::control();
        // SAFETY: DPDK runs, as `eal` shows.
        match unsafe { sys::proa_thread_register() } {
            0 => Ok(Registration { _eal: eal.clone(), _not_send: PhantomData }),
            code => Err(Error::Thread { source: errno(code) }),
        }
    }

    /// The NUMA node the thread ran on when it registered.
    pub fn socket(&self) -> Option<u32> {
        // SAFETY: DPDK runs as long as `_eal`, and this thread is registered.
        u32::try_from(unsafe { sys::proa_socket_id() }).ok()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _turn = eal::control();
        // SAFETY: this thread registered itself, and DPDK runs as long as `_eal`.
        unsafe { sys::proa_thread_unregister() }
    }
}

/// Binds the calling thread to one core.
///
/// # Errors
/// [`Error::Core`] where there is no such core, or the process may not use it.
pub fn pin_to_core(core: usize) -> Result<(), Error> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(Error::Core { core, source: io::Error::from_raw_os_error(libc::EINVAL) });
    }
    // SAFETY: an all-zero cpu_set_t is the empty set; `core` is inside it; the call reads the set only.
    let code = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if code == 0 { Ok(()) } else { Err(Error::Core { core, source: io::Error::last_os_error() }) }
}

/// The NUMA node of a core; `None` where the system does not say.
pub fn socket_of_core(core: usize) -> Option<u32> {
    fs::read_dir(format!("/sys/devices/system/cpu/cpu{core}"))
        .ok()?
        .filter_map(Result::ok)
        .find_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
}
