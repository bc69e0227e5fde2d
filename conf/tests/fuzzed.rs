//! No text makes the configuration panic, and whatever is refused is refused with at least one error.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use proa_conf::{Config, Severity};
use proptest::prelude::*;

/// A cut, a doubling, or a replacement somewhere in a text.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    length: usize,
    with: String,
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("\n".to_owned()),
        Just("\"".to_owned()),
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[node]]\n".to_owned()),
        Just("\u{0}".to_owned()),
        "[a-z0-9.:/=,\\[\\]{}\"'# \n-]{0,12}",
        "\\PC{0,4}",
    ];
    (any::<prop::sample::Index>(), 0usize..40, piece).prop_map(|(at, length, with)| Edit { at, length, with })
}

fn mutate(text: &str, edits: &[Edit]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for edit in edits {
        let start = edit.at.index(text.len() + 1);
        let end = (start + edit.length).min(text.len());
        text.splice(start..end, edit.with.chars());
    }
    text.into_iter().collect()
}

fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

fn survives(node: &str, topology: &str) {
    match Config::load_str(node, topology) {
        Ok(loaded) => {
            assert!(loaded.config.this_node().is_some());
            assert_eq!(loaded.config.certificates().len(), loaded.config.topology.path_sets.len());
        }
        Err(errors) => {
            assert!(errors.problems().iter().any(|problem| problem.severity == Severity::Error));
            assert!(errors.problems().iter().all(|problem| !problem.help.is_empty()));
            assert!(!errors.to_string().contains("the configuration is incomplete"), "{errors}");
            assert!(!errors.picture(true, 80).is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text(node in "\\PC{0,200}", topology in any::<String>()) {
        survives(&node, &topology);
    }

    #[test]
    fn edited_examples(
        node in prop::collection::vec(edit(), 0..6),
        topology in prop::collection::vec(edit(), 0..6),
    ) {
        survives(&mutate(&example("edge-1.toml"), &node), &mutate(&example("overlay.toml"), &topology));
        survives(&mutate(&example("gateway-1.toml"), &node), &example("overlay.toml"));
        survives(&example("mid-1.toml"), &mutate(&example("overlay.toml"), &topology));
    }
}
