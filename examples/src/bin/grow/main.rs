//! How stacks grow: what an idle connection, an idle stack and a segment among many connections cost.

mod connections;
mod memory;
mod stacks;

use clap::{Parser, Subcommand};

/// Measures how memory and time grow with connections and stacks. Each result is a line of JSON.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Idle connections between two stacks on a switch, through the endpoint API: both ends are in this process
    Connections(connections::Connections),
    /// Idle stacks on one switch
    Stacks(stacks::Stacks),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Connections(connections) => connections::run(&connections),
        Command::Stacks(stacks) => stacks::run(&stacks),
    }
}
