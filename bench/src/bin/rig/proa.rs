//! Proa's roles as the rig's own worker processes.

use crate::host::{CONTROL_CORE, MEASURED_CORE};
use crate::process::Process;
use crate::subject::Subject;
use crate::worker::Job;
use clap::ValueEnum;
use miette::{IntoDiagnostic, Result};
use std::path::Path;

/// A role to start.
pub struct Role<'a> {
    /// What the tables call it.
    pub name: &'a str,
    /// What it does.
    pub job: Job,
    /// Different flows or sessions.
    pub flows: u32,
    /// Clients' frames on the wire in bytes.
    pub size: usize,
    /// Copies, see [`crate::worker::Worker::copies`].
    pub copies: u8,
    /// Workers: one on the measured core, a second on the other.
    pub workers: usize,
}

impl Role<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(&self, work: &Path) -> Result<Subject> {
        let job = self.job.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let label = format!("{job}-{}-{}-{}-{}", self.flows, self.size, self.copies, self.workers);
        let socket = work.join(format!("{label}.sock"));
        let _ = std::fs::remove_file(&socket);
        let cores = &[MEASURED_CORE, CONTROL_CORE][..self.workers];
        let cores_text: Vec<String> = cores.iter().map(usize::to_string).collect();
        let mut arguments =
            vec![std::env::current_exe().into_diagnostic()?.display().to_string(), "worker".into()];
        let options = [
            ("job", job),
            ("flows", self.flows.to_string()),
            ("size", self.size.to_string()),
            ("copies", self.copies.to_string()),
            ("cores", cores_text.join(",")),
            ("socket", socket.display().to_string()),
            ("file-prefix", format!("rig-{label}")),
        ];
        arguments.extend(options.map(|(name, value)| format!("--{name}={value}")));
        let process = Process::start(&work.join(format!("{label}.log")), &arguments, &[])?;
        Subject::attach_worker(self.name, process, &socket, cores)
    }
}
