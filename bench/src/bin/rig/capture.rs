//! Captures for the closed loop: one frame per flow, in shuffled order.

use miette::{IntoDiagnostic, Result, WrapErr};
use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use proa_bench::frame::Flow;
use proa_bench::shuffle;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// What a capture holds.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Different flows.
    pub flows: u32,
    /// The clients' frame on the wire, check sequence included.
    pub size: usize,
}

/// The frames in the order of the capture: every flow once, and at least 1,008 frames.
pub fn frames(load: Load, mut frame: impl FnMut(Flow) -> Vec<u8>) -> Vec<Vec<u8>> {
    let rounds = 1_008_u32.div_ceil(load.flows);
    let order = shuffle::order(load.flows * rounds, 0x5eed);
    order.into_iter().map(|number| frame(Flow::nth(number % load.flows))).collect()
}

/// Writes frames as a capture.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let name = || path.display().to_string();
    let file = File::create(path).into_diagnostic().wrap_err_with(name)?;
    let mut writer = PcapWriter::new(BufWriter::new(file)).into_diagnostic()?;
    for frame in frames {
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        writer.write_packet(&packet).into_diagnostic().wrap_err_with(name)?;
    }
    writer.into_writer().flush().into_diagnostic().wrap_err_with(name)
}

/// The frames of a capture.
///
/// # Errors
/// Where the file cannot be read or is none.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let name = || path.display().to_string();
    let file = File::open(path).into_diagnostic().wrap_err_with(name)?;
    let mut reader = PcapReader::new(BufReader::new(file)).into_diagnostic().wrap_err_with(name)?;
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        frames.push(packet.into_diagnostic().wrap_err_with(name)?.data.into_owned());
    }
    Ok(frames)
}
