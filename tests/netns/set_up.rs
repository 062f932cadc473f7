//! What cannot be set up says what was tried, on what, why it failed and what to do; links that are
//! recorded; processes that end.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use ioth::Stack;
use ioth::net::TcpStream;
use ioth_tests::netns::{Net, Test, need};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![
        a_tap_that_cannot_be_opened_says_why,
        wrong_strings_name_the_key_and_the_value,
        macs_differ_between_stacks,
        a_capture_opens_in_wiresharks_tools,
        an_impaired_path_is_as_bad_as_was_asked_for,
        a_deleted_tap_does_not_take_the_process_with_it,
    ]
}

/// The message and the errno of a stack that cannot be made.
fn refused(vnl: &str, config: &str) -> Result<(String, i32)> {
    match Stack::new(vnl, config) {
        Ok(_) => anyhow::bail!("{vnl} with {config} was made"),
        Err(error) => Ok((error.to_string(), error.errno())),
    }
}

fn a_tap_that_cannot_be_opened_says_why(net: &Net) -> Result<()> {
    let (text, errno) = refused("tap://nowhere", "")?;
    ensure!(
        errno == libc::ENODEV && text.contains("nowhere") && text.contains("ip tuntap add"),
        "{errno}: {text}"
    );
    net.tap("red", &[])?;
    let _first = Stack::new("tap://red", "")?;
    for vnl in ["tap://red", "tap://red?offload=off"] {
        let (text, errno) = refused(vnl, "")?;
        ensure!(
            errno == libc::EBUSY && text.contains("\"red\"") && text.contains("has it open"),
            "{errno}: {text}"
        );
    }
    let (text, errno) = refused("tap://lo", "")?;
    ensure!(errno == libc::EINVAL && text.contains("\"lo\""), "{errno}: {text}");
    let made = Stack::new("tap://fresh?create=on", "ip=10.0.0.2/24");
    ensure!(made.is_ok(), "{made:?}");
    Ok(())
}

fn wrong_strings_name_the_key_and_the_value(_: &Net) -> Result<()> {
    let cases = [
        ("tpa://red", "", "tpa"),
        ("tap://", "", "tap://"),
        ("tap://much-too-long-a-name", "", "much-too-long-a-name"),
        ("switch://lab?speed=9", "", "speed"),
        ("switch://lab", "ip=10.0.0.2", "ip=10.0.0.2"),
        ("switch://lab", "ip=10.0.0.2/33", "ip=10.0.0.2/33"),
        ("switch://lab", "gw=10.0.0.1", "gw=10.0.0.1"),
        ("switch://lab", "mac=01:00:00:00:00:01", "mac=01:00:00:00:00:01"),
        ("switch://lab", "mtu=9000", "mtu=9000"),
        ("switch://lab", "impair=loss:200%", "loss:200%"),
        ("switch://lab?impair=delay:9", "", "delay:9"),
        ("switch://lab", "colour=red", "colour"),
        ("switch://lab", "iface=eth7,ip=10.0.0.2/24", "eth7"),
        ("switch://lab", "dhcp,wait=100ms", "dhcp"),
        ("switch://lab", "dhcp6=on", "dhcp6=on"),
        ("switch://lab", "slaac,wait=100ms", "slaac"),
        ("netns:nowhere", "", "nowhere"),
    ];
    for (vnl, config, named) in cases {
        let (text, errno) = refused(vnl, config)?;
        ensure!(text.contains(named), "{vnl} with {config} says {text:?} without {named:?}");
        ensure!([libc::EINVAL, libc::ENOENT].contains(&errno), "{vnl} with {config}: {errno}");
    }
    Ok(())
}

fn macs_differ_between_stacks(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    let mut macs = std::collections::HashSet::new();
    for index in 0..4 {
        let name = format!("tap{index}");
        net.tap(&name, &[&format!("10.{index}.0.1/24")])?;
        let _stack = Stack::new(&format!("tap://{name}"), &format!("ip=10.{index}.0.2/24"))?;
        net.wait_for_carrier(&name)?;
        net.run(&format!("ping -c 1 -W 5 10.{index}.0.2"))?;
        let neighbour = net.run(&format!("ip neigh show 10.{index}.0.2"))?;
        let mac = neighbour.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next());
        macs.insert(mac.with_context(|| neighbour.clone())?.to_owned());
    }
    ensure!(macs.len() == 4, "{macs:?}");
    Ok(())
}

fn a_capture_opens_in_wiresharks_tools(net: &Net) -> Result<()> {
    need("tcpdump", "tcpdump")?;
    let file = std::env::temp_dir().join(format!("ioth-{}.pcapng", std::process::id()));
    net.tap("red", &["10.0.0.1/24"])?;
    let stack = Stack::new(&format!("tap://red?capture={}", file.display()), "ip=10.0.0.2/24")?;
    net.wait_for_carrier("red")?;
    let listener = std::net::TcpListener::bind("10.0.0.1:0")?;
    let mut stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    stream.write_all(b"seen on the wire")?;
    drop(stream);
    let mut text = String::new();
    listener.accept()?.0.read_to_string(&mut text)?;
    stack.shutdown(std::time::Duration::from_secs(5))?;
    drop(stack);
    // Debian's tcpdump becomes another user when root starts it, which root of a user namespace cannot: for
    // it, somebody else starts it.
    let shown = net.run(&format!("unshare --user tcpdump -nn -A -r {}", file.display()))?;
    std::fs::remove_file(&file)?;
    for part in ["ARP, Request who-has 10.0.0.1", "10.0.0.2.", "Flags [S]", "Flags [S.]", "seen on the wire"]
    {
        ensure!(shown.contains(part), "{part:?} is not in the capture:\n{shown}");
    }
    Ok(())
}

fn an_impaired_path_is_as_bad_as_was_asked_for(net: &Net) -> Result<()> {
    need("ping", "iputils-ping")?;
    net.tap("red", &["10.0.0.1/24"])?;
    let stack = Stack::new("tap://red", "ip=10.0.0.2/24,impair=delay:10ms,dup:5%,corrupt:5%,reorder:5%")?;
    net.wait_for_carrier("red")?;
    let pings = net.run("ping -c 40 -i 0.02 -W 2 10.0.0.2; true")?;
    let times =
        pings.lines().filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let times: Vec<_> = times.collect();
    ensure!(times.len() > 20 && times.iter().all(|time| *time >= 20.0), "{pings}");

    // What is sent over it arrives as it was sent.
    let listener = std::net::TcpListener::bind("10.0.0.1:0")?;
    let mut stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    let (mut accepted, _) = listener.accept()?;
    let sender = std::thread::spawn(move || -> Result<()> {
        ioth_tests::pattern::send(&mut accepted, 300_000)?;
        Ok(())
    });
    let received = ioth_tests::pattern::check(&mut stream)?;
    sender.join().expect("no panic")?;
    ensure!(received == 300_000, "{received} bytes arrived");
    Ok(())
}

fn a_deleted_tap_does_not_take_the_process_with_it(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24"])?;
    let stack = Stack::new("tap://red", "ip=10.0.0.2/24")?;
    net.wait_for_carrier("red")?;
    let listener = std::net::TcpListener::bind("10.0.0.1:0")?;
    let mut stream = TcpStream::connect(&stack, listener.local_addr()?)?;
    net.run("ip link del red")?;
    stream.set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
    let _ = stream.write(b"into the void");
    let error = stream.read(&mut [0; 10]).err().map(|error| error.kind());
    ensure!(error == Some(std::io::ErrorKind::WouldBlock), "{error:?}");
    // Traffic inside the stack goes on.
    let own = ioth::net::TcpListener::bind(&stack, "10.0.0.2:0")?;
    let mut inside = TcpStream::connect(&stack, own.local_addr()?)?;
    inside.write_all(b"inside")?;
    drop(inside);
    let mut text = String::new();
    own.accept()?.0.read_to_string(&mut text)?;
    ensure!(text == "inside");
    Ok(())
}
