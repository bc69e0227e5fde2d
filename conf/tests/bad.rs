//! Every file in `bad/` has one kind of mistake, and ends with the exact lines that it must be told by.
//!
//! `topology-*.toml` goes with `good/node.toml`, `node-*.toml` with `good/topology.toml`.
//! After a wanted change of the texts, `PROA_BLESS=1 cargo test -p proa-conf --test bad` writes them anew: read the diff.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use proa_conf::Config;

const EXPECTED: &str = "\n# EXPECTED\n";

#[test]
fn bad_files_are_told_exactly() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let good = |name: &str| std::fs::read_to_string(tests.join("good").join(name)).unwrap();
    let bless = std::env::var_os("PROA_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(tests.join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (bad, expected) = text.split_once(EXPECTED).unwrap_or((&text, ""));
        let told = if name.starts_with("node-") {
            told(bad, &good("topology.toml"))
        } else {
            told(&good("node.toml"), bad)
        };
        if bless {
            std::fs::write(
                &path,
                format!("{}{EXPECTED}{told}", bad.trim_end_matches('\n').to_owned() + "\n"),
            )
            .unwrap();
        } else if told != expected {
            wrong.push(format!("{name}: expected\n{expected}but got\n{told}"));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 60, "only {seen} files");
}

/// What is told, as comments.
fn told(node: &str, topology: &str) -> String {
    let lines: Vec<String> = match Config::load_str(node, topology) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.to_string().lines().map(ToOwned::to_owned).collect(),
    };
    assert!(!lines.is_empty(), "nothing is told of\n{node}\n{topology}");
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

#[test]
fn the_good_files_are_good() {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let loaded = Config::load(good.join("node.toml")).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}
