//! Lifting named rules for one use and a short time, by two people.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ChangeScope, Digest, PrincipalId, RoleId, RunId, Span, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

use super::obligation::{Duty, Obligation};
use crate::directory::{Directory, DirectoryFault, DirectoryState, People};

/// A rule that can be lifted. There is none for audit, for identity or for the verification of artifacts: what
/// cannot be said cannot be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bypass {
    /// Freezes and deployment windows.
    Windows,
    /// Quorums of approvals that rules need. Gates of plans are not lifted.
    Approvals,
    /// The decision of the board, with what it asks for besides.
    Board,
}

impl Bypass {
    /// The name as it stands in leaves.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Approvals => "approvals",
            Self::Board => "board",
        }
    }
}

/// What breaking one glass gives, to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// The rules that are lifted.
    pub lifts: BTreeSet<Bypass>,
    /// The role of who asks.
    pub requester: RoleId,
    /// The role of who confirms, somebody else.
    pub confirmer: RoleId,
    /// How long it may be used at most, from the request on.
    pub at_most: Span,
    /// Within what time somebody must review it.
    pub review_within: Span,
    /// The role of who reviews, somebody else again.
    pub reviewer: RoleId,
}

/// All glasses, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// What each gives.
    pub capabilities: BTreeMap<String, Capability>,
    /// From which age on a directory decides nothing.
    pub directory_max_age: Span,
}

/// Who says something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The number of the record.
    pub seq: u64,
    /// The account.
    pub by: PrincipalId,
    /// Other accounts that were known to be the same person's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub linked: BTreeSet<PrincipalId>,
    /// The roles that the account could use then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleId>,
    /// When.
    pub at: Timestamp,
}

impl Word {
    pub(super) fn links(&self) -> impl Iterator<Item = (&PrincipalId, &PrincipalId)> {
        self.linked.iter().map(|other| (&self.by, other))
    }
}

/// Somebody wants to break a glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlassRequest {
    /// Who, and when.
    pub word: Word,
    /// Which glass.
    pub capability: String,
    /// For which run: it is used in that one alone.
    pub run: RunId,
    /// For which plan of it.
    pub plan: Digest,
    /// Where.
    pub scope: ChangeScope,
    /// Why.
    pub reason: String,
    /// The incident that it is for.
    pub incident: String,
}

/// Something that happened to a glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GlassFact {
    /// Somebody wants to break it.
    Requested(GlassRequest),
    /// Somebody else agrees.
    Confirmed {
        /// Who, and when.
        word: Word,
        /// The number of the request.
        of: u64,
    },
    /// It was used.
    Used {
        /// Who, and when.
        word: Word,
        /// The number of the request.
        of: u64,
    },
}

/// A fact that cannot follow those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlassError {
    /// Its number is that of another, or smaller.
    #[error("break_glass/order: record {seq} comes after {last}; give facts in their order")]
    Order {
        /// Its number.
        seq: u64,
        /// The number before.
        last: u64,
    },
    /// It does not say why.
    #[error("break_glass/reason: record {seq} gives no reason; write one")]
    NoReason {
        /// Its number.
        seq: u64,
    },
    /// It names no incident.
    #[error("break_glass/incident: record {seq} names no incident; open one and name it")]
    NoIncident {
        /// Its number.
        seq: u64,
    },
    /// What it is about is not there.
    #[error("break_glass/request: there is no request {of}")]
    Unknown {
        /// The number of the request.
        of: u64,
    },
    /// It was used already.
    #[error("break_glass/single_use: request {of} was used at {at}; ask anew")]
    AlreadyUsed {
        /// The number of the request.
        of: u64,
        /// When it was used.
        at: Timestamp,
    },
}

/// What happened to glasses so far: the fold over its facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GlassFacts {
    all: BTreeMap<u64, Glass>,
    last: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Glass {
    request: GlassRequest,
    confirmed: Vec<Word>,
    used: Option<Word>,
}

impl GlassFacts {
    /// Folds facts in the order of their records.
    ///
    /// # Errors
    /// [`GlassError`] of the first that cannot follow those before it.
    pub fn fold(facts: impl IntoIterator<Item = GlassFact>) -> Result<Self, GlassError> {
        let mut all = Self::default();
        for fact in facts {
            all.apply(fact)?;
        }
        Ok(all)
    }

    /// Adds one fact. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`GlassError`] says why it cannot follow those before it.
    pub fn apply(&mut self, fact: GlassFact) -> Result<(), GlassError> {
        let seq = match &fact {
            GlassFact::Requested(request) => request.word.seq,
            GlassFact::Confirmed { word, .. } | GlassFact::Used { word, .. } => word.seq,
        };
        if let Some(last) = self.last.filter(|last| seq <= *last) {
            return Err(GlassError::Order { seq, last });
        }
        match fact {
            GlassFact::Requested(request) => {
                if request.reason.trim().is_empty() {
                    return Err(GlassError::NoReason { seq });
                }
                if request.incident.trim().is_empty() {
                    return Err(GlassError::NoIncident { seq });
                }
                let glass = Glass { request, confirmed: Vec::new(), used: None };
                self.all.insert(seq, glass);
            }
            GlassFact::Confirmed { word, of } => self.unused(of)?.confirmed.push(word),
            GlassFact::Used { word, of } => self.unused(of)?.used = Some(word),
        }
        self.last = Some(seq);
        Ok(())
    }

    /// The last request for a glass.
    pub fn latest(&self, capability: &str) -> Option<&GlassRequest> {
        let ours = |request: &&GlassRequest| request.capability == capability;
        self.all.values().rev().map(|glass| &glass.request).find(ours)
    }

    /// The requests for a glass and a run, the last one first.
    pub fn requests_for<'a>(
        &'a self,
        capability: &'a str,
        run: &'a RunId,
    ) -> impl Iterator<Item = &'a GlassRequest> {
        let ours =
            move |request: &&GlassRequest| request.capability == capability && request.run == *run;
        self.all.values().rev().map(|glass| &glass.request).filter(ours)
    }

    fn unused(&mut self, of: u64) -> Result<&mut Glass, GlassError> {
        let glass = self.all.get_mut(&of).ok_or(GlassError::Unknown { of })?;
        match &glass.used {
            Some(used) => Err(GlassError::AlreadyUsed { of, at: used.at }),
            None => Ok(glass),
        }
    }
}

/// Why a glass cannot be broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such request.
    #[error("there is no such request")]
    NoRequest,
    /// There is no such glass.
    #[error("there is no glass `{name}`")]
    NoCapability {
        /// Its name.
        name: String,
    },
    /// It leaves no time to use or to review it, so that nobody could ever be held to it.
    #[error("the glass `{name}` leaves no time to use or to review it; set both")]
    NoTime {
        /// Its name.
        name: String,
    },
    /// It is for somewhere else.
    #[error("it was asked for elsewhere")]
    Elsewhere,
    /// It was used already.
    #[error("it was used at {at}")]
    Used {
        /// When.
        at: Timestamp,
    },
    /// Its time is over, or has not come.
    #[error("it may be used from {from} until {until}")]
    Time {
        /// From when.
        from: Timestamp,
        /// The first instant at which it may no longer.
        until: Timestamp,
    },
    /// Who asked is not, or no longer, somebody who may.
    #[error("who asked is not a person who is {role}")]
    Requester {
        /// The role.
        role: RoleId,
    },
    /// Nobody else who may has confirmed it.
    #[error("nobody else who is {role} has confirmed it")]
    NotConfirmed {
        /// The role.
        role: RoleId,
    },
    /// There is no directory to go by.
    #[error("{fault}")]
    Directory {
        /// What is wrong with it.
        fault: DirectoryFault,
    },
}

/// Whether a glass may be broken. Exhaustive on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[must_use = "nothing is lifted unless this is read"]
pub enum GlassAnswer {
    /// It may, once.
    Usable {
        /// The rules that it lifts.
        lifts: BTreeSet<Bypass>,
        /// The first instant at which it may no longer.
        until: Timestamp,
        /// Who confirmed it.
        confirmed_by: PrincipalId,
    },
    /// It may not.
    Refused {
        /// Why not.
        because: Refusal,
    },
}

impl GlassAnswer {
    /// As a decision of a policy: whatever somebody can still say is waited for.
    pub fn decision(&self) -> Decision {
        let because = match self {
            Self::Usable { .. } => return Decision::permit(),
            Self::Refused { because } => because,
        };
        let (waits, lifted_by) = match because {
            Refusal::NotConfirmed { role } => (true, format!("somebody else who is {role}")),
            Refusal::Directory { .. } => (false, "whoever runs the directory".to_owned()),
            Refusal::Requester { role } => (false, format!("a request of somebody who is {role}")),
            Refusal::NoCapability { .. } | Refusal::NoTime { .. } => {
                (false, "whoever owns the rules".to_owned())
            }
            Refusal::NoRequest
            | Refusal::Elsewhere
            | Refusal::Used { .. }
            | Refusal::Time { .. } => (false, "a new request".to_owned()),
        };
        let reasons = vec![Reason::new("break_glass/refused", because.to_string(), lifted_by)];
        if waits { Decision::wait(None, reasons) } else { Decision::deny(reasons) }
    }
}

impl BreakGlass {
    /// What is to be said while nobody has asked to break a glass: who can.
    pub(crate) fn unasked(&self, capability: &str) -> Decision {
        match self.capabilities.get(capability) {
            None => {
                let name = capability.to_owned();
                GlassAnswer::Refused { because: Refusal::NoCapability { name } }.decision()
            }
            Some(Capability { requester, confirmer, .. }) => {
                let text = format!("nobody has asked to break the glass `{capability}`");
                let lifted_by = format!(
                    "somebody who is {requester}, confirmed by somebody else who is {confirmer}"
                );
                Decision::wait(None, vec![Reason::new("break_glass/unasked", text, lifted_by)])
            }
        }
    }
}

/// Whether the glass of request `of` may be broken now for something in `scope`.
pub fn usable(
    policy: &BreakGlass,
    facts: &GlassFacts,
    of: u64,
    scope: &ChangeScope,
    directory: DirectoryState<'_>,
    now: Timestamp,
) -> GlassAnswer {
    match find(policy, facts, of, scope, directory, now) {
        Ok((capability, until, confirmed_by)) => {
            GlassAnswer::Usable { lifts: capability.lifts.clone(), until, confirmed_by }
        }
        Err(because) => GlassAnswer::Refused { because },
    }
}

fn find<'a>(
    policy: &'a BreakGlass,
    facts: &GlassFacts,
    of: u64,
    scope: &ChangeScope,
    directory: DirectoryState<'_>,
    now: Timestamp,
) -> Result<(&'a Capability, Timestamp, PrincipalId), Refusal> {
    let directory = directory
        .fresh(now, policy.directory_max_age)
        .map_err(|fault| Refusal::Directory { fault })?;
    let Glass { request, confirmed, used } = facts.all.get(&of).ok_or(Refusal::NoRequest)?;
    let name = &request.capability;
    let none = || Refusal::NoCapability { name: name.clone() };
    let capability = policy.capabilities.get(name).ok_or_else(none)?;
    if capability.at_most == Span::ZERO || capability.review_within == Span::ZERO {
        return Err(Refusal::NoTime { name: name.clone() });
    }
    if let Some(used) = used {
        return Err(Refusal::Used { at: used.at });
    }
    if !request.scope.contains(scope) {
        return Err(Refusal::Elsewhere);
    }
    let (from, until) = (request.word.at, request.word.at.plus(capability.at_most));
    if now < from || until <= now {
        return Err(Refusal::Time { from, until });
    }
    let words = std::iter::once(&request.word).chain(confirmed);
    let people = People::new(directory, words.flat_map(Word::links));
    let may = |word: &Word, role: &RoleId| holds(directory, word, role, &request.scope, now);
    if !may(&request.word, &capability.requester) {
        return Err(Refusal::Requester { role: capability.requester.clone() });
    }
    let asker = people.human(&request.word.by);
    let other = confirmed.iter().find(|word| {
        let lenders = directory.lent_roles(&word.by, &request.scope, now);
        // What the requester lent does not confirm their own request.
        let lent_by_asker = lenders
            .filter(|(role, _)| **role == capability.confirmer)
            .any(|(_, from)| people.human(from) == asker);
        let own = directory.own_roles(&word.by, &request.scope, now);
        let speaks_for_asker = lent_by_asker && !own.contains(&capability.confirmer);
        people.human(&word.by) != asker
            && !speaks_for_asker
            && word.at >= from
            && may(word, &capability.confirmer)
    });
    let missing = || Refusal::NotConfirmed { role: capability.confirmer.clone() };
    let other = other.ok_or_else(missing)?;
    Ok((capability, until, other.by.clone()))
}

/// Whether somebody had a role when they spoke and has it now, as a person.
fn holds(
    directory: &Directory,
    word: &Word,
    role: &RoleId,
    scope: &ChangeScope,
    now: Timestamp,
) -> bool {
    word.at <= now
        && directory.is_person(&word.by)
        && word.roles.contains(role)
        && directory.roles(&word.by, scope, now).contains(role)
}

/// What is owed once the glass of request `of` was used, under record `seq`; `None` while it was not.
pub fn owed(policy: &BreakGlass, facts: &GlassFacts, of: u64, seq: u64) -> Option<Obligation> {
    let Glass { request, confirmed, used } = facts.all.get(&of)?;
    let (used, capability) = (used.as_ref()?, policy.capabilities.get(&request.capability)?);
    let words = [&request.word, used].into_iter().chain(confirmed);
    let involved = words.flat_map(|word| std::iter::once(&word.by).chain(&word.linked));
    Some(Obligation {
        seq,
        duty: Duty::BreakGlassReviewed,
        scope: request.scope.clone(),
        opened_at: used.at,
        due: used.at.plus(capability.review_within),
        involved: involved.cloned().collect(),
        reviewer: capability.reviewer.clone(),
    })
}
