//! Runs tests: one fresh thread and network each, a time limit, and a report of what failed.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::access::{self, Missing};
use super::descriptors::Open;
use super::net::{Net, Register, register_in};

/// The time limit of a test that sets none.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How long a failing test waits for the state of its stacks.
const STACKS_LIMIT: Duration = Duration::from_secs(5);
/// Stacks that are shown although they have ended.
const ENDED: usize = 8;

/// A test: a function that gets its home network, which it already runs in.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    name: &'static str,
    body: fn(&Net) -> Result<()>,
    limit: Duration,
    home: bool,
}

impl Test {
    /// A test with the usual time limit of 60 s.
    pub const fn new(name: &'static str, body: fn(&Net) -> Result<()>) -> Self {
        Self { name, body, limit: TIME_LIMIT, home: true }
    }

    /// The same test with a time limit of its own.
    #[must_use]
    pub const fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same test without a network of its own: it gets an empty one that all such tests share, and
    /// starts no process before it runs.
    #[must_use]
    pub const fn without_network(self) -> Self {
        Self { home: false, ..self }
    }
}

/// A list of [`Test`]s, each named by its path: `tests![tcp::echo, tcp::reset]`.
#[macro_export]
macro_rules! tests {
    ($($body:path),* $(,)?) => {
        vec![$($crate::netns::Test::new(stringify!($body), $body)),*]
    };
}

/// The `main` of a test program. It must be called before any thread is started.
///
/// # Panics
/// When two tests have the same name: by its name a test is chosen, and counted.
#[must_use]
pub fn run(tests: Vec<Test>) -> ExitCode {
    run_then(tests, || {})
}

/// The same for a program whose tests share something: `end` gives it back when all have run.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn run_then(tests: Vec<Test>, end: impl FnOnce()) -> ExitCode {
    let args = Arguments::from_args();
    let mut names = HashSet::new();
    for test in &tests {
        assert!(names.insert(test.name), "there are two tests with the name {}", test.name);
    }
    let access = access::enter();
    if let (Err(missing), false) = (&access, args.list) {
        eprintln!("tests in network namespaces cannot run here: {missing}");
    }
    if let (Ok(()), false, Err(error)) = (&access, args.list, ioth::remember_ended(ENDED)) {
        eprintln!("failing tests will not show the stacks that have ended: {error}");
    }
    let before = Open::now();
    let ignored = access.is_err() && !access::required();
    let trials = tests.into_iter().map(|test| {
        let access = access.clone();
        Trial::ignorable_test(test.name, move || {
            access.map_err(Failed::from)?;
            attempt(test)
        })
        .with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    if conclusion.has_failed() || args.list {
        return conclusion.exit_code();
    }
    end();
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
    match before.and_then(|before| before.left()) {
        Ok(left) if left.is_empty() => conclusion.exit_code(),
        Ok(left) => {
            eprintln!("descriptors are left behind by the tests:\n  {}", left.join("\n  "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the open descriptors cannot be counted: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The network of the tests that need none.
static SHARED: Mutex<Option<Net>> = Mutex::new(None);

fn shared() -> Result<Net> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(net) = &*shared {
        return Ok(net.clone());
    }
    let net = Net::new("shared")?;
    *shared = Some(net.clone());
    Ok(net)
}

/// Runs one test on a fresh thread. When it does not end in time, its thread is left behind until the
/// program ends: a thread cannot be killed.
fn attempt(test: Test) -> Result<Completion, Failed> {
    let networks = Register::default();
    let (done, outcome) = mpsc::channel();
    let register = networks.clone();
    thread::Builder::new().name(test.name.to_owned()).spawn(move || {
        register_in(register);
        let body = || {
            let home = if test.home { Net::new("home")? } else { shared()? };
            home.move_here();
            (test.body)(&home)
        };
        let outcome = catch_unwind(AssertUnwindSafe(body));
        // At once: the driver is about to end what the test had.
        let stacks = if matches!(outcome, Ok(Ok(()))) { String::new() } else { stacks() };
        let _ = done.send((outcome, stacks));
    })?;

    let (failure, stacks) = match outcome.recv_timeout(test.limit) {
        Ok((Ok(Ok(())), _)) => return Ok(Completion::Completed),
        Ok((Ok(Err(error)), stacks)) => match error.downcast_ref::<Missing>() {
            Some(missing) if !access::required() => return Ok(Completion::ignored_with(missing)),
            _ => (format!("{error:?}"), stacks),
        },
        Ok((Err(panic), stacks)) => (format!("panicked: {}", message(panic.as_ref())), stacks),
        Err(RecvTimeoutError::Timeout) => {
            (format!("{} did not end within {:?}", test.name, test.limit), stacks())
        }
        Err(RecvTimeoutError::Disconnected) => (format!("the thread of {} is gone", test.name), stacks()),
    };
    let networks = networks.lock().map_or_else(|broken| broken.into_inner().clone(), |list| list.clone());
    let states: String = networks.iter().map(Net::state).collect();
    Err(format!("{failure}\n\n{stacks}{states}").into())
}

/// What the stacks of this process know, as a report: those that live, and what the last ones were like that do not. Where
/// tests share a process, some are theirs.
fn stacks() -> String {
    let (report, reported) = mpsc::channel();
    // A test that hangs may do so with a stack locked.
    thread::spawn(move || {
        let living =
            ioth::snapshots().into_iter().map(|shown| format!("--- stack {} ---\n{shown}", shown.name));
        let ended = ioth::ended_snapshots().into_iter();
        let ended = ended.map(|shown| format!("--- stack {}, at its end ---\n{shown}", shown.name));
        let _ = report.send(living.chain(ended).collect());
    });
    let missing = || "--- the stacks do not answer: one of them is locked ---\n".to_owned();
    reported.recv_timeout(STACKS_LIMIT).unwrap_or_else(|_| missing())
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
