//! Who is there, what they have to agree to, and when nothing may be released.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Identity, Principal, PrincipalId, RoleGrant, RoleId, Span, Timestamp};
use release_policy::approval::{ApprovalPolicy, Expression, OfRole, Quorum};
use release_policy::cab::Board;
use release_policy::change::{Band, Factor, RiskModel};
use release_policy::decision::{Condition, Definition, Fact, Need, PolicySet, Rule, Test};
use release_policy::directory::Directory;
use release_policy::emergency::{BreakGlass, Bypass, Capability};
use release_policy::window::{Scope, Waiver, WindowRules};
use release_policy::{WindowSpec, Windows, window::When};

use crate::desk::GLASS;
use crate::story::Failure;

/// The people, and what they are. Ada asks for releases; nobody is alone with anything.
const PEOPLE: [(&str, &[&str]); 7] = [
    ("ada", &["developer"]),
    ("bob", &["sre"]),
    ("cleo", &["security"]),
    ("dan", &["change-manager"]),
    ("eve", &["architect"]),
    ("finn", &["operations"]),
    ("gil", &["sre", "auditor"]),
];

pub(crate) const HOUR: u64 = 3_600;

/// One of the people, as the host's login vouches for them.
pub(crate) fn person(name: &str) -> Result<Principal, Failure> {
    let roles = PEOPLE.iter().find(|(who, _)| *who == name).map_or(&[][..], |(_, roles)| roles);
    roles
        .iter()
        .try_fold(Principal::human(name.parse()?), |who, role| Ok(who.with_role(role.parse()?)))
}

/// The directory as it is now. A real host asks its identity provider.
pub(crate) fn directory(version: u64, now: Timestamp) -> Result<Directory, Failure> {
    let hr: PrincipalId = "hr".parse()?;
    let mut people = Vec::new();
    for (name, roles) in PEOPLE {
        let mut who = Identity::human(name.parse()?);
        for role in roles {
            let role: RoleId = role.parse()?;
            who = who.with(RoleGrant::new(role, Timestamp::default(), hr.clone(), "their job"));
        }
        people.push(who);
    }
    Ok(Directory::new(version, now, people, [])?)
}

/// What has to be agreed to, by whom.
#[derive(Debug)]
pub(crate) struct Governance {
    pub(crate) quorum: ApprovalPolicy,
    pub(crate) board: Board,
    pub(crate) risk: RiskModel,
    pub(crate) glass: BreakGlass,
}

impl Governance {
    pub(crate) fn new() -> Result<Self, Failure> {
        // One of each, and never the same person twice.
        let one = |role: &str| -> Result<Expression, Failure> {
            Ok(Expression::OfRole(OfRole { role: role.parse()?, n: 1 }))
        };
        let both = Expression::AllOf(vec![one("sre")?, one("security")?]);
        let seats = ["architect", "operations", "security"].map(str::parse);
        let seats = seats.into_iter().collect::<Result<Vec<RoleId>, _>>()?;
        Ok(Self {
            quorum: ApprovalPolicy::new(Quorum::new(both)?),
            board: Board::new("change-manager".parse()?, seats, 2)?,
            risk: risk()?,
            glass: glass()?,
        })
    }
}

/// Half of the points are for moving data, the rest for how far a change reaches.
fn risk() -> Result<RiskModel, Failure> {
    let nothing = || vec![Band { from: 0, points: 0 }];
    let mut factors: BTreeMap<_, _> = Factor::ALL.map(|factor| (factor, nothing())).into();
    let band = |from, points| Band { from, points };
    factors.insert(Factor::DataMigration, vec![band(0, 0), band(1, 50)]);
    factors.insert(Factor::BlastRadius, vec![band(0, 0), band(2, 10), band(5, 30)]);
    Ok(RiskModel::new(1, factors, 10, 40)?)
}

fn glass() -> Result<BreakGlass, Failure> {
    let fix = Capability {
        lifts: BTreeSet::from([Bypass::Windows, Bypass::Approvals, Bypass::Board]),
        requester: "sre".parse()?,
        confirmer: "security".parse()?,
        at_most: Span::secs(HOUR),
        review_within: Span::secs(72 * HOUR),
        reviewer: "auditor".parse()?,
    };
    let capabilities = BTreeMap::from([(GLASS.to_owned(), fix)]);
    Ok(BreakGlass { capabilities, directory_max_age: Span::secs(300) })
}

/// The rules as data: what allows, what denies, and the freeze, less the waivers that were granted.
pub(crate) fn rules(waivers: Vec<Waiver>) -> Result<PolicySet, Failure> {
    let environments = BTreeSet::from(["production".parse()?]);
    let production =
        || Condition::In(Scope { environments: environments.clone(), ..Scope::default() });
    let fact = |name: &str, is: Fact| Condition::Fact { name: name.into(), is: Test::Equals(is) };
    let in_production = |name: &str, is: Fact| Condition::All(vec![production(), fact(name, is)]);
    let route = |route: &str| in_production("route", Fact::Text(route.into()));
    let case = |name: &str| Need::Case { name: name.into() };
    let commands = ["note", "pause", "resume", "cancel"].map(str::to_owned);
    let rules = [
        Rule::allow("commands", Condition::Command(commands.into()), "platform")
            .because("people may speak, stop and go on"),
        Rule::allow("usual", route("normal"), "change-office")
            .needs(case("quorum"))
            .needs(case("reviews"))
            .because("two roles look at every change"),
        Rule::allow("high-risk", route("cab"), "change-office")
            .needs(case("quorum"))
            .needs(case("cab"))
            .needs(case("reviews"))
            .because("what moves data goes to the board"),
        Rule::allow("broken-glass", route("emergency"), "security")
            .needs(case("glass"))
            .because("two people took it upon themselves"),
    ];
    let freeze = When::once("2026-12-19T00:00", "384h"); // until 4 January
    let freeze = WindowSpec::freeze("year-end".parse()?, freeze, "sre".parse()?, "few are there")
        .zone("Europe/Berlin")
        .in_environment("production".parse()?)
        .build()?;
    let windows = Windows::try_from(WindowRules {
        windows: vec![freeze],
        waivers,
        ..WindowRules::default()
    })?;
    let governance = Governance::new()?;
    let glass = Definition::Glass { capability: GLASS.to_owned(), policy: governance.glass };
    Ok(PolicySet::new(rules)?
        .define("quorum", governance.quorum)
        .define("cab", governance.board)
        .define("glass", glass)
        .windows(windows))
}
