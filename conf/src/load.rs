//! From two files, or their texts, to a checked configuration.

use std::path::{Path, PathBuf};

use overlay::plan::Certificate;
use overlay::sync::Snapshot;
use overlay::topology::NodeId;
use toml::Spanned;
use toml::de::DeTable;

use crate::check::{addresses, applications, keys, links, local, names, nodes, paths, prefixes};
use crate::node_file::{self, NodeFile, RawServer};
use crate::problem::Errors;
use crate::problems::{At, File, Place, Problems, error};
use crate::reader::root;
use crate::source::{FILE_BYTES_MAX, Source, Span, read};
use crate::topology_file::{self, TopologyFile};
use crate::{Config, Loaded, Members, Membership, Overlay, build, ground, plan, revoked, routing, takeover};
use crate::{dns, monitoring};

impl Config {
    /// Reads and checks the node file and the topology file that it names.
    ///
    /// # Errors
    /// Everything wrong with either file. Neither may have more than 4 MiB; only ordinary files are read.
    pub fn load(node_file: impl AsRef<Path>) -> Result<Loaded, Errors> {
        load(node_file.as_ref(), None)
    }

    /// Reads the node file, and checks it with a topology that the server offers.
    ///
    /// # Errors
    /// Everything wrong with either.
    pub fn load_offered(node_file: impl AsRef<Path>, topology: String) -> Result<Loaded, Errors> {
        load(node_file.as_ref(), Some(topology))
    }

    /// Checks the texts of a node file and a topology file; what the former names as `topology` is not read.
    ///
    /// # Errors
    /// Everything wrong with either text.
    pub fn load_str(node_text_: &str, topology_text_: &str) -> Result<Loaded, Errors> {
        let mut p = Problems::default();
        let bytes = |text: &str| text.as_bytes().to_vec();
        let node = parse_bytes(File::Node, Path::new("node.toml"), bytes(node_text_), &mut p);
        let topology = parse_bytes(File::Topology, Path::new("topology.toml"), bytes(topology_text_), &mut p);
        let node = node.map(|text| node_text(&text, &mut p));
        let topology = topology.map(|text| topology_text(&text, &mut p));
        finish(p, node, topology)
    }
}

/// Reads the text of a node file.
fn read_node(path: &Path, p: &mut Problems) -> Option<NodeFile> {
    match read(path) {
        Ok(bytes) => parse_bytes(File::Node, path, bytes, p).map(|text| node_text(&text, p)),
        Err(why) => {
            let help = "name a node file, as in /etc/proa/edge-1.toml, that this user may read";
            p.without_text(path.to_owned(), format!("the configuration {why}"), help.to_owned());
            None
        }
    }
}

fn load(path: &Path, offered: Option<String>) -> Result<Loaded, Errors> {
    let mut p = Problems::default();
    let Some(node) = read_node(path, &mut p) else { return finish(p, None, None) };
    let topology = match (offered, &node.topology, &node.server) {
        (Some(text), ..) => {
            parse_bytes(File::Topology, Path::new("the server's topology"), text.into_bytes(), &mut p)
        }
        (None, Some(named), _) => {
            let help = "name a topology file, relative to this file, that this user may read";
            read_topology(named.place, &beside(path, &named.value), help, &mut p)
        }
        (None, None, Some(server)) => read_kept(path, server, &mut p),
        (None, None, None) => None,
    };
    let topology = topology.map(|text| topology_text(&text, &mut p));
    let mut loaded = finish(p, Some(node), topology)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    if let Some(file) = &mut loaded.config.keys.file {
        *file = folder.join(&*file);
    }
    if let Some(server) = &mut loaded.config.local.server {
        server.directory = folder.join(&server.directory);
    }
    Ok(loaded)
}

fn read_topology(named: Place, path: &Path, help: &str, p: &mut Problems) -> Option<String> {
    match read(path) {
        Ok(bytes) => parse_bytes(File::Topology, path, bytes, p),
        Err(why) => {
            error(named, format!("the topology file {} {why}", path.display())).help(p, help);
            None
        }
    }
}

/// The last good snapshot of the server, which must be as it was written.
fn read_kept(node_file: &Path, server: &At<RawServer>, p: &mut Problems) -> Option<String> {
    let servers = build::servers(&server.value)?;
    let path = node_file.parent().unwrap_or(Path::new("")).join(servers.snapshot_file());
    let help = "run `proa join` with a token of the server; then the node fetches it when it starts";
    let text = read_topology(server.place, &path, help, p)?;
    if let Err(why) = Snapshot::from_file(&text) {
        error(server.place, format!("the snapshot {} is damaged: {why}", path.display()))
            .help(p, "remove the file; the node fetches it again when it starts");
        return None;
    }
    Some(text)
}

impl Membership {
    /// Reads what of a node file concerns the control server; `None` where it names a topology file instead.
    ///
    /// # Errors
    /// Everything wrong with the node file by itself.
    pub fn load(node_file: impl AsRef<Path>) -> Result<Option<Membership>, Errors> {
        let path = node_file.as_ref();
        let mut p = Problems::default();
        let node = read_node(path, &mut p);
        p.finish()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(node.and_then(|node| {
            let mut server = build::servers(&node.server.as_ref()?.value)?;
            server.directory = folder.join(server.directory);
            let key_file = node.key_file.as_ref().and_then(|file| file.value.as_ref());
            let key_file = key_file.map(|file| folder.join(&file.value));
            Some(Membership { node: node.node?.value, server, key_file })
        }))
    }
}

impl Overlay {
    /// Checks a topology by itself, as the server does before anybody gets it.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn check(name: &str, text: &str, members: &Members) -> Result<Overlay, Errors> {
        let mut p = Problems::default();
        let text = parse_bytes(File::Topology, Path::new(name), text.as_bytes().to_vec(), &mut p);
        let mut file = text.map(|text| topology_text(&text, &mut p));
        if let Some(file) = &mut file {
            keys::introduce(file, &members.keys, &mut p);
            revoked::introduce(file, &members.revoked);
        }
        let broken = p.recovering(File::Topology);
        let checked = file.as_mut().filter(|_| !broken).map(|file| check_topology(file, &mut p));
        let overlay = match checked {
            Some((file, links, _, certificates)) if p.errors() == 0 => {
                build::topology(file, &links, certificates).and_then(|topology| {
                    let dns = dns::build(file, &links)?;
                    Some((topology, build::identities(file)?, dns))
                })
            }
            _ => None,
        };
        let warnings = p.finish()?;
        match overlay {
            Some((topology, identities, dns)) => Ok(Overlay { topology, identities, dns, warnings }),
            None => Err(Errors { problems: warnings, untold: 0 }),
        }
    }
}

/// A path relative to the file that names it.
fn beside(file: &Path, named: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}

/// The file's text, which must be UTF-8 within the size.
pub(crate) fn parse_bytes(file: File, name: &Path, bytes: Vec<u8>, p: &mut Problems) -> Option<String> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let help = format!("keep it below {} MiB", FILE_BYTES_MAX / 1024 / 1024);
        p.without_text(name.to_owned(), "the text is too large for a configuration".to_owned(), help);
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            p.add_source(file, Source::new(name, text.clone()));
            Some(text)
        }
        Err(wrong) => {
            let offset = wrong.utf8_error().valid_up_to();
            p.add_source(file, Source::new(name, String::from_utf8_lossy(wrong.as_bytes()).into_owned()));
            let span = Span { start: offset, end: offset + 1 };
            error(Place { file, span }, "this is not UTF-8 text").help(p, "save the file as UTF-8");
            None
        }
    }
}

fn node_text(text: &str, p: &mut Problems) -> NodeFile {
    root(File::Node, &parse(File::Node, text, p), p, node_file::read)
}

fn topology_text(text: &str, p: &mut Problems) -> TopologyFile {
    root(File::Topology, &parse(File::Topology, text, p), p, topology_file::read)
}

/// Parses TOML, telling its errors; what could be made out in spite of them is walked all the same.
pub(crate) fn parse<'t>(file: File, text: &'t str, p: &mut Problems) -> Spanned<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for wrong in errors {
        let (span, somewhere) = match wrong.span() {
            Some(span) => (span, ""),
            None => (0..0, " (somewhere in this file)"),
        };
        let place = Place { file, span: Span { start: span.start, end: span.end } };
        let help = match wrong.message() {
            message if message.contains("duplicate key") => "keep one of them",
            message if message.contains("recurs") => "nest less deeply",
            message if message.contains("must be quoted") => "put the text into double quotes",
            message if message.contains("string") => "close the string with the quote that opened it",
            message if message.contains("array") || message.contains("inline table") => {
                "separate elements by commas and close every bracket"
            }
            _ => "write key = value, with strings in double quotes, below [table] or [[list]] headers",
        };
        p.syntax(place, &format!("this is not TOML: {}{somewhere}", wrong.message()), help);
    }
    table
}

/// Checks what the files say of each other, and builds the configuration if all is well.
fn finish(
    mut p: Problems,
    node: Option<NodeFile>,
    mut topology: Option<TopologyFile>,
) -> Result<Loaded, Errors> {
    let broken = p.recovering(File::Node) || p.recovering(File::Topology);
    let config = if broken { None } else { check(node.as_ref(), topology.as_mut(), &mut p) };
    if p.errors() == 0 && config.is_none() {
        let help = "report this with both files: no error was found, yet something is missing".to_owned();
        p.without_text(PathBuf::new(), "the configuration is incomplete".to_owned(), help);
    }
    let warnings = p.finish()?;
    match config {
        Some(config) => Ok(Loaded { config, warnings }),
        None => Err(Errors { problems: warnings, untold: 0 }),
    }
}

fn check(node: Option<&NodeFile>, topology: Option<&mut TopologyFile>, p: &mut Problems) -> Option<Config> {
    let checked = topology.map(|file| check_topology(file, p));
    let node = node?;
    let name: Option<&At<String>> = node.node.as_ref();
    let this = checked.as_ref().and_then(|(file, ..)| names::this_node(file, name?, p));
    let raw = checked.as_ref().and_then(|(file, ..)| file.nodes.items.get(this?));
    keys::private(node, raw.map(|at| &at.value), p);
    if let (Some(this), Some((file, ..))) = (raw, &checked) {
        revoked::check(&this.value, p);
        routing::detours(&node.detours, &this.value, file, p);
    }
    local::cores(node, raw.map(|at| &at.value), p);
    local::ports(node, checked.as_ref().and_then(|(file, _, claims, _)| Some((*file, claims, this?))), p);

    let (file, links, _, certificates) = checked?;
    if p.errors() > 0 {
        return None;
    }
    let topology = build::topology(file, &links, certificates)?;
    let id = NodeId(raw?.value.id.as_ref()?.value);
    let keys = build::keys(file, node)?;
    let local = build::local(node, &topology)?;
    Some(Config { topology, node: id, local, keys })
}

type Checked<'f> = (&'f TopologyFile, names::Links, addresses::Claims, Vec<Certificate>);

/// What must hold within a topology; its paths are planned.
fn check_topology<'f>(file: &'f mut TopologyFile, p: &mut Problems) -> Checked<'f> {
    let mut found = names::check(file, p);
    links::check(file, &found, p);
    let ground = ground::topology(file, &found);
    let planned = plan::paths(file, &mut found, &ground);
    let file = &*file;
    let claims = addresses::check(file, p);
    nodes::check(file, p);
    keys::identities(file, p);
    let certificates = paths::check(file, &found, &ground, planned, p);
    applications::check(file, &found, p);
    prefixes::check(file, p);
    takeover::check(file, &found, p);
    dns::check(file, &found, p);
    monitoring::check(&file.liveness, &file.quality, p);
    (file, found, claims, certificates)
}
