//! DPDK's telemetry socket: the packet counters of every port of a running DPDK process, whatever program it is.

use crate::subject::Counts;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A connection to one process.
pub struct Telemetry {
    socket: OwnedFd,
    ports: Vec<u64>,
}

/// Where a process with this file prefix listens.
pub fn path(file_prefix: &str) -> PathBuf {
    Path::new("/var/run/dpdk").join(file_prefix).join("dpdk_telemetry.v2")
}

impl Telemetry {
    /// Connects, and remembers the process's ports: they must all be there.
    ///
    /// # Errors
    /// Where nobody listens yet or the process does not speak the protocol.
    pub fn connect(path: &Path) -> Result<Telemetry> {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).into_diagnostic()?;
        let address = SocketAddrUnix::new(path).into_diagnostic()?;
        connect(&socket, &address).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
        let mut telemetry = Telemetry { socket, ports: Vec::new() };
        // The process introduces itself first.
        telemetry.receive()?;
        let list = telemetry.ask("/ethdev/list")?;
        telemetry.ports = list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        Ok(telemetry)
    }

    /// How many ports the process has.
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Reads all ports' packet counters.
    ///
    /// # Errors
    /// Where the process is gone or answers something else.
    pub fn counts(&mut self) -> Result<Counts> {
        let start = Instant::now();
        let (mut received, mut sent) = (0, 0);
        for port in self.ports.clone() {
            let stats = self.ask(&format!("/ethdev/stats,{port}"))?;
            let field = |name| {
                stats.get(name).and_then(Value::as_u64).ok_or_else(|| miette!("no '{name}' in {stats}"))
            };
            received += field("ipackets")?;
            sent += field("opackets")?;
        }
        Ok(Counts { at: start + start.elapsed() / 2, received, sent, busy: None })
    }

    fn ask(&mut self, command: &str) -> Result<Value> {
        send(&self.socket, command.as_bytes(), SendFlags::empty()).into_diagnostic()?;
        let mut answer: Value = serde_json::from_slice(&self.receive()?).into_diagnostic()?;
        let name = command.split(',').next().unwrap_or(command);
        Ok(answer.get_mut(name).map(Value::take).unwrap_or(Value::Null))
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut buffer = vec![0; 16_384];
        let (len, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty()).into_diagnostic()?;
        buffer.truncate(len);
        Ok(buffer)
    }
}
