//! `proa join` makes this machine a node of an overlay, and a node's first start fetches its first snapshot: both wait for the
//! server, before there are any packets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::Membership;
use overlay::sync::frame::{Frames, frame};
use overlay::sync::message::Signature;
use overlay::sync::node::Event;
use overlay::sync::{Join, Node, Snapshot, TO_NODE_BYTES_MAX, TO_SERVER_BYTES_MAX, ToNode, Token, VERSION};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::membership::{self, SERVER_NAME};

/// How long one server may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a server is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lines about a server that is not there.
const TELL: Duration = Duration::from_secs(30);

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Joins with a token. Returns what to tell the operator.
///
/// # Errors
/// What went wrong, as a sentence.
pub fn join(config: &Path, token: &str) -> Result<String, String> {
    let token: Token = token.parse().map_err(|error: overlay::sync::token::NoToken| error.to_string())?;
    let membership = membership_of(config)?;
    let Membership { node, server, key_file } = &membership;
    if *node != token.node {
        return Err(format!("the token is for node `{}`, but this file is of `{node}`", token.node));
    }
    let (key, request) = membership::request().map_err(|error| error.to_string())?;
    let identity = match key_file {
        Some(file) => {
            if !file.exists() {
                crate::key::generate(file)?;
            }
            let identity = conf::key::read(file).map_err(|error| error.to_string())?;
            let signature = Signature(identity.sign(&Join::signed(node, &request)).to_vec());
            Some((identity.public().0, signature))
        }
        None => None,
    };
    let join = Join { version: VERSION, node: node.clone(), secret: token.secret, request, identity };
    let tls = membership::tls_to_join(token.authority).map_err(|error| error.to_string())?;
    let mut why = String::new();
    for address in &server.addresses {
        match ask(*address, &tls, &join) {
            Ok((certificate, authority)) => {
                membership::keep_certificates(server, &key, &certificate, &authority)
                    .map_err(|error| error.to_string())?;
                return Ok(format!(
                    "{node} has joined; its certificate is in {}",
                    server.directory.display()
                ));
            }
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

/// What a node file says of the server.
fn membership_of(config: &Path) -> Result<Membership, String> {
    let membership = Membership::load(config).map_err(|errors| errors.to_string())?;
    membership.ok_or_else(|| {
        format!("{} names a topology file and no [server]: there is nothing to join", config.display())
    })
}

fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let name = SERVER_NAME.try_into().map_err(io::Error::other)?;
    let connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// The certificate of this node and that of the authority.
fn ask(address: SocketAddr, tls: &Arc<ClientConfig>, join: &Join) -> Result<(Vec<u8>, Vec<u8>), String> {
    let told = |error: io::Error| error.to_string();
    let mut stream = connect(address, tls).map_err(told)?;
    let message = frame(&overlay::sync::ToServer::Join(join.clone()), TO_SERVER_BYTES_MAX);
    stream
        .write_all(&message.ok_or("the request is too long")?)
        .and_then(|()| stream.flush())
        .map_err(told)?;
    let mut frames = Frames::new(TO_NODE_BYTES_MAX);
    let mut bytes = [0; 4096];
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let count = stream.read(&mut bytes).map_err(told)?;
        if count == 0 {
            return Err("the server has closed the connection without a word".to_owned());
        }
        frames.push(bytes.get(..count).unwrap_or(&[])).map_err(|error| error.to_string())?;
        if let Some(body) = frames.pop().map_err(|error| error.to_string())? {
            return match ToNode::read(&body) {
                Some(ToNode::Joined { certificate, authority }) => Ok((certificate, authority)),
                Some(ToNode::Error { why, .. }) => Err(why),
                _ => Err("the server's answer is not understood".to_owned()),
            };
        }
    }
    Err("the server does not answer".to_owned())
}

/// Sees to it that a node that has a server has a snapshot to start with: the one that is kept, or its first, for which it
/// waits as long as it takes.
///
/// # Errors
/// [`membership::Error`], where the node has not joined.
pub fn first_snapshot(membership: &Membership) -> Result<(), membership::Error> {
    let tls = membership::tls(&membership.server)?;
    if membership::kept(&membership.server).is_some() {
        return Ok(());
    }
    let mut told: Option<Instant> = None;
    loop {
        for address in &membership.server.addresses {
            match fetch(*address, &tls, &membership.node) {
                Ok(snapshot) => {
                    tracing::info!("revision {} has come from {address}", snapshot.held.revision);
                    return membership::keep(&membership.server, &snapshot);
                }
                Err(why) => {
                    if told.is_none_or(|told| told.elapsed() >= TELL) {
                        told = Some(Instant::now());
                        tracing::warn!(
                            "nothing to forward by yet; the server {address} gives nothing: {why}"
                        );
                    }
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn fetch(address: SocketAddr, tls: &Arc<ClientConfig>, name: &str) -> Result<Snapshot, String> {
    let told = |error: io::Error| error.to_string();
    let mut stream = connect(address, tls).map_err(told)?;
    let begun = Instant::now();
    let mut node = Node::new(0, name, None);
    let mut bytes = vec![0; 16 * 1024];
    while begun.elapsed() < PATIENCE {
        stream.write_all(&node.take_output()).and_then(|()| stream.flush()).map_err(told)?;
        let count = stream.read(&mut bytes).map_err(told)?;
        if count == 0 {
            return Err("it has closed the connection".to_owned());
        }
        let now_ms = begun.elapsed().as_millis() as u64;
        node.handle(now_ms, bytes.get(..count).unwrap_or(&[]));
        match node.poll_event() {
            Some(Event::Apply(snapshot)) => return Ok(*snapshot),
            Some(Event::Ended(end)) => return Err(end.to_string()),
            _ => {}
        }
        node.tick(now_ms);
    }
    Err("the overlay does not have this node yet: `proactl apply` a topology with it".to_owned())
}
