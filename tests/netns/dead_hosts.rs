//! One dead host on the link delays nobody else: round trips with the kernel, while a thread talks to nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ioth::Stack;
use ioth::net::UdpSocket;
use ioth_tests::netns::{Net, Test};

pub(crate) fn tests() -> Vec<Test> {
    ioth_tests::tests![a_dead_host_delays_no_round_trip]
}

/// Round trips of one measurement.
const TRIPS: usize = 1000;

/// The median time of a round trip to the kernel, and the worst.
fn round_trips(own: &UdpSocket, kernel: &std::net::UdpSocket) -> Result<[Duration; 2]> {
    let mut times = Vec::with_capacity(TRIPS);
    let mut buffer = [0; 100];
    for number in 0..TRIPS as u64 {
        let start = Instant::now();
        own.send_to(&number.to_be_bytes(), kernel.local_addr()?)?;
        let (len, _) = own.recv_from(&mut buffer)?;
        times.push(start.elapsed());
        ensure!(buffer[..len] == number.to_be_bytes(), "another answer");
    }
    times.sort();
    Ok([times[TRIPS / 2], times[TRIPS - 1]])
}

fn a_dead_host_delays_no_round_trip(net: &Net) -> Result<()> {
    net.tap("red", &["10.0.0.1/24", "fd00::1/64"])?;
    let stack = Stack::new("tap://red", "ip=10.0.0.2/24,ip=fd00::2/64")?;
    net.wait_for_carrier("red")?;
    for (address, near, dead) in
        [("10.0.0.1:0", "10.0.0.2:0", "10.0.0.99:9"), ("[fd00::1]:0", "[fd00::2]:0", "[fd00::99]:9")]
    {
        let kernel = net.enter(|| std::net::UdpSocket::bind(address))?;
        let echo = kernel.try_clone()?;
        net.kernel_thread(move || {
            let mut buffer = [0; 100];
            // Until the empty one that ends it.
            while let Ok((len @ 1.., from)) = echo.recv_from(&mut buffer) {
                let _ = echo.send_to(&buffer[..len], from);
            }
        });
        let (own, other) = (UdpSocket::bind(&stack, near)?, UdpSocket::bind(&stack, near)?);
        own.set_read_timeout(Some(Duration::from_secs(10)))?;
        // The first one resolves the neighbour.
        round_trips(&own, &kernel)?;
        let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let measured = thread::scope(|scope| {
            scope.spawn(|| {
                // As fast as the round trips: one each.
                while !done.load(Relaxed) {
                    let _ = other.send_to(&[7; 1000], dead);
                    sent.fetch_add(1, Relaxed);
                    thread::sleep(Duration::from_micros(100));
                }
            });
            let measured: Result<Vec<_>> = (0..5).map(|_| round_trips(&own, &kernel)).collect();
            done.store(true, Relaxed);
            measured
        })?;
        let quiet: Vec<_> = (0..5).map(|_| round_trips(&own, &kernel)).collect::<Result<_>>()?;
        let median = |measured: &[[Duration; 2]]| {
            let mut medians: Vec<_> = measured.iter().map(|[median, _]| *median).collect();
            medians.sort();
            medians[medians.len() / 2]
        };
        let (quiet, beside) = (median(&quiet), median(&measured));
        let worst = measured.iter().map(|[_, worst]| *worst).max().unwrap_or_default();
        println!(
            "{address}: a round trip in {quiet:?}, beside {} to the dead host in {beside:?}, at most {worst:?}",
            sent.load(Relaxed)
        );
        ensure!(sent.load(Relaxed) > 10, "nobody talked to the dead host");
        // Who sends beside wants the processor and the lock now and then, too; a neighbour that is waited for takes a
        // second and more.
        ensure!(beside < 3 * quiet + Duration::from_micros(200), "{beside:?} instead of {quiet:?}");
        ensure!(worst < Duration::from_millis(500), "one took {worst:?}");
        net.enter(|| kernel.send_to(&[], kernel.local_addr()?))?;
    }
    Ok(())
}
