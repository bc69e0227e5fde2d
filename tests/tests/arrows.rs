//! The arrows between the workspace's members, and the purity of those that must be pure, over `cargo metadata` and
//! the sources themselves.

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId, TargetKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No unsafe code, clock, I/O, randomness or threads.
const PURE: [&str; 4] = ["packet", "overlay", "nat", "pipelines"];

/// Which members each may depend on.
const ARROWS: [(&str, &[&str]); 12] = [
    ("packet", &[]),
    ("overlay", &["packet"]),
    ("nat", &["packet"]),
    ("pipelines", &["packet", "overlay", "nat"]),
    ("conf", &["packet", "overlay"]),
    ("ctl", &["overlay", "conf"]),
    ("dpdk-sys", &[]),
    ("dpdk", &["packet", "dpdk-sys"]),
    ("appliance", &["packet", "overlay", "nat", "pipelines", "conf", "dpdk", "ctl"]),
    ("server", &["overlay", "conf"]),
    ("bench", &["packet", "overlay", "nat", "pipelines", "dpdk", "conf", "ctl"]),
    ("tests", &["packet", "overlay", "nat", "pipelines", "conf"]),
];

/// Members that may reach DPDK at all.
const WITH_DPDK: [&str; 4] = ["dpdk-sys", "dpdk", "appliance", "bench"];

/// Everything that the pure crates may bring into a program, found by following all dependencies: data structures,
/// header views, hashes, a generator that is given its seed. `rand_core` is that generator's traits. `aws-lc-rs` could
/// do more than it is used for (all randomness is passed in); its unsafe code is its own.
const PURE_DEPENDENCIES: &[&str] = &[
    "array-const-fn-init",
    "arrayvec",
    "aws-lc-rs",
    "aws-lc-sys",
    "bytemuck",
    "byteorder",
    "cfg-if",
    "cobs",
    "chacha20",
    "cpufeatures",
    "crossbeam-utils",
    "either",
    "embedded-io", // traits that postcard may be written through; nothing of them does I/O by itself
    "foldhash",
    "hashbrown",
    "hdrhistogram",
    "ipnet",
    "ipnetwork",
    "num-traits",
    "postcard",
    "prefetch-index",
    "prefix-trie",
    "rand_core",
    "safe_arch",
    "serde",
    "serde_core",
    "siphasher",
    "smallvec",
    "thiserror",
    "untrusted",
    "wide",
    "zerocopy",
    "zeroize",
];

/// What no line of a pure crate may say, tests of its own included.
const IMPURE: &[&str] = &[
    "std::time",
    "core::time",
    "Instant::",
    "SystemTime",
    "std::thread",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::os",
    "std::{",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "RandomState",
    "thread_rng",
    "getrandom",
    "print!(",
    "println!(",
    "dbg!(",
    "unsafe {",
    "unsafe fn",
    "unsafe impl",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), "x86_64-unknown-linux-gnu".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The package of a member's folder.
fn package_name(folder: &str) -> String {
    format!("proa-{folder}")
}

/// Packages that end up in a program with this one: what it depends on, and so on, build-time ones left out.
fn closure(metadata: &Metadata, of: &PackageId) -> BTreeSet<PackageId> {
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![of.clone()];
    while let Some(id) = open.pop() {
        let package = &metadata[&id];
        let macros = package.targets.iter().any(|target| target.kind.contains(&TargetKind::ProcMacro));
        if macros || !seen.insert(id.clone()) {
            continue;
        }
        let normal = |kind: &cargo_metadata::DepKindInfo| kind.kind == DependencyKind::Normal;
        let dependencies =
            nodes[&id].deps.iter().filter(|dependency| dependency.dep_kinds.iter().any(normal));
        open.extend(dependencies.map(|dependency| dependency.pkg.clone()));
    }
    seen
}

#[test]
fn members_depend_only_along_the_arrows() {
    let metadata = metadata();
    let members: BTreeMap<String, _> =
        metadata.workspace_packages().into_iter().map(|one| (one.name.to_string(), one)).collect();
    let known: BTreeSet<String> = ARROWS.iter().map(|(folder, _)| package_name(folder)).collect();
    assert_eq!(members.keys().cloned().collect::<BTreeSet<_>>(), known, "every member has its arrows here");
    for (folder, allowed) in ARROWS {
        let package = members[&package_name(folder)];
        for dependency in &package.dependencies {
            let to = dependency.name.to_string();
            // Tests of a member may use any pure one.
            let pure = dependency.kind == DependencyKind::Development
                && PURE.iter().any(|pure| package_name(pure) == to);
            let along = allowed.iter().any(|one| package_name(one) == to);
            assert!(!members.contains_key(&to) || along || pure, "{folder} may not depend on {to}");
        }
    }
}

#[test]
fn only_the_appliance_and_the_benchmarks_reach_dpdk() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let reached = closure(&metadata, &package.id);
        let dpdk = reached.iter().any(|id| metadata[id].name.contains("dpdk"));
        let may = WITH_DPDK.iter().any(|one| package_name(one) == *package.name);
        assert!(!dpdk || may, "{} reaches DPDK", package.name);
    }
}

#[test]
fn pure_crates_bring_in_nothing_impure() {
    let metadata = metadata();
    for folder in PURE {
        let package = metadata.packages.iter().find(|one| *one.name == package_name(folder)).expect(folder);
        for id in closure(&metadata, &package.id) {
            let name = metadata[&id].name.to_string();
            let member = PURE.iter().any(|pure| package_name(pure) == name);
            assert!(member || PURE_DEPENDENCIES.contains(&name.as_str()), "{folder} brings in {name}");
        }
        assert!(package.targets.iter().all(|target| !target.kind.contains(&TargetKind::CustomBuild)));
    }
}

/// Every Rust file under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn pure_crates_forbid_unsafe_code_and_name_nothing_impure() {
    for folder in PURE.into_iter().chain(["conf"]) {
        let lib = fs::read_to_string(root().join(folder).join("src/lib.rs")).expect("a library");
        assert!(lib.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{folder} allows unsafe code");
    }
    for folder in PURE {
        let files = sources(&root().join(folder).join("src"));
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(&file).expect("a source");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                    panic!("{}:{}: {word} in a pure crate", file.display(), number + 1);
                }
            }
        }
    }
}
