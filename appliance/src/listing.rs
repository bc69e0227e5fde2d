//! Lists of flows and sessions, taken from a worker's tables in small pieces at its batch borders.
//!
//! The control thread sends a [`Query`] with an empty [`Page`]; the worker looks at so many places of its table,
//! copies the entries it finds into the page and hands it back. It allocates nothing and looks at no filter.

use nat::{ClientUse, PoolUse, SessionView};
use overlay::elimination::StreamView;
use packet::BufPool;
use pipelines::Forwarder;
use pipelines::flow::Flow;

/// Places of a table that a worker looks at per batch border.
pub const PLACES: usize = 256;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The edge's flows.
    Flows,
    /// The gateway's sessions.
    Sessions,
    /// The streams that are received.
    Streams,
    /// The gateway's addresses, with how many of their ports are used.
    Pool,
    /// The gateway's clients.
    Clients,
}

/// A piece of a table that is asked for.
#[derive(Debug)]
pub struct Query {
    /// Where to start.
    pub cursor: u32,
    /// What to fill, with room for [`PLACES`] entries.
    pub page: Box<Page>,
}

/// A piece of a table.
#[derive(Debug)]
pub struct Page {
    /// Which table.
    pub table: Table,
    /// Whose request this answers.
    pub request: u64,
    /// The worker.
    pub worker: u16,
    /// Where to go on; `None` at the end of the table.
    pub next: Option<u32>,
    /// Flows found.
    pub flows: Vec<Flow>,
    /// Sessions found.
    pub sessions: Vec<SessionView>,
    /// Streams found.
    pub streams: Vec<StreamView>,
    /// Addresses of the pool, with each protocol.
    pub pool: Vec<PoolUse>,
    /// Clients found.
    pub clients: Vec<ClientUse>,
    /// The worker's clock when it filled the page, s.
    pub now_s: u32,
}

impl Page {
    /// An empty page with room for what a worker finds.
    /// Boxed: it goes to a worker and back, and neither may copy or free it there.
    pub fn new(table: Table, request: u64, worker: u16) -> Box<Page> {
        let room = |wanted| if table == wanted { PLACES } else { 0 };
        Box::new(Page {
            table,
            request,
            worker,
            next: None,
            flows: Vec::with_capacity(room(Table::Flows)),
            sessions: Vec::with_capacity(room(Table::Sessions)),
            streams: Vec::with_capacity(room(Table::Streams)),
            pool: Vec::with_capacity(room(Table::Pool)),
            clients: Vec::with_capacity(room(Table::Clients)),
            now_s: 0,
        })
    }
}

/// Fills a page from a worker's tables.
pub fn fill<P: BufPool>(query: Query, forwarder: &Forwarder<P>, now_ns: u64) -> Box<Page> {
    let Query { cursor, mut page } = query;
    page.now_s = (now_ns / 1_000_000_000) as u32;
    page.next = match page.table {
        Table::Flows => forwarder.flows().list(cursor, PLACES, |flow| page.flows.push(*flow)),
        Table::Sessions => {
            let nat = forwarder.nat();
            nat.and_then(|nat| nat.list_all(cursor, PLACES, |session| page.sessions.push(session)))
        }
        Table::Pool => {
            let list = |nat: &nat::Nat| nat.list_pool(cursor as usize, PLACES, |used| page.pool.push(used));
            forwarder.nat().and_then(list).map(|next| next as u32)
        }
        Table::Clients => {
            let list = |nat: &nat::Nat| {
                nat.list_clients(cursor as usize, PLACES, |client| page.clients.push(client))
            };
            forwarder.nat().and_then(list).map(|next| next as u32)
        }
        Table::Streams => {
            let elimination = forwarder.elimination();
            page.streams.extend(elimination.list(cursor as usize).take(PLACES));
            let next = cursor as usize + PLACES;
            (next < elimination.len()).then_some(next as u32)
        }
    };
    page
}
