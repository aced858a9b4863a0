//! Kills a process in the middle of a canary and starts it again.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::interrupts::Interrupts;
use crate::options::Options;
use crate::{Failure, say};

/// A step in the middle of the second canary: one region is done, the other is not.
const MIDDLE: &str = "production/eu/payments/weight-20/bake";

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    say("== (c) The train, in a process that is killed in the middle of a canary");
    let mut victim = Actor::start(options, false)?;
    victim.follow(Some(MIDDLE), &mut interrupts).await?;
    victim.signal(Signal::KILL)?;
    let status = victim.process.wait().await?;
    say(&format!("== killed ({status}); its services go on. Now a new process resumes"));
    let mut heir = Actor::start(options, true)?;
    heir.follow(None, &mut interrupts).await?;
    let status = heir.process.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the resumed process ended with {status}").into())
    }
}

/// A process that plays the train.
struct Actor {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    fn start(options: &Options, resume: bool) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--scenario", "train", "--plain", "--dir"]).arg(&options.dir);
        command.arg("--services").arg(&options.services);
        if options.fast {
            command.arg("--fast");
        }
        if resume {
            command.arg("--resume");
        }
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().ok_or("the process has no output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines() })
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(kill_process(id.ok_or("the process has ended")?, signal)?)
    }

    /// Shows what the process prints, until it mentions that `until` starts, or to its end.
    ///
    /// If a signal comes, the process gets it too, and clears its stage before this returns.
    async fn follow(
        &mut self,
        until: Option<&str>,
        interrupts: &mut Interrupts,
    ) -> Result<(), Failure> {
        let mut stopped = None;
        loop {
            let line = tokio::select! {
                line = self.lines.next_line() => line?,
                error = interrupts.next(), if stopped.is_none() => {
                    self.signal(Signal::TERM)?;
                    stopped = Some(error);
                    continue;
                }
            };
            let Some(line) = line else { break };
            say(&format!("    {line}"));
            let reached = until.is_some_and(|until| line.contains(&format!("> {until}")));
            if reached && stopped.is_none() {
                return Ok(());
            }
        }
        match (stopped, until) {
            (Some(error), _) => {
                self.process.wait().await?;
                Err(error)
            }
            (None, Some(until)) => Err(format!("the process ended before {until}").into()),
            (None, None) => Ok(()),
        }
    }
}
