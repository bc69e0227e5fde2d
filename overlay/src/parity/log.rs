//! The bytes of recent packets, one behind the other in memory that is claimed once: what is new overwrites what is oldest.

/// Where bytes stand: counted from the first that were ever put, so that it tells age as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u64);

/// A ring of bytes.
pub(super) struct Log {
    bytes: Box<[u8]>,
    /// Where the next bytes go.
    head: u64,
    /// What stands before this is overwritten, or is about to be.
    floor: u64,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Log {
        // Nothing stands at 0: that is the age of what was never there.
        Log { bytes: vec![0; capacity].into(), head: 1, floor: 0 }
    }

    /// The age of what is put now.
    pub(super) fn now(&self) -> Position {
        Position(self.head)
    }

    /// Writes pieces behind each other, in place of what is oldest, without keeping them yet; `None` where they are longer than
    /// a quarter of all.
    pub(super) fn stage(&mut self, pieces: [&[u8]; 2]) -> Option<Staged> {
        let len = pieces[0].len() + pieces[1].len();
        let capacity = self.bytes.len() as u64;
        if len == 0 || len > self.bytes.len() / 4 {
            return None;
        }
        let mut at = self.head % capacity;
        let mut position = self.head;
        if at + len as u64 > capacity {
            position += capacity - at;
            at = 0;
        }
        self.floor = self.floor.max((position + len as u64).saturating_sub(capacity));
        let place = self.bytes.get_mut(at as usize..at as usize + len)?;
        let (first, second) = place.split_at_mut_checked(pieces[0].len())?;
        first.copy_from_slice(pieces[0]);
        second.copy_from_slice(pieces[1]);
        Some(Staged { position: Position(position), len: len as u16 })
    }

    /// Keeps what was staged last.
    pub(super) fn keep(&mut self, staged: &Staged) {
        self.head = self.head.max(staged.position.0 + u64::from(staged.len));
    }

    /// So many bytes from a position on, if they are still there.
    pub(super) fn get(&self, position: Position, len: u16) -> Option<&[u8]> {
        if position.0 < self.floor.max(1) || position.0 + u64::from(len) > self.head {
            return None;
        }
        let at = position.0.checked_rem(self.bytes.len() as u64)? as usize;
        self.bytes.get(at..at + usize::from(len))
    }
}

/// Bytes that are written, and overwritten by the next unless they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    pub(super) position: Position,
    pub(super) len: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What the log gives is what was kept, and the last half of its room is always there.
        #[test]
        fn nothing_is_given_that_was_overwritten(
            steps in proptest::collection::vec((1usize..64, any::<bool>()), 1..200),
        ) {
            let mut log = Log::new(256);
            let mut kept: Vec<(Staged, Vec<u8>)> = Vec::new();
            for (number, (len, keep)) in steps.into_iter().enumerate() {
                let bytes = vec![number as u8; len];
                let (first, second) = bytes.split_at(len / 3);
                let Some(staged) = log.stage([first, second]) else { panic!("{len} bytes fit") };
                if keep {
                    log.keep(&staged);
                    kept.push((staged, bytes));
                }
                let mut room = 256 - 64 - 64;
                for (staged, bytes) in kept.iter().rev() {
                    let found = log.get(staged.position, staged.len);
                    prop_assert!(found.is_none_or(|found| found == bytes), "{staged:?}");
                    if bytes.len() > room {
                        break;
                    }
                    room -= bytes.len();
                    prop_assert!(found.is_some(), "{staged:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_not_taken() {
        let mut log = Log::new(256);
        assert_eq!((log.stage([&[0; 65], &[]]), log.stage([&[], &[]])), (None, None));
        assert_eq!(Log::new(0).stage([&[1], &[]]), None);
        assert_eq!(log.get(Position(0), 0), None);
    }
}
