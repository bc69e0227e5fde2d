//! The operator's ways in: a Unix socket for `proactl`, and HTTP on loopback for metrics.
//!
//! Bounded in clients, in what each may send, in what waits for each, and in how long one may be silent.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ctl::{REQUEST_BYTES_MAX, Request};
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};

/// Clients at once.
const CLIENTS_MAX: usize = 32;
/// How long a client may keep us waiting.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Bytes that wait for a client before it gets no more of its list.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Tokens of this module start here.
pub const FIRST_TOKEN: usize = 16;
const UNIX: Token = Token(FIRST_TOKEN);
const HTTP: Token = Token(FIRST_TOKEN + 1);
const FIRST_CLIENT: usize = FIRST_TOKEN + 2;

/// What a client asks.
#[derive(Debug)]
pub enum Asked {
    /// Over the Unix socket: a request, or why its line is none.
    Control(Result<Request, String>),
    /// Over HTTP: the request's first line.
    Http(String),
}

trait Stream: Read + Write + Source {}
impl<S: Read + Write + Source> Stream for S {}

struct Client {
    stream: Box<dyn Stream>,
    is_http: bool,
    input: Vec<u8>,
    asked: bool,
    output: Vec<u8>,
    written: usize,
    /// Nothing will be added to `output`.
    ended: bool,
    heard: Instant,
}

/// The listeners and their clients.
pub struct Server {
    registry: Registry,
    unix: UnixListener,
    http: Option<TcpListener>,
    clients: BTreeMap<usize, Client>,
    next: usize,
}

impl Server {
    /// A server on a Unix socket that is listening already, and on a loopback address.
    ///
    /// # Errors
    /// The system's, as when the address is in use.
    pub fn new(registry: Registry, mut unix: UnixListener, http: Option<SocketAddr>) -> io::Result<Server> {
        registry.register(&mut unix, UNIX, Interest::READABLE)?;
        let mut http = http.map(TcpListener::bind).transpose()?;
        if let Some(listener) = &mut http {
            registry.register(listener, HTTP, Interest::READABLE)?;
        }
        Ok(Server { registry, unix, http, clients: BTreeMap::new(), next: FIRST_CLIENT })
    }

    /// Something happened at a token: the questions that are now complete, with their clients' numbers.
    pub fn ready(&mut self, token: Token) -> Option<(u64, Asked)> {
        match token {
            UNIX => self.accept(false),
            HTTP => self.accept(true),
            Token(number) => {
                let client = self.clients.get_mut(&number)?;
                match client.read() {
                    Ok(Some(asked)) => return Some((number as u64, asked)),
                    Ok(None) => {}
                    Err(_) => self.close(number),
                }
            }
        }
        None
    }

    /// Adds to a client's answer; closes it after the last of it.
    pub fn reply(&mut self, client: u64, bytes: &[u8], ended: bool) {
        if let Some(client) = self.clients.get_mut(&(client as usize)) {
            client.output.extend_from_slice(bytes);
            client.ended |= ended;
        }
    }

    /// Clients that wait for more of their answer and have room for it.
    pub fn waiting(&self) -> Vec<u64> {
        let clients = self.clients.iter();
        let waits =
            |client: &Client| client.asked && !client.ended && client.output.len() < WAITING_BYTES_MAX;
        clients.filter(|(_, client)| waits(client)).map(|(number, _)| *number as u64).collect()
    }

    /// Writes what can be written, and closes clients that have all, are gone, or are silent. Returns the numbers of
    /// those closed.
    pub fn flush(&mut self, now: Instant) -> Vec<u64> {
        let mut gone = Vec::new();
        for (number, client) in &mut self.clients {
            let silent = now.saturating_duration_since(client.heard) > SILENCE_MAX;
            let done = match client.write(now) {
                Ok(all) => all && client.ended,
                Err(_) => true,
            };
            if done || silent {
                gone.push(*number);
            }
        }
        gone.iter().for_each(|number| self.close(*number));
        gone.into_iter().map(|number| number as u64).collect()
    }

    /// Whether any client is there.
    pub fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    fn accept(&mut self, is_http: bool) {
        loop {
            let stream: io::Result<Box<dyn Stream>> = match (&self.http, is_http) {
                (Some(http), true) => http.accept().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
                (None, true) => return,
                (_, false) => self.unix.accept().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
            };
            let mut stream = match stream {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A client that was gone before it was accepted; or no descriptors, which the next event retries.
                Err(_) => return,
            };
            if self.clients.len() >= CLIENTS_MAX {
                continue;
            }
            let number = self.next;
            self.next += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.registry.register(&mut *stream, Token(number), interest).is_err() {
                continue;
            }
            let client = Client {
                stream,
                is_http,
                input: Vec::new(),
                asked: false,
                output: Vec::new(),
                written: 0,
                ended: false,
                heard: Instant::now(),
            };
            self.clients.insert(number, client);
        }
    }

    fn close(&mut self, number: usize) {
        if let Some(mut client) = self.clients.remove(&number) {
            drop(self.registry.deregister(&mut *client.stream));
        }
    }
}

impl Client {
    /// Reads what is there; the question once it is complete. An error ends the client.
    fn read(&mut self) -> io::Result<Option<Asked>> {
        let mut piece = [0; 1024];
        loop {
            match self.stream.read(&mut piece) {
                // It may have closed its writing side only.
                Ok(0) if self.asked => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) if !self.asked => self.input.extend_from_slice(&piece[..count]),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(asked) = self.question() {
                self.asked = true;
                return Ok(Some(asked));
            }
            if self.input.len() > REQUEST_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn question(&self) -> Option<Asked> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&self.input[..end]).trim_end().to_owned();
        if self.is_http {
            // The header fields do not matter, but answering before they are in would reset the connection.
            let complete = self.input.windows(4).any(|four| four == b"\r\n\r\n");
            return complete.then_some(Asked::Http(line));
        }
        let request = serde_json::from_str(&line);
        Some(Asked::Control(request.map_err(|error| format!("the request is not understood: {error}"))))
    }

    /// Writes what waits; says whether nothing is left.
    fn write(&mut self, now: Instant) -> io::Result<bool> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count;
                    self.heard = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.drain(..self.written);
        self.written = 0;
        Ok(self.output.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::os::unix::net::UnixStream;

    struct Rig {
        poll: Poll,
        server: Server,
        client: UnixStream,
        _directory: tempfile::TempDir,
    }

    fn rig() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let poll = Poll::new().unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new(poll.registry().try_clone().unwrap(), listener, None).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Rig { poll, server, client, _directory: directory }
    }

    impl Rig {
        /// Lets the server see what happened; its next question.
        fn turn(&mut self) -> Option<(u64, Asked)> {
            let mut events = Events::with_capacity(8);
            for _ in 0..3 {
                self.poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
                if let Some(asked) = events.iter().find_map(|event| self.server.ready(event.token())) {
                    return Some(asked);
                }
            }
            None
        }
    }

    #[test]
    fn a_question_is_read_in_pieces_and_answered_in_pieces() {
        let mut rig = rig();
        rig.client.write_all(br#"{"show":"#).unwrap();
        assert!(rig.turn().is_none());
        rig.client.write_all(b"\"drops\"}\n").unwrap();
        let Some((client, Asked::Control(Ok(Request::Drops)))) = rig.turn() else { panic!("no question") };
        assert_eq!(rig.server.waiting(), [client]);
        rig.server.reply(client, b"one\n", false);
        assert!(rig.server.flush(Instant::now()).is_empty());
        rig.server.reply(client, b"two\n", true);
        assert_eq!(rig.server.flush(Instant::now()), [client]);
        let mut answer = String::new();
        rig.client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "one\ntwo\n");
        assert!(!rig.server.has_clients());
    }

    #[test]
    fn nonsense_is_told_and_floods_and_silence_end_a_client() {
        let mut rig = rig();
        rig.client.write_all(b"what?\n").unwrap();
        assert!(matches!(rig.turn(), Some((_, Asked::Control(Err(_))))));

        let mut flooded = self::rig();
        flooded.client.write_all(&vec![b'x'; REQUEST_BYTES_MAX + 2000]).unwrap();
        assert!(flooded.turn().is_none());
        assert!(!flooded.server.has_clients());

        let mut silent = self::rig();
        assert!(silent.turn().is_none());
        assert!(silent.server.flush(Instant::now()).is_empty());
        assert_eq!(silent.server.flush(Instant::now() + SILENCE_MAX * 2).len(), 1);
    }
}
