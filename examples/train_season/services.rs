//! Who has which services, what these need of each other, and where they run.

use std::collections::{BTreeMap, BTreeSet};

use release_core::build::{Build, BuildGraph};
use release_core::model::{BuildId, RegionId, ServiceId, Span, Timestamp};
use release_policy::train::WaveRegion;

use crate::play::Failure;
use crate::season::{DAY, HOUR};

/// Eight teams, each with five services.
pub(crate) const TEAMS: [(&str, [&str; 5]); 8] = [
    ("catalogue", ["products", "prices", "stock", "media", "search"]),
    ("delivery", ["shipping", "tracking", "routes", "depots", "labels"]),
    ("front", ["web", "mobile", "partners", "help", "admin"]),
    ("growth", ["offers", "loyalty", "mail", "push", "campaigns"]),
    ("identity", ["accounts", "sessions", "tokens", "roles", "profiles"]),
    ("insight", ["events", "usage", "reports", "forecast", "fraud"]),
    ("orders", ["carts", "checkout", "orders", "returns", "tax"]),
    ("payments", ["ledger", "cards", "refunds", "invoices", "payouts"]),
];

/// What services need of others; those that are not named need nothing.
const NEEDS: [(&str, &[&str]); 34] = [
    ("prices", &["products"]),
    ("stock", &["products"]),
    ("search", &["products", "prices"]),
    ("shipping", &["orders", "routes"]),
    ("tracking", &["shipping"]),
    ("routes", &["depots"]),
    ("labels", &["shipping"]),
    ("web", &["checkout", "search", "offers"]),
    ("mobile", &["checkout", "search"]),
    ("partners", &["orders", "reports"]),
    ("help", &["orders", "tracking"]),
    ("admin", &["roles", "reports"]),
    ("offers", &["prices", "loyalty"]),
    ("loyalty", &["accounts"]),
    ("mail", &["profiles"]),
    ("push", &["profiles"]),
    ("campaigns", &["offers", "mail"]),
    ("sessions", &["accounts"]),
    ("tokens", &["accounts"]),
    ("roles", &["accounts"]),
    ("profiles", &["accounts"]),
    ("usage", &["events"]),
    ("reports", &["usage", "ledger"]),
    ("forecast", &["usage", "stock"]),
    ("fraud", &["cards", "events"]),
    ("carts", &["products", "prices"]),
    ("checkout", &["carts", "cards", "stock", "tax"]),
    ("orders", &["checkout"]),
    ("returns", &["orders", "refunds"]),
    ("tax", &["products"]),
    ("cards", &["ledger", "tokens"]),
    ("refunds", &["ledger", "cards"]),
    ("invoices", &["ledger", "tax"]),
    ("payouts", &["ledger"]),
];

/// Five regions: their users, who takes over for whom, and the first hour (UTC) of their office, which lasts for eight.
const REGIONS: [(&str, u64, Option<&str>, u64); 5] = [
    ("ap-south", 12, None, 3),
    ("eu-north", 12, Some("eu-west"), 8),
    ("eu-west", 26, Some("eu-north"), 8),
    ("us-east", 28, Some("us-west"), 14),
    ("us-west", 22, Some("us-east"), 16),
];
const OFFICE: u64 = 8 * HOUR;

/// What every service needs.
#[derive(Debug)]
pub(crate) struct Services {
    /// By service: its team.
    pub(crate) team: BTreeMap<ServiceId, &'static str>,
    /// By service: what it needs.
    pub(crate) needs: BTreeMap<ServiceId, BTreeSet<ServiceId>>,
    /// A build of each, after those of what it needs.
    pub(crate) builds: BuildGraph,
}

impl Services {
    pub(crate) fn new() -> Result<Self, Failure> {
        let (mut team, mut needs) =
            (BTreeMap::new(), BTreeMap::<ServiceId, BTreeSet<ServiceId>>::new());
        for (name, services) in TEAMS {
            for service in services {
                team.insert(service.parse()?, name);
                needs.insert(service.parse()?, BTreeSet::new());
            }
        }
        for (service, on) in NEEDS {
            let service: ServiceId = service.parse()?;
            let own = needs.get_mut(&service).ok_or("needs of no service")?;
            for one in on {
                own.insert(one.parse()?);
            }
        }
        let mut builds = Vec::new();
        for (service, on) in &needs {
            let id = BuildId::new(service.as_str())?;
            let build = Build::new(id, format!("git/{service}"), "release");
            builds.push(on.iter().try_fold(build, |build, one| {
                Ok::<_, Failure>(build.needing(BuildId::new(one.as_str())?))
            })?);
        }
        Ok(Self { team, needs, builds: BuildGraph::new(builds)? })
    }

    /// How many builds are made anew when these services change.
    pub(crate) fn affected<'a>(
        &self,
        changed: impl IntoIterator<Item = &'a ServiceId>,
    ) -> Result<usize, Failure> {
        let changed = changed.into_iter().map(|service| BuildId::new(service.as_str()));
        let changed = changed.collect::<Result<Vec<_>, _>>()?;
        Ok(self.builds.affected(&changed)?.len())
    }
}

/// The names of all regions.
pub(crate) fn regions() -> Result<BTreeSet<RegionId>, Failure> {
    Ok(REGIONS.into_iter().map(|(id, ..)| id.parse()).collect::<Result<_, _>>()?)
}

/// The regions with their hours on working days from `monday` on, for so many weeks.
pub(crate) fn wave_regions(monday: Timestamp, weeks: u64) -> Result<Vec<WaveRegion>, Failure> {
    let each = REGIONS.into_iter().map(|(id, users, partner, opens)| {
        let days = (0..weeks).flat_map(|week| (0..5).map(move |day| 7 * week + day));
        let on_call = days.map(|day| {
            let from = monday.plus(Span::secs(day * DAY + opens * HOUR));
            (from, from.plus(Span::secs(OFFICE)))
        });
        let failover = partner.map(str::parse::<RegionId>).transpose()?.into_iter().collect();
        let on_call = on_call.collect();
        Ok(WaveRegion { failover, on_call, ..WaveRegion::new(id.parse()?, users) })
    });
    each.collect()
}
