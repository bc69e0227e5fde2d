//! The HTTP interface for operators: JSON over a Unix socket of mode 0600, where the kernel says who may ask.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, State, connect_info};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response, Sse, sse};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::dns::Dns;
use crate::hub::Hub;
use crate::operators::Role;
use crate::registry::Error;

/// Largest definition, bytes: as much as any configuration file may have.
const BODY_BYTES_MAX: usize = conf::FILE_BYTES_MAX as usize;
/// Audit records that are shown.
const AUDITS_SHOWN: usize = 1000;

/// Who asks, as the kernel says.
#[derive(Clone, Debug)]
pub struct Operator(pub String);

impl connect_info::Connected<IncomingStream<'_, UnixListener>> for Operator {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Operator {
        let uid = stream.io().peer_cred().map(|peer| peer.uid());
        Operator(uid.map_or_else(|_| "unknown".to_owned(), |uid| format!("uid {uid}")))
    }
}

/// What went wrong, for whoever asked.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) error: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Error::Invalid(_) | Error::NoName(_) | Error::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Moved { .. } | Error::Contended => StatusCode::CONFLICT,
            Error::NoNode(_) | Error::NoOperator(_) => StatusCode::NOT_FOUND,
            Error::Token | Error::Key | Error::SharedKey(_) => StatusCode::FORBIDDEN,
            Error::Store(_) | Error::Authority(_) | Error::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(Problem { error: self.to_string() })).into_response()
    }
}

/// Every address that is answered.
pub fn router(hub: Arc<Hub>, dns: Option<Arc<Dns>>) -> Router {
    Router::new()
        .route("/v1/nodes", get(nodes).post(add_node))
        .route("/v1/nodes/revoke", post(revoke_node))
        .route("/v1/overlay", get(overlay).post(apply))
        .route("/v1/events", get(events))
        .route("/v1/events/stream", get(stream))
        .route("/v1/audit", get(audit))
        .route("/v1/status", get(status))
        .route("/v1/operators", get(operators).post(add_operator))
        .route("/v1/operators/remove", post(remove_operator))
        .route("/v1/dns", get(move || names(dns.clone())))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(hub)
}

type Shared = State<Arc<Hub>>;

async fn nodes(State(hub): Shared) -> Result<Response, Error> {
    let nodes = tokio::task::block_in_place(|| hub.nodes())?;
    Ok(Json(serde_json::json!({ "nodes": nodes })).into_response())
}

/// A node's name.
#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn add_node(
    State(hub): Shared,
    ConnectInfo(who): ConnectInfo<Operator>,
    Json(new): Json<Named>,
) -> Result<Response, Error> {
    let token = tokio::task::block_in_place(|| hub.registry.add_node(&new.name, &who.0))?;
    hub.note(&new.name, "may join with a new token".to_owned());
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "token": token.to_string() }))).into_response())
}

async fn revoke_node(
    State(hub): Shared,
    ConnectInfo(who): ConnectInfo<Operator>,
    Json(Named { name }): Json<Named>,
) -> Result<Response, Error> {
    tokio::task::block_in_place(|| hub.registry.revoke(&name, &who.0))?;
    hub.note(&name, "is revoked: nobody takes its packets".to_owned());
    hub.supersede(&name);
    hub.overlay_changed();
    Ok(Json(serde_json::json!({ "revoked": name })).into_response())
}

async fn overlay(State(hub): Shared) -> Result<Response, Error> {
    Ok(Json(tokio::task::block_in_place(|| hub.registry.definition())?).into_response())
}

#[derive(Deserialize)]
struct Applying {
    /// The revision that the change was looked at against; without it nothing is changed, and the difference told.
    base: Option<u64>,
}

async fn apply(
    State(hub): Shared,
    ConnectInfo(who): ConnectInfo<Operator>,
    Query(applying): Query<Applying>,
    text: String,
) -> Result<Response, Error> {
    let change = tokio::task::block_in_place(|| match applying.base {
        None => hub.registry.plan(&text),
        Some(base) => hub.registry.apply(&text, base, &who.0),
    })?;
    if change.revision > change.base {
        hub.note("", format!("the overlay is of revision {}", change.revision));
        hub.overlay_changed();
    }
    Ok(Json(change).into_response())
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn events(State(hub): Shared, Query(wanted): Query<After>) -> Response {
    let newest = *hub.noted().borrow();
    Json(serde_json::json!({ "events": hub.events(wanted.after), "newest": newest })).into_response()
}

/// Events as they happen (Server-Sent Events), from those after `Last-Event-ID` on, or after `after`. Who takes none is not waited for: what is
/// not remembered any more is missing then.
async fn stream(State(hub): Shared, headers: HeaderMap, Query(wanted): Query<After>) -> Response {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let start = (hub.clone(), hub.noted(), last.unwrap_or(wanted.after), VecDeque::new());
    let events = futures_util::stream::unfold(start, |(hub, mut noted, mut after, mut waiting)| async move {
        loop {
            if let Some(event) = waiting.pop_front() {
                let event: crate::hub::Event = event;
                after = event.number;
                let data = serde_json::to_string(&event).unwrap_or_default();
                let told = sse::Event::default().id(after.to_string()).data(data);
                return Some((Ok::<_, Infallible>(told), (hub, noted, after, waiting)));
            }
            // A server that has started anew counts from the beginning.
            if *noted.borrow_and_update() < after {
                after = 0;
            }
            waiting.extend(hub.events(after));
            if waiting.is_empty() {
                noted.changed().await.ok()?;
            }
        }
    });
    Sse::new(events).keep_alive(sse::KeepAlive::default()).into_response()
}

async fn status(State(hub): Shared) -> Result<Response, Error> {
    Ok(Json(tokio::task::block_in_place(|| crate::status::status(&hub))?).into_response())
}

async fn operators(State(hub): Shared) -> Result<Response, Error> {
    let operators = tokio::task::block_in_place(|| hub.registry.operators())?;
    Ok(Json(serde_json::json!({ "operators": operators })).into_response())
}

#[derive(Deserialize)]
struct NewOperator {
    name: String,
    role: Role,
}

async fn add_operator(
    State(hub): Shared,
    ConnectInfo(who): ConnectInfo<Operator>,
    Json(new): Json<NewOperator>,
) -> Result<Response, Error> {
    let token = tokio::task::block_in_place(|| hub.registry.add_operator(&new.name, new.role, &who.0))?;
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "token": token }))).into_response())
}

async fn remove_operator(
    State(hub): Shared,
    ConnectInfo(who): ConnectInfo<Operator>,
    Json(Named { name }): Json<Named>,
) -> Result<Response, Error> {
    tokio::task::block_in_place(|| hub.registry.remove_operator(&name, &who.0))?;
    Ok(Json(serde_json::json!({ "removed": name })).into_response())
}

/// What the DNS answers; nothing where there is none.
async fn names(dns: Option<Arc<Dns>>) -> Response {
    Json(serde_json::json!({ "dns": dns.map(|dns| dns.shown()) })).into_response()
}

async fn audit(State(hub): Shared) -> Result<Response, Error> {
    let audits = tokio::task::block_in_place(|| hub.registry.audits(AUDITS_SHOWN))?;
    Ok(Json(serde_json::json!({ "audit": audits })).into_response())
}
