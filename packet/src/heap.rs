//! A buffer for tests, the simulator and replay that behaves as an mbuf does: finite headroom and tailroom,
//! a pool with a count, and bytes that are never zero by luck.

use crate::{BufPool, NoRoom, PacketBuf};
use alloc::rc::Rc;
use core::cell::RefCell;
extern crate alloc;
use alloc::{boxed::Box, vec, vec::Vec};

/// Headroom of a new buffer, bytes; DPDK's default.
pub const HEADROOM: usize = 128;
/// What a buffer holds behind the headroom, bytes; DPDK's default data room.
pub const DATA_ROOM: usize = 2048;
/// What new room is filled with, so that a test notices when it reads bytes nobody wrote.
const PATTERN: u8 = 0xa5;

/// A packet buffer on the heap.
#[derive(Debug)]
pub struct HeapBuf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    home: Option<Rc<RefCell<Shelf>>>,
}

#[derive(Debug)]
struct Shelf {
    free: Vec<Box<[u8]>>,
    capacity: usize,
}

/// A bounded pool of [`HeapBuf`]s: all allocated at start, reused after.
#[derive(Clone, Debug)]
pub struct HeapPool(Rc<RefCell<Shelf>>);

impl HeapPool {
    /// A pool of `capacity` buffers.
    pub fn new(capacity: usize) -> HeapPool {
        let free = (0..capacity).map(|_| vec![PATTERN; HEADROOM + DATA_ROOM].into_boxed_slice()).collect();
        HeapPool(Rc::new(RefCell::new(Shelf { free, capacity })))
    }

    /// Buffers not lent out.
    pub fn available(&self) -> usize {
        self.0.borrow().free.len()
    }

    /// Buffers in all.
    pub fn capacity(&self) -> usize {
        self.0.borrow().capacity
    }

    /// A buffer that holds `frame`, or `None` when the pool is exhausted or the frame too large.
    pub fn with(&mut self, frame: &[u8]) -> Option<HeapBuf> {
        let mut buf = self.alloc()?;
        buf.append(frame.len()).ok()?;
        buf.data_mut().copy_from_slice(frame);
        Some(buf)
    }
}

impl BufPool for HeapPool {
    type Buf = HeapBuf;

    fn alloc(&mut self) -> Option<HeapBuf> {
        let mut bytes = self.0.borrow_mut().free.pop()?;
        if cfg!(debug_assertions) {
            bytes.fill(PATTERN);
        }
        Some(HeapBuf { bytes, start: HEADROOM, end: HEADROOM, home: Some(self.0.clone()) })
    }
}

impl HeapBuf {
    /// A buffer of no pool that holds `frame`, with the default headroom and at least the default room behind.
    pub fn detached(frame: &[u8]) -> HeapBuf {
        let mut bytes = vec![PATTERN; HEADROOM + DATA_ROOM.max(frame.len())].into_boxed_slice();
        bytes[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        HeapBuf { bytes, start: HEADROOM, end: HEADROOM + frame.len(), home: None }
    }
}

impl Drop for HeapBuf {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.borrow_mut().free.push(core::mem::take(&mut self.bytes));
        }
    }
}

impl PacketBuf for HeapBuf {
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    fn headroom(&self) -> usize {
        self.start
    }

    fn tailroom(&self) -> usize {
        self.bytes.len() - self.end
    }

    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        self.start = self.start.checked_sub(count).ok_or(NoRoom)?;
        Ok(())
    }

    fn trim_front(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.end - self.start {
            return Err(NoRoom);
        }
        self.start += count;
        Ok(())
    }

    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.tailroom() {
            return Err(NoRoom);
        }
        self.end += count;
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_finite_and_buffers_return() {
        let mut pool = HeapPool::new(2);
        let mut first = pool.with(&[1, 2, 3]).unwrap();
        assert_eq!((first.headroom(), first.len(), first.tailroom()), (HEADROOM, 3, DATA_ROOM - 3));
        assert_eq!(first.prepend(HEADROOM + 1), Err(NoRoom));
        first.prepend(2).unwrap();
        first.trim_front(3).unwrap();
        assert_eq!(first.data(), [2, 3]);
        assert_eq!(first.trim_front(3), Err(NoRoom));
        first.truncate(1);
        assert_eq!(first.data(), [2]);
        let second = pool.copy(&first).unwrap();
        assert_eq!(second.data(), first.data());
        assert!(pool.alloc().is_none());
        drop((first, second));
        assert_eq!(pool.available(), pool.capacity());
    }
}
