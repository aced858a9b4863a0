//! Kills a process in the middle of a canary and starts it again.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::options::Options;

/// A step in the middle of the second canary: one region is done, the other is not.
const MIDDLE: &str = "production/eu/payments/weight-20/bake";

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    println!("== (c) The train, in a process that is killed in the middle of a canary");
    let mut victim = start(options, false)?;
    follow(&mut victim, Some(MIDDLE)).await?;
    let id = victim.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    kill_process(id.ok_or("the process ended before it could be killed")?, Signal::KILL)?;
    let status = victim.wait().await?;
    println!("== killed ({status}); its services go on. Now a new process resumes");
    let mut heir = start(options, true)?;
    follow(&mut heir, None).await?;
    let status = heir.wait().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the resumed process ended with {status}").into())
    }
}

fn start(options: &Options, resume: bool) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--scenario", "train", "--plain", "--dir"]).arg(&options.dir);
    command.arg("--services").arg(&options.services);
    if options.fast {
        command.arg("--fast");
    }
    if resume {
        command.arg("--resume");
    }
    Ok(command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?)
}

/// Shows what the process prints, until it mentions that `until` starts, or to its end.
async fn follow(child: &mut Child, until: Option<&str>) -> Result<(), Failure> {
    let stdout = child.stdout.as_mut().ok_or("the process has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        println!("    {line}");
        if until.is_some_and(|until| line.contains(&format!("> {until}"))) {
            return Ok(());
        }
    }
    match until {
        None => Ok(()),
        Some(until) => Err(format!("the process ended before {until}").into()),
    }
}
