//! The command line of `proa`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use packet::{Addr, Mac};

/// A packet appliance: carries packets over node-disjoint paths, and delivers the first copy of each.
#[derive(Debug, Parser)]
#[command(name = "proa", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a node until SIGTERM; SIGHUP has it read its configuration again.
    Run {
        /// The node file.
        config: PathBuf,
    },
    /// Tells everything that is wrong with a configuration, or sums it up.
    Check {
        /// The node file.
        config: PathBuf,
        /// Also looks at this machine: hugepages, NUMA, IOMMU, devices, MTU.
        #[arg(long)]
        host: bool,
    },
    /// Takes a capture through the node's pipelines, without devices and without root.
    Replay {
        /// The node file.
        config: PathBuf,
        /// What the node receives: pcap or pcapng.
        input: PathBuf,
        /// What it sends: pcapng if the name ends so, else pcap.
        output: PathBuf,
        /// The port by which all frames come in; otherwise the interface's name or number tells it.
        #[arg(long, value_name = "NAME")]
        port: Option<String>,
        /// A port's Ethernet address; otherwise that of the first frame it gets.
        #[arg(long, value_name = "PORT=MAC", value_parser = port_mac)]
        mac: Vec<(String, Mac)>,
        /// A neighbour's Ethernet address; otherwise one made of its IP address.
        #[arg(long, value_name = "ADDRESS=MAC", value_parser = neighbor)]
        neighbor: Vec<(Addr, Mac)>,
    },
    /// Makes this machine a node of the overlay, with a token of `proactl node add`. Its keys never leave it.
    Join {
        /// The node file, which names a [server].
        config: PathBuf,
        /// The token; without it, the first line of standard input, where no other user sees it.
        token: Option<String>,
    },
    /// Makes and shows the keys by which nodes know each other.
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Prints the versions of proa and DPDK.
    Version,
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

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Makes a private key, readable by its owner only, and prints the public one for the topology file.
    Generate {
        /// Where to write it; an existing file is never overwritten.
        #[arg(long, value_name = "FILE", default_value = "proa.key")]
        out: PathBuf,
    },
    /// Prints the public key of a private one.
    Show {
        /// The key file.
        file: PathBuf,
    },
}

fn port_mac(text: &str) -> Result<(String, Mac), String> {
    let (port, mac) = text.split_once('=').ok_or("PORT=MAC is expected")?;
    Ok((port.to_owned(), parse_mac(mac)?))
}

fn neighbor(text: &str) -> Result<(Addr, Mac), String> {
    let (address, mac) = text.split_once('=').ok_or("ADDRESS=MAC is expected")?;
    let address: IpAddr = address.parse().map_err(|_| format!("{address} is no IP address"))?;
    Ok((address.into(), parse_mac(mac)?))
}

fn parse_mac(text: &str) -> Result<Mac, String> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2);
        let parsed = part.and_then(|part| u8::from_str_radix(part, 16).ok());
        *byte = parsed.ok_or_else(|| format!("{text} is no Ethernet address as 02:00:00:00:00:01"))?;
    }
    let mac = Mac(bytes);
    if parts.next().is_some() || mac.is_group() {
        return Err(format!("{text} is no station's Ethernet address"));
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn ethernet_addresses_are_checked() {
        assert_eq!(parse_mac("02:00:0a:ff:00:01"), Ok(Mac([2, 0, 10, 255, 0, 1])));
        for wrong in
            ["", "02:00", "02:00:0a:ff:00:01:02", "03:00:00:00:00:01", "2:0:a:f:0:1", "zz:00:00:00:00:01"]
        {
            assert!(parse_mac(wrong).is_err(), "{wrong}");
        }
        assert_eq!(neighbor("192.0.2.1=02:00:00:00:00:01").unwrap().0.to_string(), "192.0.2.1");
        assert!(neighbor("192.0.2=02:00:00:00:00:01").is_err() && port_mac("wan").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_man_pages_are_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), directory.path()).unwrap();
        let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
        for page in std::fs::read_dir(directory.path()).unwrap() {
            let page = page.unwrap();
            let same = std::fs::read(kept.join(page.file_name())).ok() == std::fs::read(page.path()).ok();
            assert!(same, "{:?} is old: `proa man packaging/man` renews it", page.file_name());
        }
    }
}
