//! An owned mbuf: DPDK's packet buffer, one segment, read and written at the offsets the shim gives.

use arrayvec::ArrayVec;
use dpdk_sys as sys;
use packet::{NoRoom, PacketBuf};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// Bytes free in front of a new or received packet.
pub const HEADROOM: usize = sys::PROA_HEADROOM as usize;

/// A cache line, bytes.
const LINE: usize = 64;
/// Packets up to this length are copied line by line, bytes.
const SHORT: usize = 4 * LINE;

/// Flags of data that lives in another mbuf or in memory that DPDK does not manage.
const BORROWED: u64 = 1 << sys::PROA_FLAG_INDIRECT_BIT | 1 << sys::PROA_FLAG_EXTERNAL_BIT;

/// A packet buffer of DPDK's, owned: of one segment, not shared. Dropping it gives it back to its mempool.
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: an Mbuf is the only reference to its buffer, and mempools take buffers back from any thread.
unsafe impl Send for Mbuf {}

/// Reads a field of an mbuf.
macro_rules! get {
    ($mbuf:expr, $offset:ident, $type:ty) => {
        // SAFETY: the pointer is an mbuf that this value owns, and the offset and type are this field's.
        unsafe { $mbuf.0.as_ptr().byte_add(sys::$offset as usize).cast::<$type>().read() }
    };
}

/// Writes a field of an mbuf.
macro_rules! set {
    ($mbuf:expr, $offset:ident, $type:ty, $value:expr) => {{
        let value: $type = $value;
        // SAFETY: the pointer is an mbuf that this value owns, and the offset and type are this field's.
        unsafe { $mbuf.0.as_ptr().byte_add(sys::$offset as usize).cast::<$type>().write(value) }
    }};
}

impl Mbuf {
    /// Takes over an mbuf.
    ///
    /// # Safety
    /// `raw` must be a valid mbuf of one segment that nothing else refers to.
    #[inline(always)]
    pub unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Mbuf {
        Mbuf(raw)
    }

    /// Gives the mbuf up; it is no longer freed.
    #[inline(always)]
    pub fn into_raw(self) -> NonNull<sys::rte_mbuf> {
        ManuallyDrop::new(self).0
    }

    /// The port the packet was received on, by DPDK's number; `None` for one made here.
    #[inline(always)]
    pub fn port(&self) -> Option<u16> {
        let port = get!(self, PROA_MBUF_PORT, u16);
        (u32::from(port) != sys::PROA_PORT_INVALID).then_some(port)
    }

    /// Makes it as new: empty behind its headroom, no flags, no port.
    ///
    /// What rte_pktmbuf_reset does, without the second cache line: a buffer at rest has no next segment, and
    /// what else is there counts only under flags.
    #[inline(always)]
    pub(crate) fn reset(&mut self) {
        self.reset_to(HEADROOM as u16, 0);
    }

    /// The same with so many bytes of data, which start there in the buffer.
    #[inline(always)]
    fn reset_to(&mut self, data_off: u16, len: u16) {
        // Word by word: the fields of each lie side by side, in all versions of DPDK.
        const {
            assert!(sys::PROA_MBUF_REFCNT == sys::PROA_MBUF_DATA_OFF + 2);
            assert!(sys::PROA_MBUF_NB_SEGS == sys::PROA_MBUF_DATA_OFF + 4);
            assert!(sys::PROA_MBUF_PORT == sys::PROA_MBUF_DATA_OFF + 6);
            assert!(sys::PROA_MBUF_PKT_LEN == sys::PROA_MBUF_PACKET_TYPE + 4);
            assert!(sys::PROA_MBUF_VLAN_TCI == sys::PROA_MBUF_DATA_LEN + 2);
        }
        let [a, b] = data_off.to_ne_bytes();
        let [one, two] = 1u16.to_ne_bytes();
        let [port, tail] = (sys::PROA_PORT_INVALID as u16).to_ne_bytes();
        let word = u64::from_ne_bytes([a, b, one, two, one, two, port, tail]);
        set!(self, PROA_MBUF_DATA_OFF, u64, word);
        set!(self, PROA_MBUF_OL_FLAGS, u64, 0);
        let [a, b, c, d] = u32::from(len).to_ne_bytes();
        set!(self, PROA_MBUF_PACKET_TYPE, u64, u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d]));
        let [a, b] = len.to_ne_bytes();
        set!(self, PROA_MBUF_DATA_LEN, u32, u32::from_ne_bytes([a, b, 0, 0]));
    }

    /// Whether it may go back to `pool` as it is, without DPDK's help.
    #[inline(always)]
    pub(crate) fn is_plain(&self, pool: NonNull<sys::rte_mempool>) -> bool {
        get!(self, PROA_MBUF_POOL, *mut sys::rte_mempool) == pool.as_ptr()
            && get!(self, PROA_MBUF_REFCNT, u16) == 1
            && get!(self, PROA_MBUF_NB_SEGS, u16) == 1
            && get!(self, PROA_MBUF_OL_FLAGS, u64) & BORROWED == 0
    }

    /// Makes this empty buffer hold the bytes of `source`.
    ///
    /// Short packets are copied in whole cache lines where both buffers have room for that: a call of memcpy takes
    /// longer than the copying.
    #[inline(always)]
    pub(crate) fn fill_from(&mut self, source: &Mbuf) -> Result<(), NoRoom> {
        let len = source.len();
        if len > SHORT || !self.has_room(SHORT) || !source.has_room(SHORT) {
            return self.fill_long(source);
        }
        // SAFETY: both buffers have that room, and they are distinct mbufs.
        unsafe { copy_lines(source.start(), self.start(), len) }
        self.set_len(len as u16);
        Ok(())
    }

    /// Makes this buffer, whatever it is like, hold `before` bytes of unspecified content and those of `source`, which
    /// start behind the headroom. Says `false`, and has done nothing, where that takes more than copying lines.
    #[inline(always)]
    pub(crate) fn fill_behind(&mut self, source: &Mbuf, before: usize) -> bool {
        let len = source.len();
        let room = HEADROOM + SHORT;
        let is_short = len <= SHORT && source.has_room(SHORT) && before <= HEADROOM;
        if !is_short || usize::from(get!(self, PROA_MBUF_BUF_LEN, u16)) < room {
            return false;
        }
        self.reset_to((HEADROOM - before) as u16, (before + len) as u16);
        let buffer = get!(self, PROA_MBUF_BUF_ADDR, *mut u8);
        // SAFETY: both buffers have that room, and they are distinct mbufs.
        unsafe { copy_lines(source.start(), buffer.add(HEADROOM), len) }
        true
    }

    /// Never inlined: beside it, the compiler would turn the copying of lines into a call as well.
    #[inline(never)]
    fn fill_long(&mut self, source: &Mbuf) -> Result<(), NoRoom> {
        let len = source.len();
        if !self.has_room(len) {
            return Err(NoRoom);
        }
        // SAFETY: both buffers have `len` bytes from their start on and are distinct mbufs.
        unsafe { ptr::copy_nonoverlapping(source.start(), self.start(), len) }
        self.set_len(len as u16);
        Ok(())
    }

    /// Whether the buffer has so many bytes from the packet's start on.
    #[inline(always)]
    fn has_room(&self, count: usize) -> bool {
        usize::from(self.data_off()) + count <= usize::from(get!(self, PROA_MBUF_BUF_LEN, u16))
    }

    #[inline(always)]
    fn start(&self) -> *mut u8 {
        let buffer = get!(self, PROA_MBUF_BUF_ADDR, *mut u8);
        // SAFETY: the data's offset lies inside the buffer.
        unsafe { buffer.add(usize::from(self.data_off())) }
    }

    #[inline(always)]
    fn data_off(&self) -> u16 {
        get!(self, PROA_MBUF_DATA_OFF, u16)
    }

    #[inline(always)]
    fn data_len(&self) -> u16 {
        get!(self, PROA_MBUF_DATA_LEN, u16)
    }

    /// Sets the segment's and the packet's length, which are the same.
    #[inline(always)]
    fn set_len(&mut self, len: u16) {
        set!(self, PROA_MBUF_DATA_LEN, u16, len);
        set!(self, PROA_MBUF_PKT_LEN, u32, u32::from(len));
    }
}

/// The number of segments of an mbuf that is not yet an [`Mbuf`].
///
/// # Safety
/// `raw` must be a valid mbuf.
#[inline(always)]
pub(crate) unsafe fn segments(raw: *mut sys::rte_mbuf) -> u16 {
    // SAFETY: the caller's mbuf; the offset and type are this field's.
    unsafe { raw.byte_add(sys::PROA_MBUF_NB_SEGS as usize).cast::<u16>().read() }
}

impl PacketBuf for Mbuf {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        // SAFETY: offset and length describe bytes inside the buffer, which this value owns.
        unsafe { std::slice::from_raw_parts(self.start(), self.len()) }
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len()) }
    }

    #[inline(always)]
    fn headroom(&self) -> usize {
        usize::from(self.data_off())
    }

    #[inline(always)]
    fn tailroom(&self) -> usize {
        let end = usize::from(self.data_off()) + self.len();
        usize::from(get!(self, PROA_MBUF_BUF_LEN, u16)).saturating_sub(end)
    }

    #[inline(always)]
    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        let offset = self.headroom().checked_sub(count).ok_or(NoRoom)?;
        let len = u16::try_from(self.len() + count).map_err(|_| NoRoom)?;
        set!(self, PROA_MBUF_DATA_OFF, u16, offset as u16);
        self.set_len(len);
        Ok(())
    }

    #[inline(always)]
    fn prepend_array<const N: usize>(&mut self) -> Result<&mut [u8; N], NoRoom> {
        self.prepend(N)?;
        // SAFETY: the packet's first `N` bytes, which it has just got, inside the buffer that this value owns.
        Ok(unsafe { &mut *self.start().cast() })
    }

    #[inline(always)]
    fn trim_front(&mut self, count: usize) -> Result<(), NoRoom> {
        let len = self.len().checked_sub(count).ok_or(NoRoom)?;
        set!(self, PROA_MBUF_DATA_OFF, u16, self.data_off() + count as u16);
        self.set_len(len as u16);
        Ok(())
    }

    #[inline(always)]
    fn keep(&mut self, from: usize, len: usize) -> Result<(), NoRoom> {
        if from + len > self.len() {
            return Err(NoRoom);
        }
        set!(self, PROA_MBUF_DATA_OFF, u16, self.data_off() + from as u16);
        self.set_len(len as u16);
        Ok(())
    }

    #[inline(always)]
    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.tailroom() {
            return Err(NoRoom);
        }
        self.set_len(self.data_len() + count as u16);
        Ok(())
    }

    #[inline(always)]
    fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.set_len(len as u16);
        }
    }

    #[inline(always)]
    fn prefetch(&self) {
        prefetch(self.start());
    }

    #[inline(always)]
    fn len(&self) -> usize {
        usize::from(self.data_len())
    }
}

impl Drop for Mbuf {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: an owned mbuf, not used after.
        unsafe { sys::proa_mbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("headroom", &self.headroom()).field("len", &self.len()).finish()
    }
}

/// Copies `len` bytes, at most [`SHORT`], by whole cache lines: a call of memcpy takes longer than the copying.
///
/// # Safety
/// Both must have [`SHORT`] bytes and not overlap; what is written behind `len` is unspecified.
#[inline(always)]
unsafe fn copy_lines(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: one of the lines that the caller vouches for.
    let copy = |line: usize| unsafe {
        ptr::copy_nonoverlapping(from.add(line * LINE), to.add(line * LINE), LINE);
    };
    copy(0);
    if len > LINE {
        copy(1);
        copy(2);
        copy(3);
    }
}

/// Frees all of `packets` in one call, from whichever mempools they are.
#[inline]
pub fn free_all<const N: usize>(packets: &mut ArrayVec<Mbuf, N>) {
    let count = packets.len();
    // SAFETY: the first `count` entries are owned mbufs; none is kept in the vector, so each is freed once. Mbuf is
    // transparent over the pointer that DPDK expects.
    unsafe {
        packets.set_len(0);
        sys::proa_mbuf_free_bulk(packets.as_mut_ptr().cast(), count as u32);
    }
}

/// Asks for the cache line at `address`.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
