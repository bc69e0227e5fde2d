//! The text of a configuration file: read within bounds, with places in it told by line and column.

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::NamedSource;

/// Largest configuration file in bytes: 4 MiB, some ten thousand applications.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Lines longer than this many bytes are not printed: such a file was not written for people.
const PRINTED_LINE_BYTES_MAX: usize = 1024;

/// Bytes of an offending piece that are shown.
const SNIPPET_BYTES_MAX: usize = 120;

/// A configuration file's text.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it came from, as the operator named it.
    pub(crate) name: PathBuf,
    /// Its text; invalid UTF-8 has become replacement characters.
    pub(crate) text: Arc<NamedSource<String>>,
    /// Offset of each line's first byte.
    lines: Vec<usize>,
    printable: bool,
}

/// A piece of a [`Source`], byte offsets from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why a file gives no text at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is {0}, not a file")]
    NotAFile(&'static str),
    #[error("has more than {} MiB, the most a configuration may have", FILE_BYTES_MAX / 1024 / 1024)]
    TooLarge,
}

/// Reads at most [`FILE_BYTES_MAX`] bytes of an ordinary file.
///
/// Nothing else is ever read: a named pipe would block, a device may have no end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    ordinary(&std::fs::metadata(path)?)?;
    // Another process may have put a pipe there since: do not wait for its writer, and look again.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    ordinary(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    Ok(bytes)
}

fn ordinary(metadata: &std::fs::Metadata) -> Result<(), Unreadable> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return if metadata.len() > FILE_BYTES_MAX { Err(Unreadable::TooLarge) } else { Ok(()) };
    }
    Err(Unreadable::NotAFile(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

impl Source {
    pub(crate) fn new(name: &Path, text: String) -> Source {
        let lines: Vec<usize> = core::iter::once(0)
            .chain(text.bytes().enumerate().filter(|b| b.1 == b'\n').map(|b| b.0 + 1))
            .collect();
        // Nor is anything printed that a terminal would obey.
        let printable = text.lines().all(|line| {
            line.len() <= PRINTED_LINE_BYTES_MAX && !line.chars().any(|c| c.is_control() && c != '\t')
        });
        let text = Arc::new(NamedSource::new(name.display().to_string(), text).with_language("toml"));
        Source { name: name.to_owned(), text, lines, printable }
    }

    pub(crate) fn str(&self) -> &str {
        self.text.inner()
    }

    /// The text for a picture of the place, unless its lines are too long to be one.
    pub(crate) fn picture(&self) -> Option<Arc<NamedSource<String>>> {
        self.printable.then(|| Arc::clone(&self.text))
    }

    /// Line of a byte offset, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1)
    }

    /// Line and column of a byte offset, both counted from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.str().get(start..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The span cut to its first line and to a length that fits a message, on character borders.
    pub(crate) fn clip(&self, span: Span) -> Span {
        let text = self.str();
        let start = floor(text, span.start);
        let end = floor(text, span.end.clamp(start, start + SNIPPET_BYTES_MAX));
        let piece = text.get(start..end).unwrap_or("");
        let piece = piece.lines().next().unwrap_or("").trim_end();
        Span { start, end: start + piece.len() }
    }

    /// The text of a span.
    pub(crate) fn snippet(&self, span: Span) -> &str {
        self.str().get(span.start..span.end).unwrap_or("")
    }
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::new(Path::new("x"), "ab\nçd = 1\n".to_owned());
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(3), (2, 1));
        assert_eq!(source.position(5), (2, 2));
        assert_eq!(source.position(99), (3, 1));
    }

    #[test]
    fn clips_to_one_line_and_character_borders() {
        let source = Source::new(Path::new("x"), "a = [\n1]\nçç".to_owned());
        let clipped = source.clip(Span { start: 0, end: 8 });
        assert_eq!(source.snippet(clipped), "a = [");
        assert_eq!(source.clip(Span { start: 10, end: 500 }).start, 9);
    }

    #[test]
    fn draws_no_picture_that_a_terminal_would_obey() {
        assert!(Source::new(Path::new("x"), "a = 1\r\n\tb = 2".to_owned()).picture().is_some());
        assert!(Source::new(Path::new("x"), "a = \"\u{1b}[2J\"".to_owned()).picture().is_none());
        assert!(Source::new(Path::new("x"), "a".repeat(PRINTED_LINE_BYTES_MAX + 1)).picture().is_none());
    }

    #[test]
    fn refuses_what_is_not_a_file() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(Unreadable::NotAFile("a device"))));
        assert!(matches!(read(Path::new("/tmp")), Err(Unreadable::NotAFile("a directory"))));
        assert!(matches!(read(Path::new("/no/such")), Err(Unreadable::Io(_))));
    }
}
