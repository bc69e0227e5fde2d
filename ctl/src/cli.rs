//! The command line of `proactl`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::protocol::{Family, Filter, ListRequest, Request, TraceRequest};

/// Asks a running proa how it is and what it does.
#[derive(Debug, Parser)]
#[command(name = "proactl", version, max_term_width = 100)]
pub struct Cli {
    /// Socket of the daemon; without it, the only socket in /run/proa.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Socket of the control server; without it, /run/proa-server/server.sock.
    #[arg(long, global = true, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Prints JSON.
    #[arg(short, long, global = true)]
    pub json: bool,
    /// What is asked.
    #[command(subcommand)]
    pub noun: Noun,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// How the node is: ports, workers, capacities, neighbours.
    Status,
    /// Paths of the overlay.
    #[command(subcommand)]
    Path(PathVerb),
    /// Links between nodes.
    #[command(subcommand)]
    Link(LinkVerb),
    /// Clients' flows at an edge.
    #[command(subcommand)]
    Flow(ListVerb),
    /// What a gateway translates: sessions, addresses, clients.
    #[command(subcommand)]
    Nat(NatVerb),
    /// Gateways that stand in for each other.
    #[command(subcommand)]
    Gateway(GatewayVerb),
    /// Streams that the node receives.
    #[command(subcommand)]
    Stream(StreamVerb),
    /// Dropped packets.
    #[command(subcommand)]
    Drops(DropsVerb),
    /// Keys that the node shares with others.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Nodes of the overlay, as the control server knows them.
    #[command(subcommand)]
    Node(NodeVerb),
    /// The overlay's definition, as the control server keeps it.
    #[command(subcommand)]
    Overlay(OverlayVerb),
    /// What happened at the control server.
    #[command(subcommand)]
    Event(EventVerb),
    /// Operators who are away from the control server's machine.
    #[command(subcommand)]
    Operator(OperatorVerb),
    /// What the control server's DNS answers.
    #[command(subcommand)]
    Dns(DnsVerb),
    /// What a new definition of the overlay would change; nothing is changed.
    Plan {
        /// The definition, a topology file.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Gives the overlay a new definition, after showing what changes.
    Apply {
        /// The definition, a topology file.
        #[arg(short, long)]
        file: PathBuf,
        /// Does not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Prints a completion script for a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        directory: PathBuf,
    },
}

/// What to do with the overlay's nodes.
#[derive(Debug, Subcommand)]
pub enum NodeVerb {
    /// Each node's state, revision, links and alarms.
    Show,
    /// Lets a node join: prints a token for `proa join`, good once and for a day.
    Add {
        /// The node's name.
        name: String,
    },
    /// Ends a node's membership at once: the others take none of its packets any more. It comes back by joining again.
    Revoke {
        /// The node's name.
        name: String,
    },
}

/// What to do with the overlay's definition.
#[derive(Debug, Subcommand)]
pub enum OverlayVerb {
    /// Prints it, as it was applied.
    Show,
    /// Regions' links, paths with what they lose and how often they win, and gateways' pools, as nodes report them.
    Status,
}

/// What to do with operators.
#[derive(Debug, Subcommand)]
pub enum OperatorVerb {
    /// Prints a token for the web page and the interface over TLS; it is shown this once.
    Add {
        /// The operator's name; one of this name has no other token any more.
        name: String,
        /// What the token opens.
        #[arg(long, value_enum, default_value_t = Role::Viewer)]
        role: Role,
    },
    /// Who has a token, and in which role.
    Show,
    /// Ends a token.
    Remove {
        /// The operator's name.
        name: String,
    },
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and change.
    Operator,
}

/// What to do with the DNS.
#[derive(Debug, Subcommand)]
pub enum DnsVerb {
    /// Hostnames, the virtual IPs that clients get for them, and why others are left out.
    Show,
}

/// What to do with events.
#[derive(Debug, Subcommand)]
pub enum EventVerb {
    /// Nodes that came and went, links and paths that died, alarms.
    Show {
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Who changed what.
    Audit,
}

/// What to do with paths.
#[derive(Debug, Subcommand)]
pub enum PathVerb {
    /// What each path sent, received, passed and eliminated, and how often it won.
    Show,
    /// What hop records of an application's packets tell: which copy won and by how much, and where the time went.
    Trace {
        /// The application's name.
        application: String,
        /// Packets to show one by one, the newest.
        #[arg(short = 'n', long, default_value_t = 3)]
        packets: usize,
    },
}

/// What to do with links.
#[derive(Debug, Subcommand)]
pub enum LinkVerb {
    /// The links to neighbouring nodes: state, round-trip time, loss each way, MTU.
    Show {
        /// What all nodes say of their links instead, as far as it has come here.
        #[arg(long)]
        all: bool,
    },
}

/// What to do with drops.
#[derive(Debug, Subcommand)]
pub enum DropsVerb {
    /// Packets dropped, by reason.
    Show {
        /// Also reasons that never occurred.
        #[arg(long)]
        all: bool,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// The node's key, and how it stands with each of its peers. Never a private key.
    Show,
    /// Makes a new key now, without losing a packet; twice a minute at most.
    Rotate,
}

/// What to do with gateways that stand in for each other.
#[derive(Debug, Subcommand)]
pub enum GatewayVerb {
    /// Who holds which pool of addresses, as far as this node has heard, and what is known of bindings.
    Show,
    /// Hands this gateway's pools over to the other one, with all connections, and takes none until it resumes.
    Drain,
    /// Takes part again, and takes this gateway's own pool back, with all connections.
    Resume,
}

/// What to do with streams.
#[derive(Debug, Subcommand)]
pub enum StreamVerb {
    /// What of each passed, was eliminated, came too late or not at all, and what each path contributed.
    Show {
        /// Entries at most.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
}

/// What to do with a long list.
#[derive(Debug, Subcommand)]
pub enum ListVerb {
    /// Entries that match.
    Show(List),
}

/// What to do with translation.
#[derive(Debug, Subcommand)]
pub enum NatVerb {
    /// Sessions that match.
    #[command(visible_alias = "session")]
    Show(List),
    /// The addresses that clients are translated to, and how many of their ports are used.
    Pool {
        /// Entries at most.
        #[arg(long, default_value_t = 1000)]
        limit: u64,
    },
    /// IPv6 prefixes that clients are translated by, without sessions.
    Prefix {
        /// Only those that this address is inside or outside of, and what it is on the other side.
        address: Option<std::net::IpAddr>,
    },
    /// Clients, those with the most sessions first.
    Client {
        /// Only this one.
        address: Option<std::net::IpAddr>,
        /// Entries at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=100_000))]
        limit: u64,
    },
}

/// Which entries.
#[derive(Debug, Args)]
pub struct List {
    /// Words that all must match: an address, a port, or tcp, udp, icmp.
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Entries at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
}

impl Noun {
    /// The request to send; `None` for what is answered without the daemon.
    ///
    /// # Errors
    /// A sentence about a word of a filter that is none.
    pub fn request(&self) -> Result<Option<Request>, String> {
        Ok(Some(match self {
            Noun::Status => Request::Status,
            Noun::Path(PathVerb::Show) => Request::Paths,
            Noun::Path(PathVerb::Trace { application, packets }) => {
                Request::Traces(TraceRequest { application: application.clone(), packets: *packets })
            }
            Noun::Link(LinkVerb::Show { .. }) => Request::Links,
            Noun::Flow(ListVerb::Show(list)) => Request::Flows(list.request()?),
            Noun::Nat(NatVerb::Show(list)) => Request::Sessions(list.request()?),
            Noun::Nat(NatVerb::Pool { limit }) => {
                Request::Pool(ListRequest { filter: Filter::default(), limit: *limit })
            }
            Noun::Nat(NatVerb::Prefix { address }) => Request::Prefixes { address: *address },
            Noun::Nat(NatVerb::Client { address, limit }) => {
                let filter = Filter { address: *address, ..Filter::default() };
                Request::Clients(ListRequest { filter, limit: *limit })
            }
            Noun::Stream(StreamVerb::Show { limit }) => {
                Request::Streams(ListRequest { filter: Filter::default(), limit: *limit })
            }
            Noun::Drops(DropsVerb::Show { .. }) => Request::Drops,
            Noun::Gateway(GatewayVerb::Show) => Request::Gateways,
            Noun::Gateway(GatewayVerb::Drain) => Request::DrainGateway,
            Noun::Gateway(GatewayVerb::Resume) => Request::ResumeGateway,
            Noun::Key(KeyVerb::Show) => Request::Keys,
            Noun::Key(KeyVerb::Rotate) => Request::RotateKey,
            Noun::Completions { .. } | Noun::Man { .. } => return Ok(None),
            Noun::Node(_)
            | Noun::Overlay(_)
            | Noun::Event(_)
            | Noun::Dns(_)
            | Noun::Operator(_)
            | Noun::Plan { .. }
            | Noun::Apply { .. } => return Ok(None),
        }))
    }
}

impl Noun {
    /// Whether the control server is asked, and no node.
    pub fn is_for_the_server(&self) -> bool {
        matches!(
            self,
            Noun::Node(_)
                | Noun::Overlay(_)
                | Noun::Event(_)
                | Noun::Dns(_)
                | Noun::Operator(_)
                | Noun::Plan { .. }
                | Noun::Apply { .. }
        )
    }

    /// Whether everything is to be shown.
    pub fn wants_all(&self) -> bool {
        matches!(self, Noun::Drops(DropsVerb::Show { all: true }) | Noun::Link(LinkVerb::Show { all: true }))
    }
}

impl List {
    fn request(&self) -> Result<ListRequest, String> {
        let mut filter = Filter::default();
        for word in &self.filter {
            let taken = match word.as_str() {
                "tcp" => filter.protocol.replace(Family::Tcp).is_some(),
                "udp" => filter.protocol.replace(Family::Udp).is_some(),
                "icmp" => filter.protocol.replace(Family::Icmp).is_some(),
                "udplite" => filter.protocol.replace(Family::UdpLite).is_some(),
                "sctp" => filter.protocol.replace(Family::Sctp).is_some(),
                "gre" => filter.protocol.replace(Family::Gre).is_some(),
                "other" => filter.protocol.replace(Family::Other).is_some(),
                _ => match (word.parse(), word.parse()) {
                    (Ok(port), _) => filter.port.replace(port).is_some(),
                    (_, Ok(address)) => filter.address.replace(address).is_some(),
                    _ => return Err(format!("'{word}' is no address, no port, and none of tcp, udp, icmp")),
                },
            };
            if taken {
                return Err(format!("'{word}' is the second of its kind; an entry can not match both"));
            }
        }
        Ok(ListRequest { filter, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn filters_are_words_in_any_order() {
        let parse = |words: &[&str]| {
            let list = List { filter: words.iter().map(|word| word.to_string()).collect(), limit: 1 };
            list.request().map(|request| request.filter)
        };
        let filter = parse(&["443", "tcp", "2001:db8::1"]).unwrap();
        assert_eq!((filter.port, filter.protocol), (Some(443), Some(Family::Tcp)));
        assert_eq!(filter.address, Some("2001:db8::1".parse().unwrap()));
        assert!(parse(&["nonsense"]).is_err() && parse(&["70000"]).is_err() && parse(&["1", "2"]).is_err());
    }

    #[test]
    fn the_man_pages_are_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), directory.path()).unwrap();
        let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
        for page in std::fs::read_dir(directory.path()).unwrap() {
            let page = page.unwrap();
            let same = std::fs::read(kept.join(page.file_name())).ok() == std::fs::read(page.path()).ok();
            assert!(same, "{:?} is old: `proactl man packaging/man` renews it", page.file_name());
        }
    }
}
