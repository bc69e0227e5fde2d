//! The control server's own file: where its data lie and where it listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::dns::hostname;
use crate::load::{parse, parse_bytes};
use crate::node_values::socket;
use crate::problem::Errors;
use crate::problems::{At, File, Problems};
use crate::reader::{Item, Table, list, root, table};
use crate::source::read;
use crate::values::{integer, socket_address, text};

/// Most addresses that it listens on.
const LISTEN_MAX: usize = 8;
/// How long certificates of nodes last where the file does not say, seconds: 90 days.
pub const CERTIFICATE_S: u64 = 90 * 86_400;
/// At most: two years.
const CERTIFICATE_S_MAX: u64 = 730 * 86_400;
/// Most name servers of its zone.
const NAME_SERVERS_MAX: usize = 8;
/// How long an answer may be kept where the file does not say, seconds.
const TTL_S: u32 = 20;
/// How long an edge must be well again where the file does not say, seconds.
const HOLD_S: u32 = 30;
/// Answers a second to one prefix where the file does not say.
const RESPONSES_PER_SECOND: u32 = 100;
/// Its Unix socket where the file names none.
const SOCKET: &str = "/run/proa-server/server.sock";

/// The control server's settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The directory of its certificates and its store.
    pub data: PathBuf,
    /// Where it listens for nodes, 1 to 8.
    pub listen: Vec<SocketAddr>,
    /// The Unix socket of the HTTP interface, for operators on this machine. Default `/run/proa-server/server.sock`.
    pub socket: PathBuf,
    /// How long certificates of nodes last, seconds. They renew themselves when a third of it is left. Default 90 days.
    pub certificate_s: u64,
    /// The interface for operators elsewhere, where there is one.
    pub api: Option<Api>,
    /// The authoritative DNS, where there is one.
    pub dns: Option<Dns>,
}

/// `[api]`: the HTTP interface and the web page over TLS, for operators elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where it listens, 1 to 8.
    pub listen: Vec<SocketAddr>,
    /// Files with a certificate that browsers trust and its key, PEM; without them, the overlay's own authority vouches for the server.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[dns]`: hostnames of applications are answered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where it listens, UDP and TCP, 1 to 8.
    pub listen: Vec<SocketAddr>,
    /// The zone that is its own, in lower case, without the last dot.
    pub zone: String,
    /// Names of the zone's name servers, the primary first, 1 to 8.
    pub name_servers: Vec<String>,
    /// Who is responsible, as the SOA record writes an address: `hostmaster.example.com`.
    pub contact: String,
    /// How long an answer may be kept, seconds.
    pub ttl_s: u32,
    /// How long an edge must be well again before it is answered with, and better before it replaces another, seconds.
    pub hold_s: u32,
    /// Answers a second to one IPv4 /24 or IPv6 /56 before they are held back; 0: without limit.
    pub responses_per_second: u32,
}

impl Server {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn load(file: impl AsRef<Path>) -> Result<Server, Errors> {
        let path = file.as_ref();
        let mut p = Problems::default();
        let text = match read(path) {
            Ok(bytes) => parse_bytes(File::Node, path, bytes, &mut p),
            Err(why) => {
                let help = "name a file as /etc/proa/server.toml that this user may read".to_owned();
                p.without_text(path.to_owned(), format!("the configuration {why}"), help);
                None
            }
        };
        let server = text.and_then(|text| of_text(&text, &mut p));
        let warnings = p.finish()?;
        let mut server = server.ok_or(Errors { problems: warnings, untold: 0 })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        server.data = folder.join(server.data);
        if let Some((certificate, key)) = server.api.as_mut().and_then(|api| api.certificate.as_mut()) {
            (*certificate, *key) = (folder.join(&*certificate), folder.join(&*key));
        }
        Ok(server)
    }
}

fn of_text(written: &str, p: &mut Problems) -> Option<Server> {
    root(File::Node, &parse(File::Node, written, p), p, |t, p| {
        let data = t.required("data", "data = \"/var/lib/proa-server\", a directory of its own", p, text);
        let example = "listen = [\"192.0.2.50:7443\"], where nodes connect to";
        let listen = several(t, ("listen", example), LISTEN_MAX, p, socket_address);
        let socket = t.optional("socket", p, socket);
        let certificate_s = t.optional("certificate_seconds", p, integer(10..=CERTIFICATE_S_MAX));
        let api = t.optional("api", p, |item, p| table(item, "[api]", p, api));
        let dns = t.optional("dns", p, |item, p| table(item, "[dns]", p, dns));
        // Said to be there, but broken: that has been told.
        let dns = dns.map(|at| at.value);
        Some(Server {
            data: PathBuf::from(data?.value),
            listen: listen?.into_iter().map(|at| at.value).collect(),
            socket: socket.map_or_else(|| PathBuf::from(SOCKET), |socket| socket.value),
            certificate_s: certificate_s.map_or(CERTIFICATE_S, |at| at.value),
            api: api.and_then(|at| at.value),
            dns: dns.flatten(),
        })
    })
}

/// A list of at least one element, and of at most `max`; `written` is its key, and an example.
fn several<T>(
    t: &mut Table<'_>,
    written: (&'static str, &'static str),
    max: usize,
    p: &mut Problems,
    read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
) -> Option<Vec<At<T>>> {
    let (key, example) = written;
    let found = t.required(key, example, p, list(max, read)).filter(|found| found.value.complete)?;
    if found.value.items.is_empty() {
        crate::problems::error(found.place, format!("`{key}` is empty")).help(p, format!("write {example}"));
    }
    Some(found.value.items)
}

fn api(t: &mut Table<'_>, p: &mut Problems) -> Option<Api> {
    let example = "listen = [\"192.0.2.50:8443\"], where browsers and proactl connect to";
    let listen = several(t, ("listen", example), LISTEN_MAX, p, socket_address);
    let certificate = t.optional("certificate", p, text);
    let key = t.optional("key", p, text);
    let half = match (&certificate, &key) {
        (Some(at), None) => Some((at.place, "key")),
        (None, Some(at)) => Some((at.place, "certificate")),
        _ => None,
    };
    if let Some((place, missing)) = half {
        crate::problems::error(place, format!("`{missing}` is missing beside it"))
            .help(p, "name both files, certificate and key, or neither: then the overlay's own authority vouches for the server");
    }
    let certificate =
        certificate.zip(key).map(|(certificate, key)| (certificate.value.into(), key.value.into()));
    Some(Api { listen: listen?.into_iter().map(|at| at.value).collect(), certificate })
}

fn dns(t: &mut Table<'_>, p: &mut Problems) -> Option<Dns> {
    let example = "listen = [\"192.0.2.53:53\"], where resolvers ask";
    let listen = several(t, ("listen", example), LISTEN_MAX, p, socket_address);
    let zone =
        t.required("zone", "zone = \"apps.example.com\", which is delegated to this server", p, hostname);
    let example = "name_servers = [\"ns1.example.com\"], the names that the zone is delegated to";
    let name_servers = several(t, ("name_servers", example), NAME_SERVERS_MAX, p, hostname);
    let contact = t.optional("contact", p, hostname);
    let ttl_s = t.optional("ttl_seconds", p, integer(1..=86_400)).map_or(TTL_S, |at| at.value);
    let hold_s = t.optional("hold_seconds", p, integer(0..=86_400)).map_or(HOLD_S, |at| at.value);
    let responses = t.optional("responses_per_second", p, integer(0..=1_000_000));
    let zone = zone?.value;
    for server in name_servers.iter().flatten() {
        let inside = server.value.strip_suffix(zone.as_str());
        if inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
            let message = format!("`{}` is in the zone itself, which has no addresses for it", server.value);
            crate::problems::error(server.place, message)
                .help(p, "name it in the zone above, beside the delegation: that has its address");
        }
    }
    Some(Dns {
        listen: listen?.into_iter().map(|at| at.value).collect(),
        contact: contact.map_or_else(|| format!("hostmaster.{zone}"), |at| at.value),
        zone,
        name_servers: name_servers?.into_iter().map(|at| at.value).collect(),
        ttl_s,
        hold_s,
        responses_per_second: responses.map_or(RESPONSES_PER_SECOND, |at| at.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Server, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        Server::load(&path).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_good_file_is_read() {
        let server =
            loaded("data = \"/var/lib/x\"\nlisten = [\"192.0.2.50:7443\", \"[::]:7443\"]\n").unwrap();
        assert_eq!((server.data, server.listen.len()), (PathBuf::from("/var/lib/x"), 2));
        assert_eq!(server.socket, PathBuf::from(SOCKET));
    }

    #[test]
    fn a_zone_is_read_with_what_it_leaves_out() {
        let with = |dns: &str| loaded(&format!("data = \"/x\"\nlisten = [\"[::]:7443\"]\n[dns]\n{dns}"));
        let server = with(
            "listen = [\"192.0.2.53:53\"]\nzone = \"Apps.example.com\"\nname_servers = [\"ns1.example.com\"]\n",
        );
        let dns = server.unwrap().dns.unwrap();
        assert_eq!(
            (dns.zone.as_str(), dns.contact.as_str()),
            ("apps.example.com", "hostmaster.apps.example.com")
        );
        assert_eq!((dns.ttl_s, dns.hold_s, dns.responses_per_second), (TTL_S, HOLD_S, RESPONSES_PER_SECOND));
        let told =
            with("listen = []\nzone = \"com\"\nname_servers = [\"-a.b\"]\nttl_seconds = 0\nport = 53\n")
                .unwrap_err();
        let inside = "listen = [\"[::]:53\"]\nzone = \"a.example\"\nname_servers = [\"ns.a.example\", \"xa.example\"]\n";
        let inside = with(inside).unwrap_err();
        assert!(
            inside.contains("`ns.a.example` is in the zone itself") && !inside.contains("`xa.example`"),
            "{inside}"
        );
        for wrong in ["`listen` is empty", "one label only", "begins or ends with -", "ttl_seconds", "port"] {
            assert!(told.contains(wrong), "{wrong}: {told}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_line() {
        let told = loaded("listen = [\"nowhere\"]\nlisten_too = 1\n").unwrap_err();
        assert!(told.contains(":1:11") && told.contains("`nowhere` is not an address with a port"), "{told}");
        assert!(told.contains(":2:1") && told.contains("`data` is missing"), "{told}");
        assert!(loaded("data = \"x\"\nlisten = []\n").unwrap_err().contains("`listen` is empty"));
        let api = loaded("data = \"x\"\nlisten = [\"[::]:7443\"]\n[api]\nlisten = []\n").unwrap_err();
        assert!(api.contains("`listen` is empty") && api.contains(":4:"), "{api}");
        assert!(loaded("data = ").unwrap_err().contains("not TOML"));
        assert!(Server::load("/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
    }
}
