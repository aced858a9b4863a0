//! From a specification to a plugin that is ready.
//!
//! A shell is started first. It closes what it inherited, says so, and waits for a line on its standard input. The
//! host looks what is still open, sets the limits of the shell, which are inherited, and writes that line;
//! the shell becomes the plugin by `exec`. So the limits hold from the first instruction of the plugin, without code
//! of the host between `fork` and `exec`. The process number, the group, the standard streams and the environment stay.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use release_core::model::{Digest, Span};
use release_core::port::Clock;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use super::binary::Binary;
use super::group::{Directory, Group};
use super::keep::Leases;
use super::output::{Output, first_line};
use super::process::Line;
use super::settings;
use super::text::Redactor;
use super::{Host, Limits, PluginProblem, PluginSpec};
use crate::error::chain;
use crate::kind::Manifest;
use crate::plugin::{
    COOKIE, Handshake, HandshakeError, PROTOCOL_VERSIONS, SOCKET_DIR_VARIABLE, TOKEN_VARIABLE,
    VERSIONS_VARIABLE, pb,
};

/// Holds the plugin back until the host has written a line: what is still to be closed. Shells of POSIX can close
/// nothing above 9, so another one does that. Shells set variables too, which are taken back; some set `SHLVL` and `_`
/// nevertheless.
const GATE: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo; read -r open || exit 126; \
                    [ -z \"$open\" ] || exec /bin/bash -c \"$0\" plugin \"$open\" \"$@\"; \
                    unset PWD OLDPWD SHLVL; exec \"$@\"";
/// Closes what its first argument lists, and becomes the plugin.
const CLOSER: &str = "for file in $1; do eval \"exec $file>&-\"; done; shift; \
                      unset PWD OLDPWD SHLVL; exec \"$@\"";
/// The shell that can close any file.
const CLOSING_SHELL: &str = "/bin/bash";
/// The longest handshake, in bytes.
const LONGEST_HANDSHAKE: usize = 1_024;
/// The longest path of a socket, in bytes (`sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

/// A plugin that is ready.
pub(super) struct Launched {
    pub(super) group: Group, // dropped first: before its leader is waited for
    pub(super) child: Child,
    /// Ends the plugin when it is dropped.
    pub(super) stdin: ChildStdin,
    pub(super) stdout: BufReader<ChildStdout>,
    /// Keeps what it prints on standard error, until that ends.
    pub(super) stderr: JoinHandle<()>,
    pub(super) line: Line,
    pub(super) manifest: Manifest,
    pub(super) output: Arc<Output>,
    /// What the secrets in its settings are leased by.
    pub(super) leases: Leases,
    /// Held open as long as it runs, for interpreters that read it by its path.
    pub(super) binary: Binary,
}

/// A process that is not ready yet. Dropped, it is killed.
struct Started {
    group: Group, // dropped first: before its leader is waited for
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<()>,
    directory: PathBuf,
    token: MetadataValue<Ascii>,
    output: Arc<Output>,
    binary: Binary,
}

/// Starts a plugin and waits until it is ready, at most as long as its specification says. `redactor` learns the
/// token.
pub(super) async fn launch(
    host: &Host,
    spec: &PluginSpec,
    redactor: &Redactor,
    tasks: &TaskTracker,
) -> Result<Launched, PluginProblem> {
    let mut leases = Leases::new(&host.clock, tasks);
    // Before the plugin's time begins: how long the host's store takes is not its fault.
    let settings = Box::pin(settings::prepare(&spec.settings, redactor, &mut leases)).await?;
    let give_up = host.clock.now().plus(spec.start_timeout);
    let mut started = start(host, spec, redactor, tasks).await?;
    let output = Arc::clone(&started.output);
    let result = tokio::select! {
        ready = async {
            open_the_gate(&mut started, spec).await?;
            ready(&mut started, spec, settings).await
        } => ready,
        () = host.clock.sleep_until(give_up) => {
            Err(PluginProblem::NotReady { within: spec.start_timeout, log: Vec::new() })
        },
    };
    match result {
        Ok((line, manifest)) => {
            let Started { child, group, stdin, stdout, stderr, output, binary, .. } = started;
            let plugin = Launched {
                group,
                child,
                stdin,
                stdout,
                stderr,
                line,
                manifest,
                output,
                leases,
                binary,
            };
            Ok(plugin)
        }
        Err(error) => Err(fail(started, &output, &host.clock, error).await),
    }
}

/// Ends a plugin that did not get ready, and says why as well as can be known.
async fn fail(
    started: Started,
    output: &Output,
    clock: &Arc<dyn Clock>,
    error: PluginProblem,
) -> PluginProblem {
    let Started { mut child, group, stdout, stderr, .. } = started;
    // Whether it had ended by itself is asked before it is killed.
    let by_itself = matches!(
        error,
        PluginProblem::Handshake(HandshakeError::None) | PluginProblem::FirstCall(_)
    );
    let exited = if by_itself { exited_soon(&group, clock).await } else { false };
    group.end(clock).await;
    let exit = child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
    group.ended();
    // What it printed is read to the end; somebody who hid from the host may still hold the streams.
    let drained = async { tokio::join!(output.keep("stdout", stdout), stderr) };
    tokio::select! {
        _ = drained => {}
        () = clock.sleep_until(clock.now().plus(Span::secs(1))) => {}
    }
    let log = output.tail();
    match error {
        PluginProblem::NotReady { within, .. } => PluginProblem::NotReady { within, log },
        _ if exited => PluginProblem::Ended { exit, log },
        error => error,
    }
}

/// Whether the leader ends by itself within a second: its streams are closed a little before it has ended.
async fn exited_soon(group: &Group, clock: &Arc<dyn Clock>) -> bool {
    let Ok(exit) = super::process::Exit::of(group.leader()) else { return false };
    tokio::select! {
        () = exit.wait() => true,
        () = clock.sleep_until(clock.now().plus(Span::secs(1))) => false,
    }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> PluginProblem {
    move |source| PluginProblem::System { what, source }
}

/// The directory of the host, to which no other user may write.
fn root(directory: &Path) -> Result<PathBuf, PluginProblem> {
    let at = |source| PluginProblem::NoDirectory { path: directory.to_owned(), source };
    let root = std::fs::canonicalize(directory).map_err(at)?;
    let metadata = std::fs::metadata(&root).map_err(at)?;
    let owner = metadata.uid();
    let trusted = owner == 0 || owner == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !trusted || metadata.mode() & 0o022 != 0 {
        return Err(PluginProblem::OpenDirectory { path: root });
    }
    Ok(root)
}

/// Starts the process, with its limits, as far as its first instruction.
async fn start(
    host: &Host,
    spec: &PluginSpec,
    redactor: &Redactor,
    tasks: &TaskTracker,
) -> Result<Started, PluginProblem> {
    let (path, digest) = (spec.path.clone(), spec.digest);
    let opened = tokio::task::spawn_blocking(move || Binary::open(&path, digest)).await;
    let binary = opened.map_err(|e| system("read the plugin")(e.into()))??;
    let (name, token) = (random()?, random()?);
    let root = root(&host.directory)?;
    let directory = root.join(format!("p-{}", name.get(..16).unwrap_or(&name)));
    let longest = directory.join("plugin.sock");
    if longest.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(PluginProblem::PathTooLong { path: longest, most: LONGEST_SOCKET_PATH });
    }
    let directory = Directory::create(directory).map_err(system("make the plugin's directory"))?;

    let mut command = Command::new(&spec.shell);
    command.args(["-c", GATE, CLOSER]).arg(binary.path()).args(&spec.args);
    command.env_clear().envs(&spec.env);
    command.env(COOKIE.0, COOKIE.1);
    command.env(VERSIONS_VARIABLE, PROTOCOL_VERSIONS.map(|v| v.to_string()).join(","));
    command.env(SOCKET_DIR_VARIABLE, directory.path());
    command.env(TOKEN_VARIABLE, &token);
    command.current_dir(directory.path()).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(system("start the shell that starts the plugin"))?;

    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(pid), (Some(stdin), Some(stdout), Some(stderr))) = (pid, streams) else {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound); // never: nobody waited for it
        return Err(system("reach the process of the plugin")(gone));
    };
    let path = directory.path().to_owned();
    let group = Group::new(pid, directory);
    redactor.learn_alone(&token); // of this start alone
    let clock = Arc::clone(&host.clock);
    let output = Arc::new(Output::new(&spec.name, spec.output, redactor.clone(), clock));
    let keeper = Arc::clone(&output);
    let stderr = tasks.spawn(async move { keeper.keep("stderr", BufReader::new(stderr)).await });
    let mut metadata = MetadataValue::try_from(&token)
        .map_err(|_| PluginProblem::FirstCall("the token is no metadata".to_owned()))?; // never: it is hexadecimal
    metadata.set_sensitive(true);
    Ok(Started {
        child,
        group,
        stdin,
        stdout: BufReader::new(stdout),
        stderr,
        directory: path,
        token: metadata,
        output,
        binary,
    })
}

/// Lets the plugin begin, within its limits.
async fn open_the_gate(started: &mut Started, spec: &PluginSpec) -> Result<(), PluginProblem> {
    let what = "hear from the shell that starts the plugin; name one of POSIX";
    let said = first_line(&mut started.stdout, LONGEST_HANDSHAKE).await;
    if said.as_deref() != Some("") {
        return Err(system(what)(std::io::ErrorKind::InvalidData.into()));
    }
    let pid = started.group.leader();
    let open = inherited(pid).map_err(system("see what the plugin would inherit"))?;
    if !open.is_empty() && !Path::new(CLOSING_SHELL).exists() {
        let files = open.into_values().map(|to| to.display().to_string()).collect();
        return Err(PluginProblem::Inherited { files });
    }
    limit(pid, &spec.limits).map_err(|e| system("set the limits of the plugin")(e.into()))?;
    let open: Vec<String> = open.into_keys().collect();
    let line = format!("{}\n", open.join(" "));
    started.stdin.write_all(line.as_bytes()).await.map_err(system("let the plugin begin"))
}

/// What a process has open, and keeps open when it becomes another, beside the standard streams.
fn inherited(pid: Pid) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let name = entry.file_name().display().to_string();
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{name}"));
        let info = info.unwrap_or_default(); // it is closed by now
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        let stays = flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0);
        if stays && !matches!(&*name, "0" | "1" | "2") {
            files.insert(name, std::fs::read_link(entry.path()).unwrap_or_default());
        }
    }
    Ok(files)
}

/// `O_CLOEXEC`, as `/proc/<pid>/fdinfo` has it.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// 32 random bytes of the system, in hexadecimal.
fn random() -> Result<String, PluginProblem> {
    let what = "get random bytes from the system";
    let mut bytes = [0_u8; 32];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(32) => Ok(Digest::from_bytes(bytes).hex()),
        Ok(_) => Err(system(what)(std::io::ErrorKind::UnexpectedEof.into())), // never, for so few
        Err(error) => Err(system(what)(error.into())),
    }
}

/// Sets the limits of a process that is held back. None is raised above what the host itself has.
fn limit(pid: Pid, limits: &Limits) -> rustix::io::Result<()> {
    // No dump of a process that knows a token and more.
    let mut wanted = vec![(Resource::Core, 0)];
    let cpu = limits.cpu.map(|cpu| cpu.as_duration().as_secs().max(1));
    for (resource, most) in [
        (Resource::As, limits.memory),
        (Resource::Cpu, cpu),
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.file_size),
        (Resource::Nproc, limits.user_processes),
    ] {
        wanted.extend(most.map(|most| (resource, most)));
    }
    for (resource, most) in wanted {
        let most = getrlimit(resource).maximum.map_or(most, |own| own.min(most));
        prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// The handshake, the connection, and the first calls.
async fn ready(
    started: &mut Started,
    spec: &PluginSpec,
    settings: Option<pb::ConfigureRequest>,
) -> Result<(Line, Manifest), PluginProblem> {
    let line = first_line(&mut started.stdout, LONGEST_HANDSHAKE).await;
    let line = started.output.redactor().clean(&line.ok_or(HandshakeError::None)?);
    let handshake = Handshake::parse(&line, &PROTOCOL_VERSIONS)?;
    let socket = handshake.socket;
    let is_socket = std::fs::symlink_metadata(&socket)
        .is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()));
    if socket.parent() != Some(&*started.directory) || !is_socket {
        return Err(HandshakeError::Socket { found: socket }.into());
    }
    let clean = |text: String| PluginProblem::FirstCall(started.output.redactor().clean(&text));
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
        .map_err(|e| clean(e.to_string()))?
        .http2_max_header_list_size(16 << 10);
    let channel = endpoint.connect().await.map_err(|e| clean(chain(&e)))?;
    let line = Line::new(channel, started.token.clone(), spec.calls);

    let describe = "/release.plugin.v1.Plugin/Describe";
    let stranger: Result<pb::DescribeReply, _> =
        line.without_token(describe, pb::DescribeRequest {}).await;
    match stranger {
        Err(status) if status.code() == tonic::Code::Unauthenticated => {}
        Ok(_) => return Err(PluginProblem::NoTokenCheck),
        Err(status) => return Err(clean(chain(&status))),
    }
    let manifest: pb::DescribeReply =
        line.unary(describe, pb::DescribeRequest {}).await.map_err(|s| clean(chain(&s)))?;
    let manifest = Manifest::from_wire(manifest)?;
    let redactor = started.output.redactor();
    manifest.holds_none(|value| redactor.finds(value))?;
    if let Some(request) = settings {
        settings::tell(&line, &spec.settings, request, redactor).await?;
    }
    Ok((line, manifest))
}
