//! The command line of `proa-server`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The control server of a Proa overlay.
#[derive(Debug, Parser)]
#[command(name = "proa-server", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes the data directory and a certificate authority in it, once.
    Init {
        /// The server's file.
        config: PathBuf,
    },
    /// Runs the server until it is told to stop.
    Run {
        /// The server's file.
        config: PathBuf,
    },
    /// Nodes, while the server does not run; else `proactl node`.
    #[command(subcommand)]
    Node(NodeCommand),
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

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Ends a node's membership: its certificate counts no more, and the others are told to take no packets of it.
    Revoke {
        /// The node's name.
        name: String,
        /// The server's file.
        config: PathBuf,
    },
    /// Lets a node join: prints a token that is good once and for a day.
    Add {
        /// The node's name.
        name: String,
        /// The server's file.
        config: PathBuf,
    },
}
