//! Walks a TOML table key by key and tells every problem on the way, instead of stopping at the first.
//!
//! A [`Table`] remembers which keys were asked for: what is left over is unknown,
//! so there is no second list of keys to keep in step.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problems::{At, File, Place, Problems, error};
use crate::source::Span;
use crate::suggest::nearest;

/// A value under a key, with its place.
pub(crate) struct Item<'t> {
    pub(crate) key: &'static str,
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) place: Place,
}

/// A table while it is read.
pub(crate) struct Table<'t> {
    table: &'t DeTable<'t>,
    /// The table's header, or the whole of an inline table.
    pub(crate) place: Place,
    /// As messages say where the table is: "in [limits]".
    title: &'t str,
    asked: Vec<&'static str>,
}

/// The elements of a list that could be read.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<At<T>>,
    /// Whether every element could be read: only then is anything said about what the list lacks.
    pub(crate) complete: bool,
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List { items: Vec::new(), complete: true }
    }
}

/// Reads the top of a file.
pub(crate) fn root<T>(
    file: File,
    root: &Spanned<DeTable<'_>>,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_>, &mut Problems) -> T,
) -> T {
    // Keys missing at the top are told at the first line.
    let place = Place { file, span: Span { start: 0, end: 0 } };
    let title = "at the top of the file";
    let mut table = Table { table: root.get_ref(), place, title, asked: Vec::new() };
    let value = read(&mut table, problems);
    table.finish(problems);
    value
}

/// Reads a table; `title` names it in messages.
pub(crate) fn table<T>(
    item: &Item<'_>,
    title: &'static str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_>, &mut Problems) -> T,
) -> Option<T> {
    let DeValue::Table(inner) = item.value else {
        wrong_type(item, "a table", &format!("write {title} with its keys below it"), problems);
        return None;
    };
    let title = format!("in {title}");
    let mut table = Table { table: inner, place: item.place, title: &title, asked: Vec::new() };
    let value = read(&mut table, problems);
    table.finish(problems);
    Some(value)
}

/// Reads a list of at most `max` elements; the rest of a longer one is left unread.
pub(crate) fn list<T>(
    max: usize,
    mut read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
) -> impl FnMut(&Item<'_>, &mut Problems) -> Option<List<T>> {
    move |item, problems| {
        let DeValue::Array(array) = item.value else {
            let help = match item.value {
                DeValue::Table(_) => {
                    format!("write [[{0}]], with two brackets: there can be several", item.key)
                }
                _ => format!("put it into brackets: {} = [ … ]", item.key),
            };
            wrong_type(item, "a list", &help, problems);
            return None;
        };
        let mut list = List { items: Vec::new(), complete: true };
        if array.len() > max {
            let message =
                format!("`{}` has {} elements, but at most {max} are allowed", item.key, array.len());
            error(item.place, message).help(problems, format!("keep at most {max}"));
            list.complete = false;
        }
        for element in array.iter().take(max) {
            let place = place(item.place.file, element.span());
            match read(&Item { key: item.key, value: element.get_ref(), place }, problems) {
                Some(value) => list.items.push(At { value, place }),
                None => list.complete = false,
            }
        }
        Some(list)
    }
}

/// Tells that a value has the wrong type.
pub(crate) fn wrong_type(item: &Item<'_>, wanted: &str, help: &str, problems: &mut Problems) {
    let found = match item.value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let message = format!("`{}` must be {wanted}, but this is {found}", item.key);
    error(item.place, message).label(format!("expected {wanted}")).help(problems, help);
}

impl<'t> Table<'t> {
    /// The value of a key that may be left out. None also when it is there and wrong, which has been told.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        mut read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
    ) -> Option<At<T>> {
        self.asked.push(key);
        let spanned = self.table.get(key)?;
        let item = Item { key, value: spanned.get_ref(), place: place(self.place.file, spanned.span()) };
        let value = read(&item, problems)?;
        Some(At { value, place: item.place })
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
    ) -> Option<At<T>> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            // What a syntax error swallowed is not missing.
            if !problems.recovering(self.place.file) {
                let message = format!("`{key}` is missing {}", self.title);
                error(self.place, message).help(problems, format!("add {example}"));
            }
            return None;
        }
        self.optional(key, problems, read)
    }

    /// Whether there is such a key, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The elements of a list that may be left out, and then is empty.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        max: usize,
        problems: &mut Problems,
        read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
    ) -> List<T> {
        let missing = List { items: Vec::new(), complete: !self.table.contains_key(key) };
        self.optional(key, problems, list(max, read)).map_or(missing, |list| list.value)
    }

    fn finish(self, problems: &mut Problems) {
        let unknown = |key: &&Spanned<_>| !self.asked.contains(&AsRef::<str>::as_ref(key.get_ref()));
        let mut keys: Vec<&Spanned<_>> = self.table.keys().filter(unknown).collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let name: &str = key.get_ref().as_ref();
            let near = if problems.is_full() { None } else { nearest(name, self.asked.iter().copied()) };
            let help = match near {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("remove it; known here: {}", self.asked.join(", ")),
            };
            let message = format!("unknown key `{}` {}", shown(name), self.title);
            error(place(self.place.file, key.span()), message).label("unknown").help(problems, help);
        }
    }
}

/// "1 path", "2 paths".
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Text from the file as it may stand in a message: short and on one line.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    let mut short: String = text.chars().take(CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn place(file: File, span: core::ops::Range<usize>) -> Place {
    Place { file, span: Span { start: span.start, end: span.end } }
}
