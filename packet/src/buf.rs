//! What Proa asks of a packet buffer: bytes in one piece, with room to grow in front and behind.

/// A packet buffer that is owned, contiguous, and has headroom and tailroom.
///
/// ```text
///  |<- headroom ->|<------ data ------>|<- tailroom ->|
///  +--------------+--------------------+--------------+
///  |              | Ethernet IP UDP …  |              |
///  +--------------+--------------------+--------------+
/// ```
///
/// Dropping a buffer returns it to where it came from. [`BufPool::free`] does the same and lets the pool keep
/// the buffer at hand for its next [`BufPool::alloc`].
pub trait PacketBuf: Sized {
    /// The packet's bytes.
    fn data(&self) -> &[u8];

    /// The packet's bytes, to be changed in place.
    fn data_mut(&mut self) -> &mut [u8];

    /// Bytes free in front of the data.
    fn headroom(&self) -> usize;

    /// Bytes free behind the data.
    fn tailroom(&self) -> usize;

    /// Grows the packet by `count` bytes in front; their content is unspecified.
    ///
    /// # Errors
    /// [`NoRoom`] where the headroom is smaller than `count`; the packet is then unchanged.
    fn prepend(&mut self, count: usize) -> Result<(), NoRoom>;

    /// Grows the packet by `N` bytes in front and gives them; their content is unspecified.
    ///
    /// # Errors
    /// As [`PacketBuf::prepend`].
    #[inline(always)]
    fn prepend_array<const N: usize>(&mut self) -> Result<&mut [u8; N], NoRoom> {
        self.prepend(N)?;
        self.data_mut().first_chunk_mut().ok_or(NoRoom)
    }

    /// Removes `count` bytes in front.
    ///
    /// # Errors
    /// [`NoRoom`] where the packet is shorter than `count`; the packet is then unchanged.
    fn trim_front(&mut self, count: usize) -> Result<(), NoRoom>;

    /// Grows the packet by `count` bytes behind; their content is unspecified.
    ///
    /// # Errors
    /// [`NoRoom`] where the tailroom is smaller than `count`; the packet is then unchanged.
    fn append(&mut self, count: usize) -> Result<(), NoRoom>;

    /// Cuts the packet to its first `len` bytes; does nothing where it is shorter.
    fn truncate(&mut self, len: usize);

    /// Keeps `len` bytes from `from` on, and nothing else.
    ///
    /// # Errors
    /// [`NoRoom`] where the packet ends before that; it is then unchanged.
    #[inline(always)]
    fn keep(&mut self, from: usize, len: usize) -> Result<(), NoRoom> {
        if from + len > self.len() {
            return Err(NoRoom);
        }
        self.truncate(from + len);
        self.trim_front(from)
    }

    /// Hints that the packet's first bytes are read soon.
    #[inline(always)]
    fn prefetch(&self) {}

    /// Bytes in the packet.
    #[inline(always)]
    fn len(&self) -> usize {
        self.data().len()
    }

    /// Whether the packet holds no byte.
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where buffers come from: bounded, allocated at start.
pub trait BufPool {
    /// The buffers of this pool.
    type Buf: PacketBuf;

    /// An empty buffer with the pool's headroom, or `None` when the pool is exhausted.
    fn alloc(&mut self) -> Option<Self::Buf>;

    /// Takes a buffer back. Cheaper than dropping it where the pool can hand it out again at once.
    #[inline(always)]
    fn free(&mut self, buf: Self::Buf) {
        drop(buf);
    }

    /// A copy of `source`: the same bytes, with as much headroom as the pool gives a new buffer.
    /// `None` when the pool is exhausted or its buffers are too small.
    #[inline(always)]
    fn copy(&mut self, source: &Self::Buf) -> Option<Self::Buf> {
        let mut copy = self.alloc()?;
        if copy.append(source.len()).is_err() {
            self.free(copy);
            return None;
        }
        copy.data_mut().copy_from_slice(source.data());
        Some(copy)
    }

    /// As [`BufPool::copy`], with `N` bytes more in front, whose content is unspecified.
    #[inline(always)]
    fn copy_behind<const N: usize>(&mut self, source: &Self::Buf) -> Option<Self::Buf> {
        let mut copy = self.copy(source)?;
        if copy.prepend(N).is_err() {
            self.free(copy);
            return None;
        }
        Some(copy)
    }
}

/// A buffer has too little room in front, behind, or inside for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet buffer has no room for this")]
pub struct NoRoom;
