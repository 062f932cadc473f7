//! Processes that run in a network beside the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use super::net::Net;

/// A shell command that is killed, with all of its descendants, when its test program ends, however
/// that ends.
pub(super) fn shell(command: &str) -> Command {
    let mut setpriv = Command::new("setpriv");
    // The signal comes when the *thread* that started it ends (PR_SET_PDEATHSIG(2const)): whoever
    // starts a command keeps that thread. The shell is init of a PID namespace, whose end is the end
    // of every process in it (pid_namespaces(7)).
    setpriv.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "sh", "-c", command]);
    setpriv
}

/// A shell command that runs in a [`Net`]; dropping it kills it and its descendants.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    lines: Receiver<String>,
    /// The thread that started the child lives until this is dropped.
    parent: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Process {
    pub(super) fn start(net: &Net, command: &str) -> Result<Self> {
        let (started, start) = mpsc::channel();
        let (keep, kept) = mpsc::channel::<()>();
        let mut shell = shell(command);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = net.kernel_thread(move || {
            let _ = started.send(shell.spawn());
            let _ = kept.recv();
        });
        let mut child = start.recv()?.with_context(|| format!("cannot start `{command}`"))?;
        let (line, lines) = mpsc::channel();
        forward(child.stdout.take().expect("it is piped"), line.clone());
        forward(child.stderr.take().expect("it is piped"), line);
        Ok(Self { command: command.to_owned(), child, lines, parent: Some((keep, parent)) })
    }

    /// Waits for a line of its output, standard or error, that contains `text`, and returns it. The
    /// lines before it are gone.
    ///
    /// # Errors
    /// When the output ends first.
    pub fn wait_for_line(&self, text: &str) -> Result<String> {
        let mut seen = Vec::new();
        for line in &self.lines {
            if line.contains(text) {
                return Ok(line);
            }
            seen.push(line);
        }
        bail!("`{}` ended without saying {text:?}; it said:\n{}", self.command, seen.join("\n"))
    }

    /// Waits for its end and returns the lines it still had to say.
    ///
    /// # Errors
    /// With these lines when it did not succeed.
    pub fn wait(mut self) -> Result<String> {
        let said = self.lines.iter().collect::<Vec<_>>().join("\n");
        let status = self.child.wait()?;
        if !status.success() {
            bail!("`{}`: {status}\n{said}", self.command);
        }
        Ok(said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its descendants get their signal a moment later: they are gone when nobody can write any more.
        self.lines.iter().for_each(drop);
        if let Some((keep, parent)) = self.parent.take() {
            drop(keep);
            let _ = parent.join();
        }
    }
}

/// Sends each line of `output`; the thread ends with the output.
fn forward(output: impl Read + Send + 'static, line: Sender<String>) {
    thread::spawn(move || {
        for text in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            let _ = line.send(text);
        }
    });
}
