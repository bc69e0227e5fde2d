//! Writes the JSON Schemas of both files, for editors that complete and check while one types.
//!
//! They only describe: the program itself reads the files with [`crate::reader`], which tells more than a schema can.
//! Compiled for tests alone, which hold that the committed files in `schema/` are current, accept the examples and
//! know exactly the keys that the reader knows. `PROA_BLESS=1 cargo test -p proa-conf schema` writes them anew.
#![expect(dead_code, reason = "the fields are described, never held")]

mod node;
mod topology;
mod validate;

use std::path::{Path, PathBuf};

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::Value;

use crate::Config;

/// What a name looks like; see `values::name`.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

fn schema<T: JsonSchema>(title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    NotNull.transform(&mut schema);
    schema.to_value()
}

/// TOML has no null: what may be left out is left out.
struct NotNull;

impl Transform for NotNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::Array(types)) = schema.get("type")
            && let [one, Value::String(null)] = types.as_slice()
            && null == "null"
        {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
        if let Some(Value::Array(variants)) = schema.get("anyOf")
            && let [Value::Object(one), null] = variants.as_slice()
            && null.get("type").is_some_and(|kind| kind == "null")
        {
            let one = one.clone();
            schema.remove("anyOf");
            for (key, value) in one {
                schema.as_object_mut().into_iter().for_each(|object| {
                    object.entry(key.clone()).or_insert(value.clone());
                });
            }
        }
        // The reader knows the widths of integers by their ranges.
        if schema.get("type").is_some_and(|kind| kind == "integer" || kind == "number") {
            schema.remove("format");
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn schemas() -> [(&'static str, Value); 2] {
    [
        ("node.schema.json", schema::<node::NodeFile>("A node of a Proa overlay")),
        ("topology.schema.json", schema::<topology::TopologyFile>("The topology of a Proa overlay")),
    ]
}

fn of_file(name: &str) -> &'static str {
    if name.starts_with("node")
        || !matches!(name, "overlay.toml" | "topology.toml" | "planned.toml")
            && !name.starts_with("topology-")
    {
        "node.schema.json"
    } else {
        "topology.schema.json"
    }
}

fn toml_files(path: &str) -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(folder(path)).unwrap();
    let files = entries.map(|entry| {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        Some((entry.file_name().into_string().unwrap(), toml::from_str(&text).ok()?))
    });
    files.flatten().collect()
}

#[test]
fn committed_schemas_are_current() {
    for (name, schema) in schemas() {
        let path = folder("schema").join(name);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("PROA_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(committed == text, "{} is not current; see conf/src/schema/mod.rs", path.display());
    }
}

#[test]
fn schemas_accept_the_good_files() {
    let schemas = schemas();
    for (name, file) in toml_files("examples").into_iter().chain(toml_files("tests/good")) {
        let (_, schema) = schemas.iter().find(|(schema, _)| *schema == of_file(&name)).unwrap();
        assert_eq!(validate::faults(schema, &file, "file"), Vec::<String>::new(), "{name}");
    }
}

/// Keys, types and ranges are what a schema can say, so what is wrong with those it must refuse as well.
#[test]
fn schemas_refuse_keys_types_and_ranges() {
    let told = [
        "unknown-keys",
        "missing-keys",
        "wrong-types",
        "ranges",
        "limits",
        "empty",
        "unknown-word",
        "no-role",
    ];
    let schemas = schemas();
    let mut seen = 0;
    for (name, file) in toml_files("tests/bad") {
        let kind = name.trim_start_matches("node-").trim_start_matches("topology-").trim_end_matches(".toml");
        if told.contains(&kind) {
            let (_, schema) = schemas.iter().find(|(schema, _)| *schema == of_file(&name)).unwrap();
            assert!(!validate::faults(schema, &file, "file").is_empty(), "{name} is accepted");
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} files");
}

/// Puts an unknown key into every table of the examples: the help names the keys that the reader knows there.
#[test]
fn schemas_know_the_readers_keys() {
    let read = |name: &str| std::fs::read_to_string(folder("examples").join(name)).unwrap();
    let stranger = "zzzzzzzzzzzzzzzz = 1";
    let everywhere = |text: &str| {
        let mut out = format!("{stranger}\n");
        for line in text.lines() {
            // The commented-out `rss`, `route`, `takeover`, `client`, `auto`, `parity`, `adaptive` and `server` count too.
            let counts = [
                "# rss = ",
                "# route = ",
                "# takeover = ",
                "# client = ",
                "# auto = ",
                "# parity = ",
                "# adaptive = ",
                "# server = ",
            ]
            .iter()
            .any(|key| line.starts_with(key));
            let line = if counts { line.replacen("# ", "", 1) } else { line.to_owned() };
            out += &line.replace("{ ", &format!("{{ {stranger}, "));
            out += "\n";
            if line.starts_with('[') {
                out += stranger;
                out += "\n";
            }
        }
        out
    };
    let errors =
        Config::load_str(&everywhere(&read("edge-1.toml")), &everywhere(&read("overlay.toml"))).unwrap_err();
    let mut known: Vec<Vec<String>> = errors
        .problems()
        .iter()
        .filter_map(|problem| problem.help.strip_prefix("remove it; known here: "))
        .map(|keys| keys.split(", ").map(ToOwned::to_owned).collect())
        .collect();
    let mut described = Vec::new();
    for (_, schema) in schemas() {
        validate::keys(&schema, &mut described);
    }
    for keys in known.iter_mut().chain(&mut described) {
        keys.sort();
    }
    known.sort();
    known.dedup();
    described.sort();
    described.dedup();
    assert_eq!(known, described);
}
