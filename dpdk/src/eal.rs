//! DPDK's environment: started once, cleaned up when the last thing that needs it is gone.

use crate::error::{Error, meaning};
use dpdk_sys as sys;
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether this process has tried to start DPDK: what a failed attempt leaves behind is not cleaned up by DPDK.
static TRIED: AtomicBool = AtomicBool::new(false);

/// DPDK's control functions are not thread-safe; this makes them take turns.
static CONTROL: Mutex<()> = Mutex::new(());

/// A handle to DPDK's environment.
///
/// Cloning is cheap. Everything made from it keeps it alive; the last handle to go cleans up.
#[derive(Clone, Debug)]
pub struct Eal(Arc<Environment>);

#[derive(Debug)]
struct Environment {
    log: String,
}

impl Eal {
    /// Starts DPDK with `args`, the EAL's options without a program name.
    ///
    /// The calling thread becomes the main lcore and is bound to its core. To run packet threads of one's own,
    /// give exactly one lcore (`--lcores=0@CORE`) and register the others by [`Registration::new`].
    ///
    /// [`Registration::new`]: crate::Registration::new
    ///
    /// `--in-memory` leaves no files and lets several processes run side by side, but needs hugepages; without them
    /// (`--no-huge`), `--no-shconf --no-telemetry` does the same.
    ///
    /// # Errors
    /// [`Error::AlreadyInitialised`] on every call but the first, also after a failure; otherwise the cause.
    pub fn init<I, S>(args: I) -> Result<Eal, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut argv = vec![c_string("proa")?];
        for arg in args {
            argv.push(c_string(arg.as_ref())?);
        }
        if TRIED.swap(true, Ordering::SeqCst) {
            return Err(Error::AlreadyInitialised);
        }
        check_layout()?;

        let count = argv.len();
        // DPDK keeps pointers to its arguments and reorders them: they stay for the life of the process.
        let argv: Vec<*mut c_char> = argv.into_iter().map(CString::into_raw).collect();
        let argv = argv.leak();
        let (parsed, log) = logged(|| {
            // SAFETY: argv holds argc valid C strings that are never freed; TRIED lets one caller through.
            unsafe { sys::proa_eal_init(count as c_int, argv.as_mut_ptr()) }
        });
        if parsed < 0 {
            return Err(start_error(parsed, &log));
        }
        let eal = Eal(Arc::new(Environment { log }));
        if let Some(&extra) = usize::try_from(parsed).ok().and_then(|parsed| argv.get(parsed + 1)) {
            // SAFETY: argv's entries are valid C strings that are never freed; DPDK only reordered them.
            let extra = unsafe { CStr::from_ptr(extra) }.to_string_lossy();
            return Err(Error::Arguments { detail: format!("nothing takes {extra:?}") });
        }
        Ok(eal)
    }

    /// What DPDK logged while it started.
    pub fn log(&self) -> &str {
        &self.0.log
    }

    /// DPDK's version, such as `DPDK 22.11.11`.
    pub fn version() -> &'static str {
        // SAFETY: rte_version returns a static string.
        unsafe { CStr::from_ptr(sys::proa_version()) }.to_str().unwrap_or("DPDK")
    }

    /// The frequency of the time stamp counter, Hz.
    pub fn tsc_hz(&self) -> u64 {
        // SAFETY: the environment is initialised.
        unsafe { sys::proa_tsc_hz() }
    }

    /// Leaves DPDK running until the process ends: something that it must outlive cannot be taken back.
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        let _turn = control();
        // SAFETY: initialised, and no port, pool, mbuf or registered thread is left: each holds an Eal, and a
        // pool whose mbufs are out leaks it.
        let _ = unsafe { sys::proa_eal_cleanup() };
    }
}

/// Takes the turn to call DPDK's control functions.
pub(crate) fn control() -> MutexGuard<'static, ()> {
    CONTROL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `action` with the turn to call control functions; gives its result and what DPDK logged meanwhile.
pub(crate) fn logged<T>(action: impl FnOnce() -> T) -> (T, String) {
    let _turn = control();
    let mut text = vec![0u8; 16384];
    // SAFETY: the turn keeps begin and end in pairs.
    unsafe { sys::proa_log_begin() };
    let result = action();
    // SAFETY: `text` has the room that is named.
    let len = unsafe { sys::proa_log_end(text.as_mut_ptr().cast(), text.len()) };
    text.truncate(len);
    (result, String::from_utf8_lossy(&text).into_owned())
}

/// What DPDK logs whether or not anything is wrong, and what only repeats that something is.
const CHATTER: [&str; 14] = [
    "Detected ",
    "Selected IOVA",
    "Physical addresses are unavailable",
    "Multi-process socket",
    "VFIO support initialized",
    "Probe PCI",
    "reserved, but no mounted hugetlbfs",
    "TSC ",
    "TELEMETRY",
    "Invalid 'command line' arguments",
    "Failed to attach device on primary process",
    "Driver cannot attach the device",
    "Unable to parse device",
    "Cannot init memory",
];

/// The lines of DPDK's log that most likely say what is wrong: its last ones without chatter, on one line.
fn last_words(log: &str) -> String {
    let mut lines: Vec<&str> = log
        .lines()
        .filter(|line| !CHATTER.iter().any(|chatter| line.contains(chatter)))
        // The part of DPDK that speaks, or the function.
        .map(|line| line.trim_start_matches("EAL: ").trim_start_matches("FATAL: "))
        .map(|line| line.split_once("(): ").map_or(line, |(_, said)| said))
        .map(|line| line.trim().trim_end_matches('.'))
        .filter(|line| !line.is_empty())
        .collect();
    lines.dedup();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// Why something failed: DPDK's last words, else the code's meaning. Drivers return -1 for any cause, so that is
/// not taken for EPERM.
pub(crate) fn cause(code: i32, log: &str) -> String {
    match last_words(log) {
        words if !words.is_empty() => words,
        _ if code == -1 => "the driver does not say why".to_owned(),
        _ => meaning(code),
    }
}

/// Whether something failed for want of permission.
pub(crate) fn is_forbidden(code: i32, log: &str) -> bool {
    code == -libc::EACCES || log.contains("ermission denied") || log.contains("peration not permitted")
}

/// A C string of `text`.
pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Arguments { detail: format!("a zero byte in {text:?}") })
}

/// Compares the layout the accessors are compiled with to the C compiler's.
fn check_layout() -> Result<(), Error> {
    let mut layout = [0u32; sys::LAYOUT.len()];
    // SAFETY: the function writes at most as many values as there is room for.
    let count = unsafe { sys::proa_layout(layout.as_mut_ptr(), layout.len() as u32) };
    let same = sys::LAYOUT == layout;
    if count as usize == layout.len() && same { Ok(()) } else { Err(Error::Layout) }
}

/// The cause of a failed start, from its code and from what DPDK logged.
fn start_error(code: i32, log: &str) -> Error {
    let said = |text: &str| log.contains(text);
    let detail = cause(code, log);
    if said("Is another primary process running") || said("Cannot create lock") {
        Error::FilePrefixInUse
    } else if said("Cannot get hugepage information") && !is_forbidden(0, log) {
        // DPDK's code for this is EACCES, whatever the cause: no pages reserved, or hugetlbfs not mounted.
        Error::NoHugepages { detail }
    } else if is_forbidden(code, log) {
        Error::NoPermission { detail }
    } else if said("hugepage")
        && (said("FATAL: Cannot") || said("Not enough memory") || code == -libc::ENOMEM)
    {
        Error::NoHugepages { detail }
    } else if code == -libc::EINVAL || said("Invalid 'command line'") || said("unrecognized option") {
        Error::Arguments { detail }
    } else {
        Error::Start { detail }
    }
}
