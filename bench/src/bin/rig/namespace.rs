//! Network namespaces that end with the rig: each lives as long as the silent process in it.

use crate::process::{self, Process};
use crate::subject::Device;
use miette::{IntoDiagnostic, Result, WrapErr};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A network namespace.
pub struct Namespace {
    holder: Process,
    directory: PathBuf,
}

impl Namespace {
    /// Makes one, with files in `directory`.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn create(directory: &Path) -> Result<Namespace> {
        fs::create_dir_all(directory).into_diagnostic()?;
        let arguments = ["unshare", "--net", "sleep", "infinity"].map(str::to_owned);
        let holder = Process::start(&directory.join("holder.log"), &arguments, &[])?;
        let mut namespace = Namespace { holder, directory: directory.to_owned() };
        let path = format!("/proc/{}/ns/net", namespace.pid());
        let own = fs::read_link("/proc/self/ns/net").into_diagnostic()?;
        namespace.holder.wait_for("the namespace", Duration::from_secs(5), || {
            fs::read_link(&path).ok().filter(|link| *link != own)
        })?;
        Ok(namespace)
    }

    /// A process in it.
    pub fn pid(&self) -> String {
        self.holder.pid().as_raw_nonzero().to_string()
    }

    /// The arguments before a program that is to run in it.
    pub fn enter(&self) -> [String; 4] {
        ["nsenter".to_owned(), "-t".to_owned(), self.pid(), "-n".to_owned()]
    }

    /// Runs a command in it to its end; words are separated by blanks.
    ///
    /// # Errors
    /// Where it fails.
    pub fn run(&self, command: &str) -> Result<String> {
        let pid = self.pid();
        let mut arguments = vec!["-t", &pid, "-n"];
        arguments.extend(command.split_whitespace());
        process::output("nsenter", &arguments)
    }

    /// Loads rules of nftables.
    ///
    /// # Errors
    /// Where they are refused.
    pub fn load(&self, rules: &str) -> Result<()> {
        let path = self.directory.join("rules.nft");
        fs::write(&path, rules).into_diagnostic()?;
        let (pid, path) = (self.pid(), path.display().to_string());
        process::output("nsenter", &["-t", &pid, "-n", "nft", "-f", &path])
            .wrap_err("nft (package nftables)")
            .map(drop)
    }

    /// Reads a file of its `/proc/net`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/net/{file}", self.pid());
        fs::read_to_string(&path).into_diagnostic().wrap_err(path)
    }

    /// What counts a device's received packets.
    pub fn device(&self, name: &str) -> Device {
        Device { table: format!("/proc/{}/net/dev", self.pid()).into(), name: name.to_owned() }
    }

    /// The process that holds it, to be kept.
    pub fn into_holder(self) -> Process {
        self.holder
    }
}
