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
    let rules = target.rules(&settings.state);
    let (map, rules) = (map.display(), rules.display());
    let _ = writeln!(text, "\nfrontend {name}"); // a String takes everything
    for address in &target.listen {
        let _ = writeln!(text, "    bind {address}");
    }
    let _ = writeln!(
        text,
        "    # What an instance may have done is not asked of another one, unless twice is as good as once.
    http-request disable-l7-retry unless METH_GET
    # One number of 100 a request, and who serves it: <generation>/<slot>, and behind bars whether there are rules, and the
    # cookie that keeps a client there.
    http-request set-var(txn.share) rand(100),map({map})
    http-request return status 503 content-type text/plain string \"no version has a share\" unless {{ var(txn.share) -m found }}
    http-request set-var(txn.release) var(txn.share),field(1,|)
    http-request set-var(txn.generation) var(txn.share),field(1,/)
    # What headers pick, and then cookies, by the rules of that generation.
    acl release-rules var(txn.share),field(2,|) -m str rules
    acl release-picked var(txn.picked) -m found
    acl release-kept var(txn.kept) -m found
    http-request set-var(txn.headers) req.hdrs if release-rules
    http-request set-var(txn.picked) str(),concat(,txn.generation),concat(/h,txn.headers),map_reg({rules}) if release-rules
    http-request set-var(txn.cookies) req.fhdr(cookie) if release-rules !release-picked
    http-request set-var(txn.kept) str(),concat(,txn.generation),concat(/c,txn.cookies),map_reg({rules}) if release-rules !release-picked
    http-request set-var(txn.release) str(),concat(,txn.generation),concat(/,txn.picked) if release-picked
    http-request set-var(txn.release) str(),concat(,txn.generation),concat(/,txn.kept) if release-kept
    http-request track-sc0 var(txn.release) table {counts}
    http-response sc-inc-gpc0(0)
    http-response add-header set-cookie %[var(txn.share),field(3,|)] if {{ var(txn.share),field(3,|) -m len gt 0 }} !release-picked !release-kept
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
