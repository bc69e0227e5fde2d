//! Where the problems of both files gather while they are read and checked.

use std::collections::HashSet;
use std::path::PathBuf;

use miette::LabeledSpan;

use crate::problem::{Errors, Problem, Severity};
use crate::source::{Source, Span};

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum File {
    Node,
    Topology,
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: File,
    pub(crate) span: Span,
}

/// A value with the place that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A problem in the making.
#[must_use]
pub(crate) struct Draft {
    severity: Severity,
    place: Place,
    message: String,
    label: String,
    also: Vec<(Place, String)>,
}

/// All problems so far.
#[derive(Default)]
pub(crate) struct Problems {
    node: Option<Source>,
    topology: Option<Source>,
    /// Sorting keys (file, offset) beside the problems.
    told: Vec<((File, usize), Problem)>,
    /// Lines with a syntax error: what else is wrong there only repeats it.
    broken_lines: HashSet<(File, usize)>,
    last_syntax: Option<(File, usize, String)>,
    /// By file: whether it has a syntax error.
    recovering: [bool; 2],
    untold: usize,
    errors: usize,
}

/// Begins an error; [`Draft::help`] tells it.
pub(crate) fn error(place: Place, message: impl Into<String>) -> Draft {
    Draft {
        severity: Severity::Error,
        place,
        message: message.into(),
        label: "here".to_owned(),
        also: Vec::new(),
    }
}

/// Begins a warning; [`Draft::help`] tells it.
pub(crate) fn warning(place: Place, message: impl Into<String>) -> Draft {
    Draft { severity: Severity::Warning, ..error(place, message) }
}

impl Draft {
    /// What stands beside the mark in the picture.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Draft {
        self.label = label.into();
        self
    }

    /// A second place to mark; shown when it is in the same file.
    pub(crate) fn also(mut self, place: Place, label: impl Into<String>) -> Draft {
        self.also.push((place, label.into()));
        self
    }

    /// Tells the problem with its mend.
    pub(crate) fn help(self, problems: &mut Problems, help: impl Into<String>) {
        problems.tell(self, help.into());
    }
}

impl Problems {
    pub(crate) fn add_source(&mut self, file: File, source: Source) {
        match file {
            File::Node => self.node = Some(source),
            File::Topology => self.topology = Some(source),
        }
    }

    /// Tells a syntax error, once for each line.
    ///
    /// The same error on following lines is one that the parser could not recover from at once.
    pub(crate) fn syntax(&mut self, place: Place, message: &str, help: &str) {
        let (file, line) = self.line(place);
        let first = !self.broken_lines.contains(&(file, line));
        let goes_on = |(last_file, last_line, last): &(File, usize, String)| {
            *last_file == file && line.wrapping_sub(*last_line) <= 2 && last == message
        };
        if first && !self.last_syntax.as_ref().is_some_and(goes_on) {
            error(place, message).help(self, help);
        }
        self.broken_lines.insert((file, line));
        self.last_syntax = Some((file, line, message.to_owned()));
        self.recovering[file as usize] = true;
    }

    /// Whether the file has syntax errors, so that anything may be missing from what was read.
    pub(crate) fn recovering(&self, file: File) -> bool {
        self.recovering[file as usize]
    }

    /// Whether as many problems are told as ever will be: no need to look for their mends.
    pub(crate) fn is_full(&self) -> bool {
        self.told.len() >= Errors::TOLD_MAX
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// A problem of a file that gives no text.
    pub(crate) fn without_text(&mut self, file: PathBuf, message: String, help: String) {
        let problem = Problem {
            severity: Severity::Error,
            file,
            position: None,
            snippet: String::new(),
            message,
            help,
            labels: Vec::new(),
            picture: None,
        };
        self.errors += 1;
        self.told.push(((File::Node, 0), problem));
    }

    /// The warnings, or everything as soon as there is an error.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Errors> {
        self.told.sort_by_key(|(key, _)| *key);
        let problems: Vec<Problem> = self.told.into_iter().map(|(_, problem)| problem).collect();
        if self.errors == 0 { Ok(problems) } else { Err(Errors { problems, untold: self.untold }) }
    }

    fn source(&self, file: File) -> Option<&Source> {
        match file {
            File::Node => self.node.as_ref(),
            File::Topology => self.topology.as_ref(),
        }
    }

    fn line(&self, place: Place) -> (File, usize) {
        (place.file, self.source(place.file).map_or(0, |source| source.line(place.span.start)))
    }

    fn tell(&mut self, draft: Draft, help: String) {
        // Values that the parser made up to go on after a syntax error stand at no place.
        let made_up = self.recovering(draft.place.file) && draft.place.span.end == 0;
        if made_up || self.broken_lines.contains(&self.line(draft.place)) {
            return;
        }
        let is_error = draft.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.told.len() >= Errors::TOLD_MAX {
            // An error is worth more than the last warning.
            self.untold += 1;
            let Some(last) = self.told.iter().rposition(|(_, p)| p.severity == Severity::Warning) else {
                return;
            };
            if !is_error {
                return;
            }
            self.told.remove(last);
        }
        let place = draft.place;
        let Some(source) = self.source(place.file) else {
            return self.without_text(PathBuf::new(), draft.message, help);
        };
        let span = source.clip(place.span);
        let mut labels =
            vec![LabeledSpan::new_primary_with_span(Some(draft.label), (span.start, span.end - span.start))];
        for (also, label) in draft.also {
            let also_span = source.clip(also.span);
            if also.file == place.file && also_span != span {
                let range = (also_span.start, also_span.end - also_span.start);
                labels.push(LabeledSpan::new_with_span(Some(label), range));
            }
        }
        let problem = Problem {
            severity: draft.severity,
            file: source.name.clone(),
            position: Some(source.position(span.start)),
            snippet: source.snippet(span).to_owned(),
            message: draft.message,
            help,
            labels,
            picture: source.picture(),
        };
        self.told.push(((place.file, place.span.start), problem));
    }
}
