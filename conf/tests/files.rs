//! What may stand where a file should: nothing, too much, something that never ends, or not text.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proa_conf::{Config, Errors, FILE_BYTES_MAX};

fn good() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good")
}

fn refused(path: &Path) -> Errors {
    let start = Instant::now();
    let errors = Config::load(path).unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "refusing {} took {:?}",
        path.display(),
        start.elapsed()
    );
    errors
}

/// A good node file in `dir` that names `topology`.
fn node_file(dir: &Path, topology: &str) -> PathBuf {
    let text = std::fs::read_to_string(good().join("node.toml")).unwrap();
    let path = dir.join("node.toml");
    std::fs::write(&path, text.replace("topology.toml", topology)).unwrap();
    path
}

#[test]
fn what_is_not_a_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for (path, what) in [
        (pipe.as_path(), "is a named pipe, not a file"),
        (link.as_path(), "is a device, not a file"),
        (Path::new("/dev/zero"), "is a device, not a file"),
        (dir.path(), "is a directory, not a file"),
        (Path::new("/no/such/file"), "cannot be read: No such file"),
    ] {
        let errors = refused(path);
        assert!(errors.to_string().contains(what), "{errors}");
        assert_eq!(errors.problems()[0].position, None);
        // The same named as the topology is told where it is named.
        let errors = refused(&node_file(dir.path(), path.to_str().unwrap()));
        assert!(errors.to_string().contains(what), "{errors}");
        assert_eq!(errors.problems()[0].position, Some((1, 12)));
    }
}

#[test]
fn a_file_of_100_mb_is_refused_without_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.toml");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let errors = refused(&path);
    assert!(errors.to_string().contains("has more than 4 MiB"), "{errors}");
    let errors = refused(&node_file(dir.path(), "large.toml"));
    assert!(errors.to_string().contains("has more than 4 MiB"), "{errors}");
}

#[test]
fn large_texts_of_nonsense_are_told_briefly() {
    let good = std::fs::read_to_string(good().join("node.toml")).unwrap();
    let size = FILE_BYTES_MAX as usize / 16;
    let all_different: String = (0..size / 8).map(|number| format!("k{number} = 1\n")).collect();
    for unit in [
        &all_different,
        "x = 1\n",
        "[[node]]\n",
        "= ",
        "[",
        "{a=",
        "a.",
        "\"",
        "é = ",
        "[a]\nb = [1, 2\n",
        "'''\n",
        "\0",
        "\r",
    ] {
        let text = unit.repeat(size / unit.len());
        let start = Instant::now();
        let errors = Config::load_str(&good, &text).unwrap_err();
        assert!(errors.problems().len() <= Errors::TOLD_MAX);
        assert!(errors.picture(false, 100).len() < 1 << 20, "the picture is too large");
        assert!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
    }
    assert!(Config::load_str(&good, &"#".repeat(FILE_BYTES_MAX as usize + 1)).is_err());
}

#[test]
fn bytes_that_are_no_text_are_told_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), b"overlay_id = 1\nname = \"\xff\"\n").unwrap();
    let errors = refused(&node_file(dir.path(), "bad.toml"));
    assert_eq!(errors.problems()[0].position, Some((2, 9)));
    assert!(errors.to_string().contains("not UTF-8"), "{errors}");
}

#[test]
fn errors_of_both_files_are_told_at_once() {
    let bad = good().join("../bad");
    let node = std::fs::read_to_string(bad.join("node-limits.toml")).unwrap();
    let topology = std::fs::read_to_string(bad.join("topology-vip-in-pool.toml")).unwrap();
    let errors = Config::load_str(&node, &topology).unwrap_err();
    let files: Vec<_> = errors.problems().iter().map(|problem| problem.file.to_str().unwrap()).collect();
    assert_eq!(files, [["node.toml"; 6].as_slice(), &["topology.toml"]].concat());
    assert_eq!(errors.summary(), "7 errors");
    assert_eq!(errors.problems()[0].snippet, "0");
}

#[test]
fn the_picture_shows_place_and_mend() {
    let node = std::fs::read_to_string(good().join("node.toml")).unwrap();
    let topology = std::fs::read_to_string(good().join("topology.toml")).unwrap();
    let errors = Config::load_str(&node, &topology.replace("id = 12", "id = 11")).unwrap_err();
    let picture = errors.picture(false, 100);
    for part in
        ["node number 11 is already taken", "topology.toml:20:6", "again", "first", "help: use a number"]
    {
        assert!(picture.contains(part), "{part:?} is not in\n{picture}");
    }
    assert!(picture.ends_with("1 error\n"), "{picture}");
}
