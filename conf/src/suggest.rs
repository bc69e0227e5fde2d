//! "Did you mean …?": the known word nearest to a mistyped one.

/// Longer words are not compared: the work grows with the product of the lengths.
const CHARACTERS_MAX: usize = 64;

/// The known word with the fewest edits to `word`, when they are at most a third of its length; the first in the
/// alphabet where several are as near, whatever order they come in.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(CHARACTERS_MAX + 1).collect();
    if letters.len() > CHARACTERS_MAX {
        return None;
    }
    let edits_max = (letters.len() / 3).max(1);
    known
        .map(|candidate| {
            (edits(&letters, &candidate.chars().take(CHARACTERS_MAX).collect::<Vec<_>>()), candidate)
        })
        .filter(|(edits, candidate)| *edits <= edits_max && *edits < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours, case ignored.
fn edits(a: &[char], b: &[char]) -> usize {
    let same = |x: char, y: char| x.eq_ignore_ascii_case(&y);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut least = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(!same(x, y)));
            if i > 0 && j > 0 && same(x, b[j - 1]) && same(a[i - 1], y) {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_told_apart_by_the_alphabet() {
        for known in [["mid-1", "mid-2"], ["mid-2", "mid-1"]] {
            assert_eq!(nearest("mid-3", known.into_iter()), Some("mid-1"));
        }
    }

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["flows", "sessions", "window"];
        assert_eq!(nearest("flow", known.into_iter()), Some("flows"));
        assert_eq!(nearest("widnow", known.into_iter()), Some("window"));
        assert_eq!(nearest("Sessions", known.into_iter()), Some("sessions"));
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(nearest("", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known.into_iter()), None);
    }
}
