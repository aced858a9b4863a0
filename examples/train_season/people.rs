//! What people have to agree to before a train departs, and why it departs when it does: the scope and who signs it, and the
//! model of the departure with all its changes.

use std::collections::BTreeSet;

use release_core::model::{Identity, ItemId, Principal, PrincipalId, RoleGrant, Span, Timestamp};
use release_policy::directory::Directory;
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::{
    Became, Departure, Entry, ItemKind, Objective, Readiness, ReleaseModel, ReleaseScope,
    Requirement, ScopeItem, SignOffs, Signing, Statement, TrainHistory, TrainModel,
};

use crate::backlog::Feature;
use crate::play::Failure;
use crate::season::{DAY, HOUR, begins};

const PRODUCT: &str = "product";
const QUALITY: &str = "quality";

/// What is known of a train when it boards.
#[derive(Debug)]
pub(crate) struct Train<'a> {
    pub(crate) dates: &'a ScheduledDeparture,
    /// What would like to go along.
    pub(crate) features: &'a [Feature],
    /// What does.
    pub(crate) aboard: &'a BTreeSet<ItemId>,
    /// Whether a team had it wait for its scope, until somebody said that no train does.
    pub(crate) asked_to_wait: bool,
    /// When it departs instead of as planned, and why, one after the other.
    pub(crate) moves: &'a [(Timestamp, String)],
}

/// What people said of a train, and what follows from it.
#[derive(Debug)]
pub(crate) struct Consent {
    /// What was missing when boarding ended, of all that would have liked to go along.
    pub(crate) at_cut_off: Readiness,
    /// What was missing when those were taken out that stayed behind.
    pub(crate) without: Readiness,
    /// What was missing when it departed: nothing.
    pub(crate) at_departure: Readiness,
    /// When it departed, why, and with what.
    pub(crate) departure: Departure,
    /// The model, with all changes of it.
    pub(crate) model: TrainModel,
}

impl Train<'_> {
    /// Has everybody say what they have to, and lets the train depart at `departs`.
    pub(crate) fn depart(&self, departs: Timestamp) -> Result<Consent, Failure> {
        let model = self.model()?;
        let departure = model.departure(&self.history()?, departs)?;
        match &departure {
            Departure::Departs { at, aboard, .. } if *at == departs && aboard == self.aboard => {}
            other => return Err(format!("it departs at {departs}, and not so: {other:?}").into()),
        }
        let (at_cut_off, without, at_departure) = self.signed(departs)?;
        if !at_departure.is_ready() {
            return Err(format!("it departs, and lacks {:?}", at_departure.missing).into());
        }
        Ok(Consent { at_cut_off, without, at_departure, departure, model })
    }

    /// The evening before the last morning on which one can board.
    fn evening(&self) -> Timestamp {
        let before = i64::try_from(16 * HOUR * 1_000_000).unwrap_or_default();
        Timestamp::from_micros(self.dates.boards_until.as_micros() - before)
    }

    fn model(&self) -> Result<TrainModel, Failure> {
        let boards_until = self.dates.boards_until;
        let timed = |departs| ReleaseModel::TimeBased { boards_until, departs };
        let history = self.history()?;
        let mut model = if self.asked_to_wait {
            let mut model = TrainModel::new(ReleaseModel::FeatureBased)?;
            let why = (self.evening(), PrincipalId::new("rita")?, "no train waits for a team");
            model.switch(timed(self.dates.departs), &history, why)?;
            model
        } else {
            TrainModel::new(timed(self.dates.departs))?
        };
        for (departs, why) in self.moves {
            model.switch(
                timed(*departs),
                &history,
                (boards_until, PrincipalId::new("rita")?, why.as_str()),
            )?;
        }
        Ok(model)
    }

    /// What became of its features: those that are done and stay behind for others leave.
    fn history(&self) -> Result<TrainHistory, Failure> {
        let boards_until = self.dates.boards_until;
        let joined = i64::try_from(6 * DAY * 1_000_000)?;
        let joined = Timestamp::from_micros(boards_until.as_micros() - joined);
        let mut entries = Vec::new();
        for feature in self.features {
            let ready = feature.ready.max(joined);
            entries.push((joined, 0, &feature.item, Became::Joined));
            entries.push((ready, 1, &feature.item, Became::Complete));
            if ready <= boards_until && !self.aboard.contains(&feature.item) {
                entries.push((boards_until, 2, &feature.item, Became::Left));
            }
        }
        entries.sort_by_key(|(at, rank, item, _)| (*at, *rank, *item));
        let mut history = TrainHistory::default();
        for (at, _, item, became) in entries {
            history.push(Entry::new(at, item.clone(), became))?;
        }
        Ok(history)
    }

    fn scope(&self) -> Result<ReleaseScope, Failure> {
        let goal = "fewer-clicks".parse()?;
        let goal = Objective::new(goal, "users come to the end sooner", PRODUCT.parse()?);
        let mut scope = ReleaseScope::new([], [goal.clone()])?;
        for Feature { item, team, week, .. } in self.features {
            let title = format!("what {team} does in week {week}");
            let item = ScopeItem::new(item.clone(), ItemKind::Feature, title, team.parse()?);
            scope.add(item.serving(goal.id.clone()).due(self.dates.boards_until))?;
        }
        Ok(scope)
    }

    /// What was missing when boarding ended, when others were taken out, and at last.
    fn signed(&self, departs: Timestamp) -> Result<(Readiness, Readiness, Readiness), Failure> {
        let ScheduledDeparture { id, boards_until, departs: planned, .. } = self.dates;
        let need = |name: &str, due| {
            Ok::<_, Failure>(Requirement::new(name.parse()?, name.parse()?, name.parse()?, due))
        };
        let all = [need(PRODUCT, *boards_until)?, need(QUALITY, *planned)?];
        let sign_offs = SignOffs::new(all)?.of_train(id.clone());
        let directory = directory()?;
        let mut scope = self.scope()?;
        let mut said: Vec<Statement> = Vec::new();
        let sign = |name: &str, who: &str, at, scope: &ReleaseScope, said: &mut Vec<Statement>| {
            let (by, seen) = (Principal::human(who.parse()?), scope.digest());
            let asked = Signing { scope, said, by: &by, directory: &directory, at };
            let statement = sign_offs.sign(&name.parse()?, seen, &asked)?;
            said.push(statement);
            Ok::<_, Failure>(())
        };
        let done = self.features.iter().filter(|one| one.ready <= *boards_until);
        let done: BTreeSet<ItemId> = done.map(|one| one.item.clone()).collect();
        sign(PRODUCT, "paula", self.evening(), &scope, &mut said)?;
        let at_cut_off = sign_offs.readiness(&scope, &said, &done, *boards_until);
        let left = self.features.iter().filter(|one| !self.aboard.contains(&one.item));
        for feature in left {
            scope.remove(&feature.item)?;
        }
        let without = sign_offs.readiness(&scope, &said, &done, *boards_until);
        let later = boards_until.plus(Span::secs(HOUR));
        if self.features.len() > self.aboard.len() {
            sign(PRODUCT, "paula", later, &scope, &mut said)?;
        }
        sign(QUALITY, "quentin", later, &scope, &mut said)?;
        let at_departure = sign_offs.readiness(&scope, &said, &done, departs);
        Ok((at_cut_off, without, at_departure))
    }
}

/// Who may sign what.
fn directory() -> Result<Directory, Failure> {
    let since = begins()?;
    let person = |name: &str, role: &str| {
        let grant = RoleGrant::new(role.parse()?, since, "root".parse()?, "their job");
        Ok::<_, Failure>(Identity::human(name.parse()?).with(grant))
    };
    let people = [person("paula", PRODUCT)?, person("quentin", QUALITY)?];
    Ok(Directory::new(1, since, people, [])?)
}
