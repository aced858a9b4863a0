//! The configuration from which tests and users start.

use std::fmt::Write as _;

use super::settings::{HaproxySettings, HaproxyTarget};
use crate::ProviderError;

impl HaproxySettings {
    /// A minimal `haproxy.cfg` for these settings. [`HaproxyRouter::open`](super::HaproxyRouter::open) makes the files that
    /// it names.
    ///
    /// For a configuration that is there already: the router needs the `stats socket`, `server-state-file`,
    /// `load-server-state-from-file` and, for each target, the rules of its frontend, its table and its backends. All
    /// else is yours.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense.
    pub fn render(&self) -> Result<String, ProviderError> {
        self.check()?;
        let mut text = head(self);
        for target in &self.targets {
            frontend(&mut text, self, target);
            backends(&mut text, target);
        }
        Ok(text)
    }
}

fn head(settings: &HaproxySettings) -> String {
    let (socket, servers) = (&settings.socket, settings.servers());
    let servers = servers.display();
    format!(
        "global
    stats socket {socket} mode 600 level admin
    stats timeout 1m
    server-state-file {servers}

defaults
    mode http
    load-server-state-from-file global
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 30s
    # What an instance did not take goes to another one of its version.
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
"
    )
}

fn frontend(text: &mut String, settings: &HaproxySettings, target: &HaproxyTarget) {
    let (name, counts, map) = (target.name(), target.counts(), target.map(&settings.state));
    let map = map.display();
    let _ = writeln!(text, "\nfrontend {name}"); // a String takes everything
    for address in &target.listen {
        let _ = writeln!(text, "    bind {address}");
    }
    let _ = writeln!(
        text,
        "    # What an instance may have done is not asked of another one, unless twice is as good as once.
    http-request disable-l7-retry unless METH_GET
    # One number of 100 a request, and who serves it: <generation>/<slot>.
    http-request set-var(txn.release) rand(100),map({map})
    http-request return status 503 content-type text/plain string \"no version has a share\" unless {{ var(txn.release) -m found }}
    http-request track-sc0 var(txn.release) table {counts}
    http-response sc-inc-gpc0(0)
    use_backend {name}.%[var(txn.release),field(2,/)]

backend {counts}
    stick-table type string len 32 size 1k store gpc0,conn_cur"
    );
}

fn backends(text: &mut String, target: &HaproxyTarget) {
    for slot in target.slots() {
        let (backend, instances) = (target.backend(slot), target.instances);
        let _ = writeln!(
            text,
            "\nbackend {backend}\n    balance roundrobin\n    server-template s 1-{instances} 127.0.0.1:1 disabled"
        );
    }
}
