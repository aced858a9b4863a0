//! What a release is to contain, and for what: content with a hash.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, ItemId, ObjectiveId, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;

/// How many items a scope may have.
pub const MAX_ITEMS: usize = 100_000;

/// What kind of work an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ItemKind {
    /// Something new.
    Feature,
    /// Something mended.
    Fix,
}

impl ItemKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Fix => "fix",
        }
    }
}

/// A feature or a fix that a release is to contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeItem {
    /// Its name, such as that of a ticket.
    pub id: ItemId,
    /// What kind of work it is.
    pub kind: ItemKind,
    /// What it is, in a line.
    pub title: String,
    /// Whose it is.
    pub owner: TeamId,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objectives: BTreeSet<ObjectiveId>,
    /// Until when it has to be complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

impl ScopeItem {
    /// An item without objectives and without a date of its own.
    pub fn new(id: ItemId, kind: ItemKind, title: impl Into<String>, owner: TeamId) -> Self {
        Self { id, kind, title: title.into(), owner, objectives: BTreeSet::new(), due: None }
    }

    /// Adds an objective that it serves.
    #[must_use]
    pub fn serving(mut self, objective: ObjectiveId) -> Self {
        self.objectives.insert(objective);
        self
    }

    /// Sets until when it has to be complete.
    #[must_use]
    pub const fn due(mut self, due: Timestamp) -> Self {
        self.due = Some(due);
        self
    }

    /// What identifies all of its content.
    pub fn digest(&self) -> Digest {
        Canonical::new("release/scope-item/1")
            .text(self.id.as_str())
            .text(self.kind.name())
            .text(&self.title)
            .text(self.owner.as_str())
            .list(self.objectives.iter(), |all, id| all.text(id.as_str()))
            .maybe(self.due, |all, due| all.number(due.as_micros()))
            .finish()
    }
}

/// What the business wants of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Its name.
    pub id: ObjectiveId,
    /// What is to be reached, in a sentence.
    pub title: String,
    /// Who answers for it.
    pub owner: TeamId,
}

impl Objective {
    /// An objective.
    pub fn new(id: ObjectiveId, title: impl Into<String>, owner: TeamId) -> Self {
        Self { id, title: title.into(), owner }
    }

    /// What identifies all of its content.
    pub fn digest(&self) -> Digest {
        Canonical::new("release/objective/1")
            .text(self.id.as_str())
            .text(&self.title)
            .text(self.owner.as_str())
            .finish()
    }
}

/// All that a release is to contain, and for what. It is what people sign: any change of it has another [digest](Self::digest).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ReleaseScope {
    items: BTreeMap<ItemId, ScopeItem>,
    objectives: BTreeMap<ObjectiveId, Objective>,
}

/// As it stands in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    items: Vec<ScopeItem>,
    #[serde(default)]
    objectives: Vec<Objective>,
}

impl TryFrom<Written> for ReleaseScope {
    type Error = ScopeError;
    fn try_from(written: Written) -> Result<Self, ScopeError> {
        Self::new(written.items, written.objectives)
    }
}

impl From<ReleaseScope> for Written {
    fn from(scope: ReleaseScope) -> Self {
        let (items, objectives) = (scope.items.into_values(), scope.objectives.into_values());
        Self { items: items.collect(), objectives: objectives.collect() }
    }
}

/// Why something is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// Two items have one name.
    #[error("there are two items `{0}`; give one of them another name")]
    SameItem(ItemId),
    /// Two objectives have one name.
    #[error("there are two objectives `{0}`; give one of them another name")]
    SameObjective(ObjectiveId),
    /// An item serves an objective that is none.
    #[error(
        "item `{item}` serves `{objective}`, which is no objective of the release; add it, or correct the name"
    )]
    UnknownObjective {
        /// The item.
        item: ItemId,
        /// What it names.
        objective: ObjectiveId,
    },
    /// There is no such item.
    #[error("there is no item `{0}`")]
    NoItem(ItemId),
    /// It is too much.
    #[error("{0} items are more than {MAX_ITEMS}; split the release")]
    TooMany(usize),
}

impl ReleaseScope {
    /// A scope of these items and objectives.
    ///
    /// # Errors
    /// [`ScopeError`] for names that are given twice, objectives that are not there, and more than [`MAX_ITEMS`] of either.
    pub fn new(
        items: impl IntoIterator<Item = ScopeItem>,
        objectives: impl IntoIterator<Item = Objective>,
    ) -> Result<Self, ScopeError> {
        let mut scope = Self::default();
        for objective in objectives {
            room(scope.objectives.len())?;
            let id = objective.id.clone();
            if scope.objectives.insert(id.clone(), objective).is_some() {
                return Err(ScopeError::SameObjective(id));
            }
        }
        for item in items {
            scope.add(item)?;
        }
        Ok(scope)
    }

    /// Adds an item.
    ///
    /// # Errors
    /// As [`Self::new`]; nothing is changed then.
    pub fn add(&mut self, item: ScopeItem) -> Result<(), ScopeError> {
        room(self.items.len())?;
        if self.items.contains_key(&item.id) {
            return Err(ScopeError::SameItem(item.id));
        }
        self.put(item)
    }

    /// Puts an item in the place of the one of that name.
    ///
    /// # Errors
    /// [`ScopeError`] if there is none, or if it serves what is no objective; nothing is changed then.
    pub fn change(&mut self, item: ScopeItem) -> Result<(), ScopeError> {
        if !self.items.contains_key(&item.id) {
            return Err(ScopeError::NoItem(item.id));
        }
        self.put(item)
    }

    fn put(&mut self, item: ScopeItem) -> Result<(), ScopeError> {
        if let Some(unknown) = item.objectives.iter().find(|id| !self.objectives.contains_key(*id))
        {
            let objective = unknown.clone();
            return Err(ScopeError::UnknownObjective { item: item.id, objective });
        }
        self.items.insert(item.id.clone(), item);
        Ok(())
    }

    /// Takes an item out.
    ///
    /// # Errors
    /// [`ScopeError::NoItem`] if there is none.
    pub fn remove(&mut self, id: &ItemId) -> Result<ScopeItem, ScopeError> {
        self.items.remove(id).ok_or_else(|| ScopeError::NoItem(id.clone()))
    }

    /// All items, by name.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &ScopeItem> {
        self.items.values()
    }

    /// The item of this name.
    pub fn item(&self, id: &ItemId) -> Option<&ScopeItem> {
        self.items.get(id)
    }

    /// All objectives, by name.
    pub fn objectives(&self) -> impl ExactSizeIterator<Item = &Objective> {
        self.objectives.values()
    }

    /// What identifies all of it.
    pub fn digest(&self) -> Digest {
        self.covered(&Coverage::default()).digest()
    }

    /// What `coverage` covers of it, as it is now.
    pub fn covered(&self, coverage: &Coverage) -> Covered {
        self.covered_by(coverage, (ScopeItem::digest, Objective::digest))
    }

    /// The same, by what says what identifies each piece.
    fn covered_by(
        &self,
        coverage: &Coverage,
        (of_item, of_objective): (impl Fn(&ScopeItem) -> Digest, impl Fn(&Objective) -> Digest),
    ) -> Covered {
        let contained = || self.items.values().filter(|item| coverage.contains(item));
        let items = contained().map(|item| (item.id.clone(), of_item(item))).collect();
        let served: BTreeSet<_> = contained().flat_map(|item| &item.objectives).collect();
        let all = coverage == &Coverage::default();
        let named = |id| all || coverage.objectives.contains(id) || served.contains(id);
        let objectives = self
            .objectives
            .values()
            .filter(|objective| named(&objective.id))
            .map(|objective| (objective.id.clone(), of_objective(objective)))
            .collect();
        Covered { items, objectives }
    }

    /// It, with what identifies each of its pieces: for many questions.
    pub(super) fn digested(&self) -> Digested<'_> {
        Digested { scope: self, all: self.covered(&Coverage::default()) }
    }
}

/// A scope of which it is found once what identifies each piece.
pub(super) struct Digested<'a> {
    scope: &'a ReleaseScope,
    all: Covered,
}

impl Digested<'_> {
    /// What identifies all of it.
    pub(super) fn digest(&self) -> Digest {
        self.all.digest()
    }

    /// What `coverage` covers of it, as [`ReleaseScope::covered`] says.
    pub(super) fn covered(&self, coverage: &Coverage) -> Covered {
        let of_item = |item: &ScopeItem| {
            self.all.items.get(&item.id).copied().unwrap_or_else(|| item.digest())
        };
        let of_objective = |objective: &Objective| {
            let known = self.all.objectives.get(&objective.id).copied();
            known.unwrap_or_else(|| objective.digest())
        };
        self.scope.covered_by(coverage, (of_item, of_objective))
    }

    /// Whether `coverage` covers no item of it.
    pub(super) fn has_none_of(&self, coverage: &Coverage) -> bool {
        !self.scope.items().any(|item| coverage.contains(item))
    }
}

fn room(taken: usize) -> Result<(), ScopeError> {
    if taken < MAX_ITEMS { Ok(()) } else { Err(ScopeError::TooMany(taken + 1)) }
}

/// Which part of a scope: what all of the lists name that are not empty; all of it where all are empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Coverage {
    /// Kinds of work.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<ItemKind>,
    /// Owners of items.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<TeamId>,
    /// Objectives that items serve, any of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub objectives: BTreeSet<ObjectiveId>,
    /// Items by name.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub items: BTreeSet<ItemId>,
}

impl Coverage {
    /// Whether an item is part of it, be it in a scope or not.
    pub fn contains(&self, item: &ScopeItem) -> bool {
        let within = |empty: bool, named: bool| empty || named;
        within(self.kinds.is_empty(), self.kinds.contains(&item.kind))
            && within(self.owners.is_empty(), self.owners.contains(&item.owner))
            && within(self.objectives.is_empty(), !self.objectives.is_disjoint(&item.objectives))
            && within(self.items.is_empty(), self.items.contains(&item.id))
    }
}

/// What was covered, piece by piece, so that it can be told which of them changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    items: BTreeMap<ItemId, Digest>,
    objectives: BTreeMap<ObjectiveId, Digest>,
}

impl Covered {
    /// What identifies all of it.
    pub fn digest(&self) -> Digest {
        let begun = Canonical::new("release/scope/1");
        begun
            .list(self.items.iter(), |all, (id, digest)| all.text(id.as_str()).digest(digest))
            .list(self.objectives.iter(), |all, (id, digest)| all.text(id.as_str()).digest(digest))
            .finish()
    }

    /// How many items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it covers no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is otherwise in `now`.
    pub fn changes(&self, now: &Self) -> Vec<Changed> {
        let items = differences(&self.items, &now.items).map(|(id, how)| Changed::Item(id, how));
        let objectives = differences(&self.objectives, &now.objectives);
        items.chain(objectives.map(|(id, how)| Changed::Objective(id, how))).collect()
    }
}

fn differences<'a, I: Ord + Clone>(
    then: &'a BTreeMap<I, Digest>,
    now: &'a BTreeMap<I, Digest>,
) -> impl Iterator<Item = (I, How)> + 'a {
    let gone = then.iter().filter_map(|(id, digest)| match now.get(id) {
        None => Some((id.clone(), How::Removed)),
        Some(other) if other != digest => Some((id.clone(), How::Altered)),
        Some(_) => None,
    });
    let fresh = now.keys().filter(|id| !then.contains_key(id));
    gone.chain(fresh.map(|id| (id.clone(), How::Added)))
}

/// A piece of a scope that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// An item.
    Item(ItemId, How),
    /// An objective.
    Objective(ObjectiveId, How),
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |how: How| match how {
            How::Added => "was added",
            How::Removed => "was removed",
            How::Altered => "was altered",
        };
        match self {
            Self::Item(id, how) => write!(f, "item `{id}` {}", told(*how)),
            Self::Objective(id, how) => write!(f, "objective `{id}` {}", told(*how)),
        }
    }
}

/// What became of a piece of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is otherwise.
    Altered,
}
