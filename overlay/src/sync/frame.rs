//! Frames: a message's length in four bytes, big-endian, and the message.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Why what came is no frame; nothing after it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes, where {max} are allowed")]
pub struct Oversized {
    /// The length it claims.
    pub bytes: usize,
    /// The most that is taken.
    pub max: usize,
}

/// Puts together frames from what a stream brings in pieces.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    max: usize,
}

impl Frames {
    /// Frames of at most `max` bytes.
    pub fn new(max: usize) -> Frames {
        Frames { bytes: Vec::new(), max }
    }

    /// Adds what has come.
    ///
    /// # Errors
    /// [`Oversized`] as soon as a length says so; what follows it is not kept.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Oversized> {
        self.bytes.extend_from_slice(bytes);
        self.check()
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`Oversized`] where the frame after it is too long.
    pub fn pop(&mut self) -> Result<Option<Vec<u8>>, Oversized> {
        self.check()?;
        let Some(length) = self.length() else { return Ok(None) };
        if self.bytes.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(LENGTH_BYTES + length);
        let mut message = core::mem::replace(&mut self.bytes, rest);
        message.drain(..LENGTH_BYTES);
        Ok(Some(message))
    }

    /// Whether part of a message waits for the rest.
    pub fn is_partial(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn check(&mut self) -> Result<(), Oversized> {
        match self.length() {
            Some(bytes) if bytes > self.max => {
                self.bytes = Vec::new();
                Err(Oversized { bytes, max: self.max })
            }
            _ => Ok(()),
        }
    }

    fn length(&self) -> Option<usize> {
        let length = self.bytes.first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }
}

/// A message as a frame; `None` where it is longer than `max`, so that nothing is sent that would be refused.
pub fn frame<M: Serialize>(message: &M, max: usize) -> Option<Vec<u8>> {
    let body = postcard::to_allocvec(message).ok().filter(|body| body.len() <= max)?;
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + body.len());
    bytes.extend_from_slice(&u32::try_from(body.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(&body);
    Some(bytes)
}

/// The message in a frame; `None` where it is none, or something stands behind it.
pub(super) fn read<M: DeserializeOwned>(body: &[u8]) -> Option<M> {
    let (message, rest) = postcard::take_from_bytes(body).ok()?;
    rest.is_empty().then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_however_they_are_cut() {
        let bytes =
            [frame(&"one", 100).unwrap(), frame(&"", 100).unwrap(), frame(&"three", 100).unwrap()].concat();
        for size in 1..bytes.len() {
            let mut frames = Frames::new(100);
            let mut found: Vec<String> = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece).unwrap();
                while let Some(body) = frames.pop().unwrap() {
                    found.push(read(&body).unwrap());
                }
            }
            assert_eq!(found, ["one", "", "three"]);
            assert!(!frames.is_partial());
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_of_it_is_kept() {
        let mut frames = Frames::new(100);
        assert_eq!(frames.push(&101u32.to_be_bytes()), Err(Oversized { bytes: 101, max: 100 }));
        assert!(!frames.is_partial());
        // Behind a good one it is refused when its turn comes.
        let mut frames = Frames::new(100);
        frames.push(&[&frame(&1u8, 100).unwrap()[..], &[0xff; 8]].concat()).unwrap();
        assert_eq!(frames.pop(), Ok(Some(vec![1])));
        assert!(frames.pop().is_err());
        assert_eq!(frame(&[1u8; 101].as_slice(), 100), None);
    }
}
