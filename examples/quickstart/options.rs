//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use crate::Failure;

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// First deploy, release 2, and release 3 that is caught.
    All,
    /// First deploy and release 2.
    Train,
    /// The train in a process of its own, which is killed in the middle and started again.
    Crash,
    /// Nothing: the demo services are built, for plays to come.
    Build,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    /// Where everything is kept.
    pub(crate) dir: PathBuf,
    /// Lines instead of bars.
    pub(crate) plain: bool,
    /// Go on with what is in `dir`, rather than begin anew.
    pub(crate) resume: bool,
    /// Shorter bakes and smaller samples, for tests that play it often.
    pub(crate) fast: bool,
    /// Where the demo services are built; they are built once.
    pub(crate) services: PathBuf,
}

const USAGE: &str = "usage: quickstart [--crash | --scenario all|train|build] [--dir FOLDER] [--plain] [--resume] [--fast] [--services FOLDER]";

impl Options {
    /// Where the report goes; written last, so that its being there says that the play has ended.
    pub(crate) fn report(&self) -> PathBuf {
        self.dir.join("report.html")
    }

    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            scenario: Scenario::All,
            dir: PathBuf::from("target/quickstart"),
            plain: !std::io::stdout().is_terminal(),
            resume: false,
            fast: false,
            services: PathBuf::new(),
        };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--crash" => options.scenario = Scenario::Crash,
                "--plain" => options.plain = true,
                "--resume" => options.resume = true,
                "--fast" => options.fast = true,
                "--services" => options.services = args.next().ok_or(USAGE)?.into(),
                "--dir" => options.dir = args.next().ok_or(USAGE)?.into(),
                "--scenario" => {
                    options.scenario = match args.next().as_deref() {
                        Some("all") => Scenario::All,
                        Some("train") => Scenario::Train,
                        Some("build") => Scenario::Build,
                        _ => return Err(USAGE.into()),
                    };
                }
                other => return Err(format!("`{other}` is unknown; {USAGE}").into()),
            }
        }
        std::fs::create_dir_all(&options.dir)?;
        options.dir = options.dir.canonicalize()?;
        if options.services.as_os_str().is_empty() {
            options.services = options.dir.join("services");
        }
        Ok(options)
    }
}
