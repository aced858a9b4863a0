//! One binary for all integration tests of `release-core`: they link once.

#[cfg(test)]
mod affinity;
#[cfg(test)]
mod anew;
#[cfg(test)]
mod apart;
#[cfg(test)]
mod before_traffic;
#[cfg(test)]
mod begins;
#[cfg(test)]
mod builds;
#[cfg(test)]
mod burning;
#[cfg(test)]
mod cleared;
#[cfg(test)]
mod clock_jumps;
#[cfg(test)]
mod comparing;
mod criteria;
#[cfg(test)]
mod denials;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod descoped;
#[cfg(test)]
mod digests;
#[cfg(test)]
mod distributions;
#[cfg(test)]
mod drawings;
#[cfg(test)]
mod drifting;
#[cfg(test)]
mod ended_bakes;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod engine_lives;
#[cfg(test)]
mod enough;
#[cfg(test)]
mod expansion;
#[cfg(test)]
mod experiments;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod explain_engine;
#[cfg(test)]
mod explain_oracle;
#[cfg(test)]
mod fault_rows;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod file_messages;
#[cfg(test)]
mod files;
#[cfg(test)]
mod flag_buckets;
#[cfg(test)]
mod flag_kills;
#[cfg(test)]
mod flag_plans;
#[cfg(test)]
mod forward_only;
#[cfg(test)]
mod gates_hold;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod journal;
mod judged;
#[cfg(test)]
mod judged_again;
mod judging;
#[cfg(test)]
mod judging_scales;
#[cfg(test)]
mod kept_for_good;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod ledger_damage;
#[cfg(test)]
mod ledger_pages;
#[cfg(test)]
mod limit_laws;
#[cfg(test)]
mod limit_ledger;
#[cfg(test)]
mod limited_runs;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod mirrors;
#[cfg(test)]
mod netflix;
#[cfg(test)]
mod notes;
#[cfg(test)]
mod objectives;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod policy_holds;
#[cfg(test)]
mod portions;
#[cfg(test)]
mod quantiles_wait;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod recoverable;
#[cfg(test)]
mod recoveries;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod rivals;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rollbacks;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod routed;
#[cfg(test)]
mod run_attempts;
#[cfg(test)]
mod run_gates;
#[cfg(test)]
mod run_laws;
#[cfg(test)]
mod run_rollbacks;
#[cfg(test)]
mod scorecards;
#[cfg(test)]
mod scraped;
#[cfg(test)]
mod seen_again;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod step_calls;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod stuck;
#[cfg(test)]
mod superseding;
#[cfg(test)]
mod support;
#[cfg(test)]
mod their_names;
#[cfg(test)]
mod time_travel;
#[cfg(test)]
mod typed;
#[cfg(test)]
mod undecided;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod way_back;
#[cfg(test)]
mod what_if;

#[test]
fn no_forgotten_test_files() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let crates: Vec<_> = names(&root).into_iter().filter(|name| name != "golden").collect();
    let crates: Vec<_> = crates.iter().filter(|name| *name != "proptest-regressions").collect();
    assert_eq!(crates, ["it"], "test files beside `it` would be binaries of their own");
    for (folder, listed_in) in [("it", "main.rs"), ("it/support", "mod.rs")] {
        let text = std::fs::read_to_string(root.join(folder).join(listed_in)).unwrap();
        for name in names(&root.join(folder)) {
            let module = name.trim_end_matches(".rs");
            let listed = name == listed_in || text.contains(&format!("mod {module};"));
            assert!(listed, "`{folder}/{name}` is not a module of `{folder}/{listed_in}`");
        }
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
