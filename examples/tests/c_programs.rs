//! The C examples, compiled and run.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use ioth_tests::c::Workshop;
use ioth_tests::netns::Net;

fn main() -> ExitCode {
    ioth_tests::netns::run(ioth_tests::tests![two_stacks, echo_fork])
}

/// Compiles a program of `examples/c`.
fn compile(net: &Net, workshop: &Workshop, name: &str) -> Result<String> {
    let source = format!("{}/c/{name}.c", env!("CARGO_MANIFEST_DIR"));
    workshop.compile(net, &source, name, &workshop.link())
}

fn two_stacks(net: &Net) -> Result<()> {
    let workshop = Workshop::new("two_stacks")?;
    let out = net.run(&compile(net, &workshop, "two_stacks")?)?;
    ensure!(out == "switch://red: you are 10.0.0.2\nswitch://blue: you are 10.0.0.2\n", "{out}");
    Ok(())
}

fn echo_fork(net: &Net) -> Result<()> {
    let workshop = Workshop::new("echo_fork")?;
    let program = compile(net, &workshop, "echo_fork")?;
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let ours = ("smoltcp,ip=10.0.0.2/24,ip=fd00::2/64 tap://red", ["10.0.0.2:7000", "[fd00::2]:7000"]);
    let kernels = ("'' kernel:", ["10.0.0.1:7000", "[fd00::1]:7000"]);
    for (stack, addresses) in [ours, kernels] {
        let server = net.start(&format!("{program} {stack} 7000 2"))?;
        server.wait_for_line("listening")?;
        for address in addresses {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"echo, please")?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer == "echo, please", "{answer}");
        }
        server.wait()?;
    }
    Ok(())
}
