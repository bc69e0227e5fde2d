//! The interface over TLS: who has no token gets nothing but the page, a viewer changes nothing, and who is slow keeps nobody out.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{NODES, OVERLAY, Server, server};
use proa_server::operators::Role;
use proa_server::{away, http};
use rustls::{ClientConnection, StreamOwned};

/// A server's interface on a port of its own.
fn interface(server: &Server) -> SocketAddr {
    let runtime = server.runtime.as_ref().unwrap();
    let tls = away::settings(server.hub.registry.authority(), None).unwrap();
    let router = away::router(server.hub.clone(), http::router(server.hub.clone(), None));
    let socket = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = runtime.block_on(async { away::Listener::new(vec![socket], tls) }).unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });
    address
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: &Server, address: SocketAddr) -> Stream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let name = proa_server::authority::SERVER_NAME.try_into().unwrap();
    StreamOwned::new(ClientConnection::new(server.settings(None), name).unwrap(), stream)
}

/// The status, head and body of an answer.
fn ask(
    server: &Server,
    address: SocketAddr,
    method: &str,
    target: &str,
    token: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = connect(server, address);
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: proa-server\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream.write_all(body.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

#[test]
fn a_token_opens_what_its_role_says_and_nothing_else_opens_anything() {
    let server = server();
    let address = interface(&server);
    let viewer = server.hub.registry.add_operator("vera", Role::Viewer, "test").unwrap();
    let operator = server.hub.registry.add_operator("otto", Role::Operator, "test").unwrap();
    let status = |method: &str, target: &str, token: &str, body: &str| {
        ask(&server, address, method, target, token, body).0
    };

    for token in ["", "proa-", "proa-00", &viewer[..viewer.len() - 1], "vera", &viewer.to_uppercase()] {
        for target in ["/v1/nodes", "/v1/status", "/v1/events/stream", "/v1/operators", "/nothing"] {
            assert_eq!(status("GET", target, token, ""), 401, "{target} with {token}");
        }
        assert_eq!(status("POST", "/v1/overlay", token, OVERLAY), 401);
    }
    for target in
        ["/v1/nodes", "/v1/overlay", "/v1/status", "/v1/events", "/v1/audit", "/v1/dns", "/v1/operators"]
    {
        assert_eq!(status("GET", target, &viewer, ""), 200, "{target}");
    }
    for (target, body) in [
        ("/v1/nodes", r#"{"name":"x"}"#),
        ("/v1/nodes/revoke", r#"{"name":"edge-1"}"#),
        ("/v1/operators", r#"{"name":"x","role":"operator"}"#),
        ("/v1/overlay", OVERLAY),
    ] {
        assert_eq!(status("POST", target, &viewer, body), 403, "{target}");
    }
    assert_eq!(server.hub.registry.definition().unwrap().revision, 1);
    assert_eq!(status("POST", "/v1/nodes", &operator, r#"{"name":"edge-1"}"#), 201);
    assert_eq!(status("GET", "/nothing", &operator, ""), 404);
    assert_eq!(status("DELETE", "/v1/nodes", &operator, ""), 405);
    assert_eq!(status("POST", "/v1/nodes", &operator, r#"{"name":"../x"}"#), 422);
    assert_eq!(status("POST", "/v1/nodes", &operator, "{"), 400);
    assert_eq!(status("POST", "/v1/overlay", &operator, &"x".repeat(5 << 20)), 413);
    let audits = server.hub.registry.audits(100).unwrap();
    assert!(audits.iter().any(|audit| audit.who == "operator otto" && audit.what == "token for node edge-1"));
    // A new token of the same name ends the old one, and removing ends both.
    let again = server.hub.registry.add_operator("vera", Role::Viewer, "test").unwrap();
    assert_eq!([status("GET", "/v1/nodes", &viewer, ""), status("GET", "/v1/nodes", &again, "")], [401, 200]);
    server.hub.registry.remove_operator("vera", "test").unwrap();
    assert_eq!(status("GET", "/v1/nodes", &again, ""), 401);
    assert!(server.hub.registry.remove_operator("vera", "test").is_err());
}

#[test]
fn the_page_needs_no_token_and_nothing_from_elsewhere() {
    let server = server();
    let address = interface(&server);
    for (target, kind) in [("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")] {
        let (status, head, body) = ask(&server, address, "GET", target, "", "");
        assert_eq!(status, 200, "{target}");
        assert!(
            head.contains(&format!("content-type: {kind}")) && head.contains("default-src 'none'"),
            "{head}"
        );
        let named = body.replace("http://www.w3.org/2000/svg", "");
        assert!(!named.contains("http://") && !named.contains("https://"), "{target} asks elsewhere");
        assert!(!body.contains("innerHTML"), "names are operators' input");
    }
}

#[test]
fn the_status_says_what_nodes_have_reported() {
    use overlay::sync::report::{Link, Path, Report};
    let server = server();
    let address = interface(&server);
    let viewer = server.hub.registry.add_operator("vera", Role::Viewer, "test").unwrap();
    server.join(NODES[0]);
    server.hub.connected(NODES[0], address, None);
    let link = |neighbor: &str, up| Link {
        neighbor: neighbor.to_owned(),
        version: 4,
        up,
        rtt_us: Some(8_000),
        loss_ppm: Some(2_500),
    };
    let path = |path, up, passed| Path {
        path,
        set: "paris-frankfurt".to_owned(),
        in_force: true,
        up: Some(up),
        passed,
        ..Path::default()
    };
    let report = Report {
        ready: true,
        links: vec![link("mid-1", true), link("mid-2", false), link("nobody", true)],
        paths: vec![path(1, true, 30), path(2, false, 10), path(4711, true, 1)],
        ..Report::default()
    };
    server.hub.reported(NODES[0], report);
    let (_, _, body) = ask(&server, address, "GET", "/v1/status", &viewer, "");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    let of = |list: &str, key: &str, value: &str| {
        let found = status[list].as_array().unwrap().iter().find(|one| one[key] == value).cloned();
        found.unwrap_or_else(|| panic!("no {value}: {status}"))
    };
    let links = status["links"].as_array().unwrap();
    let between =
        |a: &str, b: &str| links.iter().find(|link| link["between"] == serde_json::json!([a, b])).unwrap();
    assert_eq!(
        (&between("paris", "london")["up"], &between("paris", "london")["loss_ppm"]),
        (&1.into(), &2_500.into())
    );
    assert_eq!(
        (&between("paris", "madrid")["up"], &between("paris", "madrid")["down"]),
        (&0.into(), &1.into())
    );
    assert!(between("madrid", "frankfurt")["rtt_us"].is_null(), "nobody has measured it");
    let paths = &of("path_sets", "name", "paris-frankfurt")["paths"];
    assert_eq!([&paths[0]["up"], &paths[1]["up"]], [&serde_json::json!(true), &serde_json::json!(false)]);
    assert_eq!(paths[0]["won"], 30);
    assert_eq!(of("nodes", "name", NODES[0])["state"], "ready");
    assert_eq!(of("nodes", "name", NODES[1])["state"], "unknown", "it has never been added");
}

#[test]
fn events_come_as_they_happen_and_go_on_where_they_were_left() {
    let server = server();
    let address = interface(&server);
    let viewer = server.hub.registry.add_operator("vera", Role::Viewer, "test").unwrap();
    for number in 1..=3 {
        server.hub.note("n", format!("event {number}"));
    }
    let open = |last: &str| {
        let mut stream = connect(&server, address);
        let head = format!(
            "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {viewer}\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let until = |stream: &mut Stream, what: &str| {
        let mut text = String::new();
        let mut bytes = [0; 4096];
        while !text.contains(what) {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "{text}");
            text += core::str::from_utf8(&bytes[..count]).unwrap();
        }
        text
    };
    let mut stream = open("Last-Event-ID: 1\r\n");
    let text = until(&mut stream, "event 3");
    assert!(text.contains("id: 2") && !text.contains("event 1"), "{text}");
    server.hub.note("n", "event 4".to_owned());
    assert!(until(&mut stream, "event 4").contains("id: 4"));
    // What a client remembers of a server's earlier life is no number of this one.
    assert!(until(&mut open("Last-Event-ID: 4711\r\n"), "event 4").contains("event 1"));
}

#[test]
fn who_is_slow_or_speaks_no_tls_keeps_nobody_out() {
    let server = server();
    let address = interface(&server);
    let viewer = server.hub.registry.add_operator("vera", Role::Viewer, "test").unwrap();
    let mut idle = Vec::new();
    for number in 0..60 {
        match number % 3 {
            // Never begins, begins with other words, and begins a request that never ends.
            0 => idle.push((TcpStream::connect(address).unwrap(), None)),
            1 => {
                let mut stream = TcpStream::connect(address).unwrap();
                drop(stream.write_all(b"GET / HTTP/1.1\r\n"));
                idle.push((stream, None));
            }
            _ => {
                let mut stream = connect(&server, address);
                drop(stream.write_all(b"POST /v1/overlay HTTP/1.1\r\nContent-Length: 100\r\n"));
                drop(stream.flush());
                idle.push((TcpStream::connect(address).unwrap(), Some(stream)));
            }
        }
    }
    let begun = Instant::now();
    assert_eq!(ask(&server, address, "GET", "/v1/nodes", &viewer, "").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
