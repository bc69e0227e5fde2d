//! What is wrong with a configuration, told so that an operator can mend it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is used, but probably not what was meant.
    Warning,
}

/// One problem at one place.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// Line and column, counted from 1, the column in characters; none when the file could not be read.
    pub position: Option<(usize, usize)>,
    /// The offending piece of the file, at most one line of 120 bytes; empty when there is none.
    pub snippet: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    pub(crate) labels: Vec<LabeledSpan>,
    pub(crate) picture: Option<Arc<NamedSource<String>>>,
}

/// `FILE:LINE:COLUMN: error: MESSAGE; help: MEND` on one line, for logs.
impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, ": {severity}: {}; help: {}", self.message, self.help)
    }
}

impl std::error::Error for Problem {}

/// The picture for terminals: miette prints the message itself, so [`Told`] leaves out what it prints anyway.
struct Told<'a>(&'a Problem);

impl fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.picture.is_some() {
            return f.write_str(&self.0.message);
        }
        write!(f, "{}", self.0.file.display())?;
        if let Some((line, column)) = self.0.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.0.message)
    }
}

impl std::error::Error for Told<'_> {}

impl Diagnostic for Told<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        self.0.severity()
    }
    fn help(&self) -> Option<Box<dyn Display + '_>> {
        self.0.help()
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }
}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help(&self) -> Option<Box<dyn Display + '_>> {
        Some(Box::new(&self.help))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.picture.as_deref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.picture.as_ref()?;
        Some(Box::new(self.labels.iter().cloned()))
    }
}

impl Problem {
    /// A picture of the place with the message and the mend, for a terminal or (plain) for a file.
    pub fn picture(&self, colour: bool, width_columns: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(width_columns).with_context_lines(1);
        let mut text = String::new();
        match handler.render_report(&mut text, &Told(self)) {
            Ok(()) => text,
            Err(_) => format!("{self}\n"),
        }
    }
}

/// Everything wrong with a configuration, errors and warnings of both files, in the order of the files.
///
/// At least one is an error. At most [`Errors::TOLD_MAX`] are told; [`Errors::untold`] counts the rest.
#[derive(Clone, Debug)]
pub struct Errors {
    pub(crate) problems: Vec<Problem>,
    pub(crate) untold: usize,
}

impl Errors {
    /// The most problems that are told at once.
    pub const TOLD_MAX: usize = 100;

    /// The problems, in the order of the files.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many more there are.
    pub fn untold(&self) -> usize {
        self.untold
    }

    /// Pictures of all problems, and a last line that counts them.
    pub fn picture(&self, colour: bool, width_columns: usize) -> String {
        let pictures: String =
            self.problems.iter().map(|problem| problem.picture(colour, width_columns) + "\n").collect();
        format!("{pictures}{}\n", self.summary())
    }

    /// How many problems there are, as a sentence's beginning: `3 errors and 1 warning`.
    pub fn summary(&self) -> String {
        let count = |severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        let plural = |count, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let mut text = plural(count(Severity::Error), "error");
        let warnings = count(Severity::Warning);
        if warnings > 0 {
            text += &format!(" and {}", plural(warnings, "warning"));
        }
        if self.untold > 0 {
            text += &format!("; {} more not shown", self.untold);
        }
        text
    }
}

/// Every problem on a line of its own, for logs.
impl Display for Errors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Errors {}

impl Diagnostic for Errors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
