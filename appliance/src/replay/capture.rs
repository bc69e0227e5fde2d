//! Capture files: classic pcap and pcapng, told apart by their first bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgWriter};
use pcap_file::{DataLink, PcapError, TsResolution};

/// First bytes of every pcapng file.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Longest frame that is written whole, bytes.
const SNAP_LEN: u32 = 65_535;

/// Why a capture can not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refuses.
    #[error("{0}: {1}")]
    System(String, std::io::Error),
    /// It is none.
    #[error("{0} is no capture, or is damaged: {1}")]
    Damaged(String, PcapError),
    /// It holds something else than Ethernet.
    #[error("{0} holds {1:?}, not Ethernet frames")]
    NotEthernet(String, DataLink),
}

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Since 1970.
    pub time: Duration,
    /// The interface's number in the file; 0 in a classic pcap.
    pub interface: usize,
    /// The interface's name, where the file tells it.
    pub name: Option<String>,
    /// The frame, as much as was captured.
    pub data: Vec<u8>,
}

/// Reads a capture, handing over frame by frame.
///
/// # Errors
/// [`Error`]; what was handed over until then is sound. The first error of `take` ends it.
pub fn read<E: From<Error>>(path: &Path, mut take: impl FnMut(Frame) -> Result<(), E>) -> Result<(), E> {
    let name = path.display().to_string();
    let system = |error| Error::System(name.clone(), error);
    let damaged = |error| Error::Damaged(name.clone(), error);
    let mut file = File::open(path).map_err(system)?;
    let mut magic = [0; 4];
    let is_ng = file.read_exact(&mut magic).is_ok() && magic == PCAPNG_MAGIC;
    file.rewind().map_err(system)?;
    let file = BufReader::new(file);
    if is_ng {
        return read_ng(file, &name, take);
    }
    let mut reader = PcapReader::new(file).map_err(damaged)?;
    if reader.header().datalink != DataLink::ETHERNET {
        return Err(Error::NotEthernet(name, reader.header().datalink).into());
    }
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(damaged)?;
        take(Frame { time: packet.timestamp, interface: 0, name: None, data: packet.data.into_owned() })?;
    }
    Ok(())
}

fn read_ng<E: From<Error>>(
    file: impl Read,
    name: &str,
    mut take: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    let damaged = |error| Error::Damaged(name.to_owned(), error);
    let mut reader = PcapNgReader::new(file).map_err(damaged)?;
    loop {
        let (interface, ticks, data) = match reader.next_block() {
            None => return Ok(()),
            Some(Err(error)) => return Err(damaged(error).into()),
            Some(Ok(Block::EnhancedPacket(block))) => {
                (block.interface_id as usize, block.timestamp.as_nanos() as u64, block.data.into_owned())
            }
            Some(Ok(_)) => continue,
        };
        let described = reader.interfaces().get(interface);
        if let Some(other) = described.map(|d| d.linktype).filter(|link| *link != DataLink::ETHERNET) {
            return Err(Error::NotEthernet(name.to_owned(), other).into());
        }
        let options = described.map_or(&[][..], |described| &described.options);
        let if_name = options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
            _ => None,
        });
        let resolution = options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
            _ => None,
        });
        take(Frame { time: time(ticks, resolution.unwrap_or(6)), interface, name: if_name, data })?;
    }
}

/// Ticks as time: a resolution is a power of ten, or of two if its high bit is set.
fn time(ticks: u64, resolution: u8) -> Duration {
    let per_second = match resolution {
        power if power & 0x80 != 0 => 1u128 << (power & 0x7f).min(64),
        power => 10u128.pow(u32::from(power).min(19)),
    };
    let ns = u128::from(ticks) * 1_000_000_000 / per_second;
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// A capture that is being written: pcapng with an interface for each port if the file's name ends so, else pcap.
pub enum Writer {
    /// Classic pcap.
    Classic(PcapWriter<BufWriter<File>>),
    /// pcapng.
    Ng(Box<PcapNgWriter<BufWriter<File>>>),
}

impl Writer {
    /// Creates a capture.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create(path: &Path, ports: &[String]) -> Result<Writer, Error> {
        let name = path.display().to_string();
        let damaged = |error| Error::Damaged(name.clone(), error);
        let file = BufWriter::new(File::create(path).map_err(|error| Error::System(name.clone(), error))?);
        if path.extension().is_none_or(|extension| extension != "pcapng") {
            let header = PcapHeader { ts_resolution: TsResolution::NanoSecond, ..PcapHeader::default() };
            return Ok(Writer::Classic(PcapWriter::with_header(file, header).map_err(damaged)?));
        }
        let mut writer = PcapNgWriter::new(file).map_err(damaged)?;
        for port in ports {
            let block = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: SNAP_LEN,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(port)),
                    InterfaceDescriptionOption::IfTsResol(9),
                ],
            };
            writer.write_pcapng_block(block).map_err(damaged)?;
        }
        Ok(Writer::Ng(Box::new(writer)))
    }

    /// Adds a frame that left a port.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, time: Duration, port: u8, frame: &[u8]) -> Result<(), PcapError> {
        let len = frame.len() as u32;
        match self {
            Writer::Classic(writer) => writer.write_packet(&PcapPacket::new(time, len, frame)).map(drop),
            Writer::Ng(writer) => {
                let block = EnhancedPacketBlock {
                    interface_id: port.into(),
                    timestamp: time,
                    original_len: len,
                    data: Cow::Borrowed(frame),
                    options: Vec::new(),
                };
                writer.write_pcapng_block(block).map(drop)
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self) -> std::io::Result<()> {
        match self {
            Writer::Classic(writer) => writer.into_writer().flush(),
            Writer::Ng(writer) => writer.into_inner().flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        for (file, interface, name) in [("a.pcap", 0, None), ("a.pcapng", 1, Some("lan".to_owned()))] {
            let path = directory.path().join(file);
            let mut writer = Writer::create(&path, &["wan".to_owned(), "lan".to_owned()]).unwrap();
            let time = Duration::new(1_700_000_000, 123_456_789);
            writer.write(time, 1, &[1, 2, 3, 4, 5]).unwrap();
            writer.finish().unwrap();
            let mut frames = Vec::new();
            let keep = |frame| {
                frames.push(frame);
                Ok::<_, Error>(())
            };
            read(&path, keep).unwrap();
            assert_eq!(frames, [Frame { time, interface, name, data: vec![1, 2, 3, 4, 5] }], "{file}");
        }
        let path = directory.path().join("text");
        std::fs::write(&path, "no capture at all").unwrap();
        assert!(matches!(read(&path, |_| Ok(())), Err(Error::Damaged(..))));
        assert!(matches!(read(Path::new("/no/such"), |_| Ok(())), Err(Error::System(..))));
    }

    #[test]
    fn resolutions_are_powers_of_ten_or_two() {
        assert_eq!(time(1_500_000, 6), Duration::from_millis(1500));
        assert_eq!(time(1 << 20, 0x80 | 20), Duration::from_secs(1));
        assert!(time(u64::MAX, 255) < Duration::from_secs(1));
    }
}
