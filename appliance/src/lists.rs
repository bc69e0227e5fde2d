//! Lists that operators have asked for: gathered worker by worker, page by page.

use std::collections::BTreeMap;

use conf::Config;
use ctl::{End, Family, Filter, Flow, ListRequest, Response, Session, Stream, StreamPath};
use overlay::elimination::StreamView;
use overlay::protocol::Protocol;
use pipelines::Tables;

use crate::exchange::{Exchange, Order};
use crate::listing::{Page, Query, Table};
use crate::sums::Sums;

/// Lists at once.
const LISTS_MAX: usize = 8;
/// Entries that wait to be written to a client before more is asked of the workers.
const WAITING_MAX: usize = 1024;

struct List {
    table: Table,
    filter: Filter,
    left: u64,
    shown: u64,
    worker: usize,
    cursor: u32,
    /// A page is with the worker.
    asked: bool,
    ready: Vec<Response>,
    /// Entries that are told together at the end.
    sums: Sums,
    ended: bool,
}

/// The lists under way.
pub struct Lists {
    lists: BTreeMap<u64, List>,
    workers: usize,
}

impl Lists {
    /// No lists, of a node with so many workers.
    pub fn new(workers: usize) -> Lists {
        Lists { lists: BTreeMap::new(), workers }
    }

    /// Starts a list for the client of number `request`.
    ///
    /// # Errors
    /// A sentence when too many are under way.
    pub fn start(&mut self, request: u64, table: Table, wanted: ListRequest) -> Result<(), String> {
        if self.lists.len() >= LISTS_MAX {
            return Err(format!("{LISTS_MAX} lists are under way already; try again"));
        }
        let ListRequest { filter, limit } = wanted;
        let list = List {
            table,
            filter,
            left: limit,
            shown: 0,
            worker: 0,
            cursor: 0,
            asked: false,
            ready: Vec::new(),
            sums: Sums::new(limit),
            ended: false,
        };
        self.lists.insert(request, list);
        Ok(())
    }

    /// Asks the workers for the next pages.
    pub fn ask<B>(&mut self, exchange: &Exchange<B>) {
        for (request, list) in &mut self.lists {
            if list.asked || list.ended || list.ready.len() >= WAITING_MAX {
                continue;
            }
            let page = Page::new(list.table, *request, list.worker as u16);
            let query = Query { cursor: list.cursor, page };
            list.asked = exchange.order(list.worker, Order::List(query)).is_ok();
        }
    }

    /// Takes a worker's page.
    pub fn take(&mut self, page: &Page, config: &Config, tables: &Tables) {
        let workers = self.workers;
        let Some(list) = self.lists.get_mut(&page.request) else { return };
        list.asked = false;
        let entries: Vec<Response> = match page.table {
            Table::Flows => {
                page.flows.iter().filter_map(|flow| show_flow(page, flow, config, tables)).collect()
            }
            Table::Streams => {
                page.streams.iter().map(|view| show_stream(page, view, config, tables)).collect()
            }
            Table::Pool => {
                page.pool.iter().for_each(|used| list.sums.add_pool(used));
                Vec::new()
            }
            Table::Clients => {
                let asked = list.filter.address;
                let wanted =
                    |client: &&nat::ClientUse| asked.is_none_or(|asked| client.client.to_ip() == asked);
                page.clients.iter().filter(wanted).for_each(|client| list.sums.add_client(client));
                Vec::new()
            }
            Table::Sessions => {
                page.sessions.iter().filter_map(|session| show_session(page, session)).collect()
            }
        };
        for entry in entries {
            if !matches(&list.filter, &entry) {
                continue;
            }
            if list.left == 0 {
                return list.end(true);
            }
            list.left -= 1;
            list.shown += 1;
            list.ready.push(entry);
        }
        match page.next {
            Some(next) => list.cursor = next,
            None => {
                list.worker += 1;
                list.cursor = 0;
            }
        }
        if list.worker >= workers {
            let (entries, more) = list.sums.take();
            list.shown += entries.len() as u64;
            list.ready.extend(entries);
            list.end(more);
        }
    }

    /// What is ready for a client, and whether that is all.
    pub fn ready(&mut self, request: u64) -> Option<(Vec<Response>, bool)> {
        let list = self.lists.get_mut(&request)?;
        let (ready, ended) = (core::mem::take(&mut list.ready), list.ended);
        if ended {
            self.lists.remove(&request);
        }
        Some((ready, ended))
    }

    /// Forgets a list whose client has gone.
    pub fn forget(&mut self, request: u64) {
        self.lists.remove(&request);
    }
}

impl List {
    fn end(&mut self, more: bool) {
        self.ended = true;
        self.ready.push(Response::End(End { shown: self.shown, more }));
    }
}

fn matches(filter: &Filter, entry: &Response) -> bool {
    match entry {
        Response::Flow(flow) => {
            filter.matches(&[flow.client, flow.vip], &[flow.client_port, flow.vip_port], flow.protocol)
        }
        Response::Session(session) => filter.matches(
            &[session.client, session.vip, session.external, session.origin],
            &[session.client_port, session.vip_port, session.external_port, session.origin_port],
            session.protocol,
        ),
        Response::Stream(_) => true,
        _ => false,
    }
}

fn show_flow(
    page: &Page,
    flow: &pipelines::flow::Flow,
    config: &Config,
    tables: &Tables,
) -> Option<Response> {
    let key = flow.key;
    let protocol = Family::of(key.protocol())?;
    let flight = tables.flights.get(flow.flight as usize).filter(|_| flow.epoch == tables.epoch);
    let gateway = flight.and_then(|flight| config.topology.node(flight.destination));
    let application = tables
        .service_of(key.vip, key.protocol())
        .and_then(|service| {
            tables.application_of(service, if protocol == Family::Icmp { 0 } else { key.vip_port() })
        })
        .and_then(|application| config.topology.applications.get(application as usize));
    Some(Response::Flow(Flow {
        worker: page.worker,
        protocol,
        client: key.client.to_ip(),
        client_port: key.client_port(),
        vip: key.vip.to_ip(),
        vip_port: if protocol == Family::Icmp { 0 } else { key.vip_port() },
        application: application.map_or_else(String::new, |application| application.name.clone()),
        gateway: gateway.map_or_else(String::new, |node| node.name.clone()),
        routing: flight
            .and_then(|flight| Protocol::of(flight.protocol))
            .map_or_else(String::new, |protocol| protocol.name().to_owned()),
        stream: overlay::wire::stream_id(
            page.worker as u8,
            overlay::pick::bucket(key.client, tables.streams),
        ),
        packets: flow.packets.into(),
        idle_seconds: page.now_s.saturating_sub(flow.seen_s),
    }))
}

fn show_session(page: &Page, session: &nat::SessionView) -> Option<Response> {
    Some(Response::Session(Session {
        worker: page.worker,
        protocol: Family::of(session.protocol)?,
        client: session.key.client.to_ip(),
        client_port: session.key.port,
        vip: session.vip.to_ip(),
        vip_port: session.vip_port,
        external: session.external.to_ip(),
        external_port: session.external_port,
        origin: session.origin.to_ip(),
        origin_port: session.origin_port,
        state: session.state.name().to_owned(),
        seconds_left: session.seconds_left(nat::Seconds(page.now_s)),
    }))
}

fn show_stream(page: &Page, view: &StreamView, config: &Config, tables: &Tables) -> Response {
    let source = config.topology.node(view.key.source);
    let path = |(slot, counts, silent): (u16, overlay::elimination::PathCounts, bool)| StreamPath {
        path: tables.registry.paths.get(slot as usize).map_or(0, |path| path.0),
        passed: counts.passed,
        discarded: counts.discarded,
        out_of_order: counts.out_of_order,
        rogue: counts.rogue,
        silent,
    };
    Response::Stream(Stream {
        worker: page.worker,
        source: source.map_or_else(|| view.key.source.0.to_string(), |node| node.name.clone()),
        sending_worker: overlay::wire::worker(view.key.stream),
        bucket: overlay::wire::bucket(view.key.stream),
        sealed: view.key.sealed,
        window: config.local.limits.window_packets,
        highest: view.highest,
        passed: view.counts.passed,
        discarded: view.counts.discarded,
        out_of_order: view.counts.out_of_order,
        rogue: view.counts.rogue,
        lost: view.counts.lost,
        resets: view.resets,
        latent: view.latent,
        paths: view.paths.iter().flatten().copied().map(path).collect(),
    })
}
