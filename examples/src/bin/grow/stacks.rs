//! Idle stacks: how long they take to make and to delete, their memory, and what they cost while nothing happens.

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use ioth_stack::{Runtime, Stack};

use crate::memory;

#[derive(Parser)]
pub(crate) struct Stacks {
    /// How many
    #[arg(default_value_t = 1000)]
    count: u32,
    /// How long to watch them do nothing
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

pub(crate) fn run(options: &Stacks) -> anyhow::Result<()> {
    memory::raise_descriptor_limit()?;
    let runtime = Runtime::new()?;
    // What is there from the first one on.
    drop(Stack::builder(&runtime).interface(None, "switch://grow").config("ip=10.0.0.1/8").build()?);
    let idle = (memory::resident()?, memory::descriptors()?, memory::threads()?);
    let start = Instant::now();
    let stacks = (0..options.count)
        .map(|i| {
            let [_, a, b, c] = (i + 1).to_be_bytes();
            let config = format!("ip=10.{a}.{b}.{c}/8");
            Stack::builder(&runtime).interface(None, "switch://grow").config(&config).build()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let made = start.elapsed();
    // What they announce of themselves is over after some seconds.
    thread::sleep(Duration::from_secs(5));
    let bytes = memory::resident()?.saturating_sub(idle.0) / u64::from(options.count);
    let descriptors = memory::descriptors()?.saturating_sub(idle.1) as f64 / f64::from(options.count);
    let threads = memory::threads()? - idle.2;
    let (cpu, watched) = (memory::cpu_time(), Duration::try_from_secs_f64(options.seconds)?);
    thread::sleep(watched);
    let load = (memory::cpu_time() - cpu).as_secs_f64() / watched.as_secs_f64() * 100.0;
    let start = Instant::now();
    drop(stacks);
    let deadline = start + Duration::from_secs(60);
    while memory::descriptors()? > idle.1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "{{\"stacks\":{},\"made_s\":{:.2},\"bytes_each\":{bytes},\"descriptors_each\":{descriptors:.1},\
         \"threads\":{threads},\"idle_cpu_percent\":{load:.2},\"deleted_s\":{:.2},\"descriptors_left\":{},\
         \"kib_left\":{}}}",
        options.count,
        made.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        memory::descriptors()?.saturating_sub(idle.1),
        memory::resident()?.saturating_sub(idle.0) >> 10,
    );
    Ok(())
}
