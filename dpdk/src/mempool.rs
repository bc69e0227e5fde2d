//! A mempool of mbufs, shared by all threads.

use crate::eal::{self, Eal};
use crate::error::Error;
use crate::mbuf::HEADROOM;
use dpdk_sys as sys;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Numbers each mempool: DPDK wants a name of its own for each.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// What a mempool is to hold.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Mbufs in all.
    pub capacity: u32,
    /// Bytes of data an mbuf holds behind its headroom of [`HEADROOM`] bytes.
    pub data_room: u16,
    /// Mbufs that DPDK keeps at hand per registered thread, at most; 0 for a pool in which none may rest.
    pub cache: u16,
    /// The NUMA node whose memory is used; `None` for any.
    pub socket: Option<u32>,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig { capacity: 16384, data_room: 2048, cache: 256, socket: None }
    }
}

/// A shared handle to a pool of mbufs, allocated at start. Threads take mbufs through a [`Pool`](crate::Pool).
#[derive(Clone, Debug)]
pub struct Mempool(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    raw: NonNull<sys::rte_mempool>,
    capacity: u32,
    data_room: u16,
    /// Taken out when the pool goes.
    eal: Option<Eal>,
}

// SAFETY: DPDK's default mempool has a multi-producer multi-consumer ring, and its caches belong to one thread each.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Mempool {
    /// Allocates a pool.
    ///
    /// # Errors
    /// [`Error::PoolSize`] for numbers out of range, [`Error::PoolMemory`] where DPDK has not enough memory.
    pub fn new(eal: &Eal, config: &PoolConfig) -> Result<Mempool, Error> {
        let PoolConfig { capacity, data_room, cache, socket } = *config;
        if capacity == 0 || capacity > 1 << 28 || !(64..=u16::MAX - HEADROOM as u16).contains(&data_room) {
            return Err(Error::PoolSize { capacity, data_room });
        }
        // DPDK wants the cache to be at most two thirds of the pool.
        let cache = u32::from(cache).min(capacity * 2 / 3);
        let name = eal::c_string(&format!("proa_pool_{}", SERIAL.fetch_add(1, Ordering::Relaxed)))?;
        let socket = socket.map_or(-1, |socket| socket as i32);
        let mut error = 0;
        let (raw, _log) = eal::logged(|| {
            // SAFETY: the name is a C string, `eal` shows that DPDK runs.
            unsafe {
                sys::proa_pool_create(name.as_ptr(), capacity, cache, data_room, socket, &raw mut error)
            }
        });
        let Some(raw) = NonNull::new(raw) else {
            let bytes = u64::from(capacity) * (u64::from(data_room) + 128 + HEADROOM as u64 + 64);
            return Err(Error::PoolMemory { capacity, mebibytes: bytes.div_ceil(1 << 20) });
        };
        Ok(Mempool(Arc::new(Owned { raw, capacity, data_room, eal: Some(eal.clone()) })))
    }

    /// Mbufs in all.
    pub fn capacity(&self) -> usize {
        self.0.capacity as usize
    }

    /// Bytes of data an mbuf holds behind its headroom.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    /// Mbufs that neither a device, a packet nor a thread's [`Pool`](crate::Pool) holds. Slow: not for each packet.
    pub fn available(&self) -> usize {
        // SAFETY: the pool lives as long as `self`; counting changes nothing.
        unsafe { sys::proa_pool_available(self.0.raw.as_ptr()) as usize }
    }

    pub(crate) fn raw(&self) -> NonNull<sys::rte_mempool> {
        self.0.raw
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _turn = eal::control();
        // SAFETY: this is the last handle. With all mbufs back nobody refers to the pool's memory, and nobody can
        // take one any more.
        unsafe {
            if sys::proa_pool_available(self.raw.as_ptr()) == self.capacity {
                sys::proa_pool_free(self.raw.as_ptr());
                return;
            }
        }
        // Mbufs are still out: their memory must stay, and DPDK, which would take it back, with it.
        if let Some(eal) = self.eal.take() {
            eal.leak();
        }
    }
}
