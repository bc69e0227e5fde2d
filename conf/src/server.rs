//! The control server's own file: where its data lie and where it listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::load::{parse, parse_bytes};
use crate::node_values::socket;
use crate::problem::Errors;
use crate::problems::{File, Problems};
use crate::reader::{list, root};
use crate::source::read;
use crate::values::{socket_address, text};

/// Most addresses that it listens on.
const LISTEN_MAX: usize = 8;
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
        server.data = path.parent().unwrap_or(Path::new("")).join(server.data);
        Ok(server)
    }
}

fn of_text(written: &str, p: &mut Problems) -> Option<Server> {
    root(File::Node, &parse(File::Node, written, p), p, |t, p| {
        let data = t.required("data", "data = \"/var/lib/proa-server\", a directory of its own", p, text);
        let example = "listen = [\"192.0.2.50:7443\"], where nodes connect to";
        let listen = t.required("listen", example, p, list(LISTEN_MAX, socket_address));
        let listen = listen.filter(|list| list.value.complete);
        if let Some(list) = listen.as_ref().filter(|list| list.value.items.is_empty()) {
            crate::problems::error(list.place, "`listen` is empty").help(p, format!("write {example}"));
        }
        let socket = t.optional("socket", p, socket);
        Some(Server {
            data: PathBuf::from(data?.value),
            listen: listen?.value.items.into_iter().map(|address| address.value).collect(),
            socket: socket.map_or_else(|| PathBuf::from(SOCKET), |socket| socket.value),
        })
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
    fn everything_wrong_is_told_at_once_with_its_line() {
        let told = loaded("listen = [\"nowhere\"]\nlisten_too = 1\n").unwrap_err();
        assert!(told.contains(":1:11") && told.contains("`nowhere` is not an address with a port"), "{told}");
        assert!(told.contains(":2:1") && told.contains("`data` is missing"), "{told}");
        assert!(loaded("data = \"x\"\nlisten = []\n").unwrap_err().contains("`listen` is empty"));
        assert!(loaded("data = ").unwrap_err().contains("not TOML"));
        assert!(Server::load("/no/such/file").unwrap_err().to_string().contains("/no/such/file"));
    }
}
