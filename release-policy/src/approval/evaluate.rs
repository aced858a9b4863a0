//! The fold from facts to an answer.

use std::collections::BTreeSet;

use release_core::model::{PrincipalId, RoleId, Timestamp};

use super::eligible::{Eligibility, Standing, Voice, Voices, expires};
use super::facts::{Approval, ApprovalFacts, Ended, Said, Verdict};
use super::matching::{Assignment, Fits};
use super::outcome::{
    Answer, ApprovalOutcome, Counted, Denial, Dropped, Missing, Objection, Unfit,
};
use super::policy::{ApprovalPolicy, Question, VetoRule};
use super::quorum::Slot;
use super::subject::Part;
use crate::directory::{Directory, DirectoryState};

/// How many accounts are named at most that could fill a place.
pub const MOST_CANDIDATES: usize = 100;

/// Answers a question for approval from what was said and from the directory of now.
///
/// It is asked again at admission, just before the effect: who lost their role meanwhile no longer counts.
pub fn evaluate(
    policy: &ApprovalPolicy,
    question: &Question,
    facts: &ApprovalFacts,
    directory: DirectoryState<'_>,
    now: Timestamp,
) -> ApprovalOutcome {
    let mut outcome = ApprovalOutcome {
        answer: Answer::Open,
        at: now,
        subject: question.subject,
        directory: None,
        counted: Vec::new(),
        dropped: Vec::new(),
        objections: Vec::new(),
        missing: Vec::new(),
        other_ways: 0,
        next_change: None,
    };
    let directory = match directory.fresh(now, policy.directory_max_age) {
        Ok(directory) => directory,
        Err(fault) => {
            outcome.answer = Answer::Denied { because: Denial::Directory { fault } };
            return outcome;
        }
    };
    outcome.directory = Some(directory.stamp());
    outcome.next_change = next_change(policy, question, facts, directory, now);
    if question.parties.authors.is_none() {
        outcome.answer = Answer::Denied { because: Denial::AuthorsUnknown };
        return outcome;
    }
    Asked::new(policy, question, facts, directory, now).answer(facts, outcome)
}

/// A question, and all that it is judged by.
struct Asked<'a> {
    policy: &'a ApprovalPolicy,
    question: &'a Question,
    eligible: Eligibility<'a>,
    now: Timestamp,
}

impl<'a> Asked<'a> {
    fn new(
        policy: &'a ApprovalPolicy,
        question: &'a Question,
        facts: &'a ApprovalFacts,
        directory: &'a Directory,
        now: Timestamp,
    ) -> Self {
        let statements = facts.approvals().map(|approval| &approval.statement);
        let Question { parties, scope, .. } = question;
        let eligible =
            Eligibility::new(directory, parties, &policy.exclude, scope, statements, now);
        Self { policy, question, eligible, now }
    }

    fn answer(&self, facts: &'a ApprovalFacts, mut outcome: ApprovalOutcome) -> ApprovalOutcome {
        let mut standing = Vec::new();
        let (vetoes, approvals): (Vec<_>, Vec<_>) =
            facts.said().partition(|said| said.approval.verdict == Verdict::Veto);
        for said in vetoes {
            match self.veto(said) {
                Ok(objection) => outcome.objections.push(objection),
                Err(why) => outcome.dropped.push(dropped(&said.approval, why)),
            }
        }
        for said in approvals {
            match self.approval(said, &outcome.objections) {
                Ok(roles) => {
                    let human = self.eligible.people.human(&said.approval.statement.by);
                    standing.push((human, said.approval.statement.seq, roles));
                }
                Err(why) => outcome.dropped.push(dropped(&said.approval, why)),
            }
        }
        let live: BTreeSet<u64> = standing.iter().map(|(_, seq, _)| *seq).collect();
        let voices = Voices::new(standing);
        let (way, assignment) = self.nearest(&voices);
        for (slot, voice) in way.iter().zip(assignment.by_slot()) {
            if let Some(voice) = voice.and_then(|voice| voices.all.get(voice)) {
                let seq = credited(slot, voice);
                let by = facts.said().map(|said| &said.approval.statement);
                let by = by.filter(|said| said.seq == seq).map(|said| said.by.clone());
                outcome.counted.extend(by.map(|by| Counted {
                    slot: slot.clone(),
                    seq,
                    by,
                    human: voice.human.clone(),
                }));
            }
        }
        outcome.counted.sort_by_key(|counted| counted.seq);
        for approval in facts.approvals().filter(|given| live.contains(&given.statement.seq)) {
            if let Some(why) = self.uncounted(approval, &voices, &outcome.counted) {
                outcome.dropped.push(dropped(approval, why));
            }
        }
        outcome.dropped.sort_by_key(|dropped| dropped.seq);
        outcome.missing = self.missing(way, &assignment, &voices, &outcome.objections);
        outcome.other_ways = self.policy.quorum.ways().len() - 1;
        outcome.answer = if self.is_vetoed(&voices, &outcome.objections) {
            Answer::Vetoed
        } else if outcome.missing.is_empty() {
            Answer::Met
        } else {
            Answer::Open
        };
        outcome
    }

    fn ended(&self, said: &Said) -> Result<(), Unfit> {
        match said.ended {
            Some((at, how)) if at <= self.now => Err(match how {
                Ended::Withdrawn => Unfit::Withdrawn { at },
                Ended::Reset => Unfit::Reset { at },
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// A veto is about the content: it stands, without end, until that is another, or it is taken back.
    /// Parties to the change may object, too.
    fn veto(&self, said: &'a Said) -> Result<Objection, Unfit> {
        self.ended(said)?;
        let statement = &said.approval.statement;
        if statement.at > self.now {
            return Err(Unfit::NotYet { at: statement.at });
        }
        let changed: BTreeSet<_> = statement.bound_to.changed(&self.question.subject).collect();
        if changed.contains(&Part::Plan) || changed.contains(&Part::Artifacts) {
            return Err(Unfit::Stale { changed });
        }
        self.eligible.person(&statement.by)?;
        let human = self.eligible.people.human(&statement.by);
        let Standing { own, lent } = self.eligible.roles(&statement.by);
        let roles: BTreeSet<_> =
            own.into_iter().chain(lent.into_iter().map(|(role, _)| role)).collect();
        let may = self.eligible.party(&statement.by).is_some()
            || self
                .policy
                .quorum
                .slots()
                .any(|slot| self.fits(slot, human, |role| roles.contains(role)));
        if !may {
            return Err(self.eligible.without_role(statement, |role| self.is_asked(role)));
        }
        Ok(Objection { seq: statement.seq, by: statement.by.clone(), human: human.clone() })
    }

    fn approval(&self, said: &'a Said, vetoes: &[Objection]) -> Result<Standing<'a>, Unfit> {
        self.ended(said)?;
        let statement = &said.approval.statement;
        let ApprovalPolicy { valid_for, quorum, .. } = self.policy;
        let standing = self.eligible.standing(statement, &self.question.subject, *valid_for)?;
        let human = self.eligible.people.human(&statement.by);
        if let Some(veto) = vetoes.iter().find(|veto| veto.human == *human) {
            return Err(Unfit::OwnVeto { of: veto.seq });
        }
        let has = |role: &RoleId| {
            standing.own.contains(role) || standing.lent.iter().any(|(held, _)| held == role)
        };
        if !quorum.slots().any(|slot| self.fits(slot, human, has)) {
            return Err(self.eligible.without_role(statement, |role| self.is_asked(role)));
        }
        Ok(standing)
    }

    fn is_asked(&self, role: &RoleId) -> bool {
        self.policy.quorum.slots().any(|slot| matches!(slot, Slot::Role(asked) if asked == role))
    }

    fn fits(&self, slot: &'a Slot, human: &PrincipalId, has: impl Fn(&RoleId) -> bool) -> bool {
        match slot {
            Slot::Person(person) => self.eligible.people.human(person) == human,
            Slot::Role(role) => has(role),
            Slot::Anyone => true,
        }
    }

    /// The way that leaves the fewest places empty, the first of those that are equally near.
    fn nearest(&self, voices: &Voices<'a>) -> (&'a [Slot], Assignment) {
        let assign = |way: &'a Vec<Slot>| {
            let count = voices.all.len();
            let fits = Fits::new(way.len(), count, |slot, voice| {
                way.get(slot).zip(voices.all.get(voice)).is_some_and(|(slot, voice)| {
                    self.fits(slot, voice.human, |role| voice.roles.contains_key(role))
                })
            });
            (way.as_slice(), fits.assign(count))
        };
        let ways = self.policy.quorum.ways().iter().map(assign);
        let nearest = ways.min_by_key(|(way, assignment)| way.len() - assignment.filled());
        nearest.unwrap_or_else(|| (&[Slot::Anyone], Fits::new(1, 0, |_, _| false).assign(0)))
    }

    /// Why an approval that holds fills no place.
    fn uncounted(
        &self,
        approval: &'a Approval,
        voices: &Voices<'_>,
        counted: &[Counted],
    ) -> Option<Unfit> {
        let seq = approval.statement.seq;
        if counted.iter().any(|counted| counted.seq == seq) {
            return None;
        }
        let human = self.eligible.people.human(&approval.statement.by);
        if let Some(counts) = counted.iter().find(|counted| counted.human == *human) {
            return Some(Unfit::Duplicate { of: counts.seq });
        }
        let first = voices.all.iter().find(|voice| voice.human == human).map(|voice| voice.first);
        Some(match first {
            Some(first) if first != seq => Unfit::Duplicate { of: first },
            Some(_) | None => Unfit::Spare,
        })
    }

    fn is_vetoed(&self, voices: &Voices<'_>, objections: &[Objection]) -> bool {
        let against: BTreeSet<_> = objections.iter().map(|objection| &objection.human).collect();
        match self.policy.veto {
            VetoRule::Holds => !against.is_empty(),
            VetoRule::Majority => !against.is_empty() && against.len() >= voices.all.len(),
        }
    }

    fn missing(
        &self,
        way: &'a [Slot],
        assignment: &Assignment,
        voices: &Voices<'a>,
        objections: &[Objection],
    ) -> Vec<Missing> {
        let silent = |id: &'a PrincipalId| {
            let human = self.eligible.people.human(id);
            let spoke = voices.all.iter().any(|voice| voice.human == human)
                || objections.iter().any(|objection| objection.human == *human);
            !spoke
        };
        let empty = way.iter().zip(assignment.by_slot()).enumerate();
        let empty = empty.filter(|(_, (_, voice))| voice.is_none());
        empty
            .map(|(index, (slot, _))| {
                let open = assignment.reachable(index);
                let open = open.into_iter().filter_map(|slot| way.get(slot));
                let mut could_fill = BTreeSet::new();
                for slot in open {
                    let fitting = self.candidates(slot, voices).filter(|id| silent(id));
                    could_fill.extend(fitting.take(MOST_CANDIDATES + 1).cloned());
                }
                let and_more = could_fill.len() > MOST_CANDIDATES;
                let could_fill = could_fill.into_iter().take(MOST_CANDIDATES).collect();
                Missing { slot: slot.clone(), could_fill, and_more }
            })
            .collect()
    }

    /// Accounts that could fill a place by the directory of now.
    fn candidates<'b>(
        &'b self,
        slot: &'a Slot,
        voices: &'b Voices<'a>,
    ) -> Box<dyn Iterator<Item = &'a PrincipalId> + 'b> {
        let may = move |id: &&'a PrincipalId| {
            self.eligible.person(id).is_ok() && self.eligible.party(id).is_none()
        };
        let directory = self.eligible.directory;
        match slot {
            Slot::Person(person) => Box::new(std::iter::once(person).filter(may)),
            Slot::Anyone => Box::new(directory.identities().map(|who| &who.id).filter(may)),
            Slot::Role(role) => {
                let spoken = move |from: &'a PrincipalId| {
                    let mut all = voices.all.iter();
                    all.any(|voice| voice.human == from && voice.roles.contains_key(role))
                };
                let holds = move |id: &&'a PrincipalId| {
                    let Standing { own, lent } = self.eligible.roles(id);
                    own.contains(role)
                        || lent.iter().any(|(held, from)| held == role && !spoken(from))
                };
                Box::new(directory.holders(role).filter(may).filter(holds))
            }
        }
    }
}

fn dropped(approval: &Approval, why: Unfit) -> Dropped {
    let (seq, by) = (approval.statement.seq, approval.statement.by.clone());
    Dropped { seq, by, why }
}

/// The statement that fills a place.
fn credited(slot: &Slot, voice: &Voice<'_>) -> u64 {
    match slot {
        Slot::Role(role) => voice.roles.get(role).copied().unwrap_or(voice.first),
        Slot::Person(_) | Slot::Anyone => voice.first,
    }
}

/// The first instant after `now` at which time alone may change the answer.
fn next_change(
    policy: &ApprovalPolicy,
    question: &Question,
    facts: &ApprovalFacts,
    directory: &Directory,
    now: Timestamp,
) -> Option<Timestamp> {
    let too_old = directory.stamp().taken_at.plus(policy.directory_max_age);
    let said = facts.said().flat_map(|said| {
        let statement = &said.approval.statement;
        let ended = said.ended.map(|(at, _)| at);
        let bounds = directory.boundaries(&statement.by);
        let own = [statement.at, expires(statement, policy.valid_for)];
        own.into_iter().chain(ended).chain(bounds)
    });
    let requester = directory.boundaries(&question.parties.requester);
    let all = std::iter::once(too_old).chain(said).chain(requester);
    all.filter(|at| *at > now).min()
}
