//! Child processes that die with the rig, and that can be stopped and continued while others are measured.

use miette::{IntoDiagnostic, Result, WrapErr, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running forwarder or helper; terminated when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. Its output goes to `log`; its standard input stays open and silent.
    /// It runs ahead of ordinary processes, so that a compiler beside the rig disturbs it little, in a session of
    /// its own, and it is killed should the rig die.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub fn start(log: &Path, arguments: &[String], environment: &[(&str, &Path)]) -> Result<Process> {
        let output = File::create(log).into_diagnostic().wrap_err_with(|| log.display().to_string())?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "setsid", "nice", "-n", "-20"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().into_diagnostic()?)
            .stderr(output)
            .spawn()
            .into_diagnostic()
            .wrap_err("setpriv (package util-linux)")?;
        let mut process = Process { child, log: log.to_owned() };
        process.get_ahead()?;
        Ok(process)
    }

    /// Where the kernel groups tasks by session, a task's niceness counts within its session only: the session
    /// itself gets ahead of the others as well.
    fn get_ahead(&mut self) -> Result<()> {
        let pid = self.pid().as_raw_nonzero().to_string();
        let group = format!("/proc/{pid}/autogroup");
        if !Path::new(&group).exists() {
            return Ok(());
        }
        let stat = format!("/proc/{pid}/stat");
        self.wait_for("the session", Duration::from_secs(5), || {
            let text = fs::read_to_string(&stat).ok()?;
            // Behind the name in brackets: state, parent, process group, session.
            let session = text.rsplit_once(')')?.1.split_whitespace().nth(3)?;
            (session == pid).then_some(())
        })?;
        fs::write(&group, "-20").into_diagnostic().wrap_err(group)
    }

    /// The process's number.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Keeps the process from running until [`Process::proceed`].
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process run.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn proceed(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.check()?;
        kill_process(self.pid(), signal).into_diagnostic()
    }

    /// Fails with the end of the log when the process has ended.
    ///
    /// # Errors
    /// As said.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().into_diagnostic()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(12)..].join("\n");
            bail!("the process ended with {status}; the end of {}:\n{end}", self.log.display());
        }
        Ok(())
    }

    /// Polls until `ready` yields something.
    ///
    /// # Errors
    /// Where the process ends before that, or `limit` passes.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            self.check()?;
            if start.elapsed() > limit {
                bail!("{what} did not come within {limit:?}; see {}", self.log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process would take the signal to terminate only after it continues.
        let _ = self.signal(Signal::CONT);
        let _ = self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// Where it cannot be started or fails; the error holds what it said.
pub fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().into_diagnostic().wrap_err(program.to_owned())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} failed: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
