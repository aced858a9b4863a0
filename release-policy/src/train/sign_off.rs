//! Sign-offs that are bound to what was signed.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    ChangeScope, Digest, Principal, PrincipalId, PrincipalKind, RoleId, SignOffId, TeamId,
    Timestamp, TrainId,
};
use serde::{Deserialize, Serialize};

use super::scope::{Coverage, Covered, ReleaseScope};
use crate::directory::Directory;

/// How many sign-offs a release may need.
pub const MAX_SIGN_OFFS: usize = 1_000;

/// A sign-off that a release needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Its name.
    pub id: SignOffId,
    /// Whose business it is that somebody signs.
    pub owner: TeamId,
    /// Which role one needs to sign.
    pub role: RoleId,
    /// What is signed.
    #[serde(default)]
    pub covers: Coverage,
    /// Until when.
    pub due: Timestamp,
    /// Sign-offs that nobody may give who gives this one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apart_from: BTreeSet<SignOffId>,
}

impl Requirement {
    /// A sign-off of the whole scope.
    pub fn new(id: SignOffId, owner: TeamId, role: RoleId, due: Timestamp) -> Self {
        Self { id, owner, role, covers: Coverage::default(), due, apart_from: BTreeSet::new() }
    }

    /// Says which part of the scope is signed.
    #[must_use]
    pub fn covering(mut self, covers: Coverage) -> Self {
        self.covers = covers;
        self
    }

    /// Adds a sign-off that nobody may give who gives this one.
    #[must_use]
    pub fn apart_from(mut self, other: SignOffId) -> Self {
        self.apart_from.insert(other);
        self
    }
}

/// What somebody signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    /// Which sign-off it is.
    pub id: SignOffId,
    /// Who signed.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// What was signed, piece by piece; its digest is what holds.
    pub covers: Covered,
}

/// What people said of sign-offs, for the host to keep in the order in which it was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Statement {
    /// Somebody signed.
    Signed(SignOff),
    /// Somebody took back what was signed.
    Withdrawn {
        /// Which sign-off.
        id: SignOffId,
        /// Who.
        by: PrincipalId,
        /// When.
        at: Timestamp,
    },
}

impl Statement {
    const fn id(&self) -> &SignOffId {
        match self {
            Self::Signed(SignOff { id, .. }) | Self::Withdrawn { id, .. } => id,
        }
    }

    /// When it was said.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Signed(SignOff { at, .. }) | Self::Withdrawn { at, .. } => *at,
        }
    }
}

/// Why somebody did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignOffError {
    /// There is no such sign-off.
    #[error("there is no sign-off `{0}`")]
    Unknown(SignOffId),
    /// What was looked at is not what is there.
    #[error(
        "sign-off `{id}` is of {seen}, but what it covers is {now} by now; look at the scope again and sign that"
    )]
    Stale {
        /// Which sign-off.
        id: SignOffId,
        /// What the signer saw.
        seen: Digest,
        /// What there is.
        now: Digest,
    },
    /// There is nothing to sign.
    #[error("sign-off `{0}` covers no item of the scope; add what it is of, or leave it out")]
    Empty(SignOffId),
    /// A machine cannot sign.
    #[error("`{0}` is no person")]
    NoPerson(PrincipalId),
    /// Whoever signs needs a role.
    #[error("sign-off `{id}` takes role `{role}`, which `{by}` has not")]
    NoRole {
        /// Which sign-off.
        id: SignOffId,
        /// Who.
        by: PrincipalId,
        /// What is missing.
        role: RoleId,
    },
    /// One person gives one of several.
    #[error("`{by}` gave sign-off `{other}` and cannot give `{id}` too; ask somebody else")]
    SamePerson {
        /// Which sign-off.
        id: SignOffId,
        /// Who.
        by: PrincipalId,
        /// What that person signed.
        other: SignOffId,
    },
    /// It is too much.
    #[error("there are more than {MAX_SIGN_OFFS} sign-offs; let one of them cover more items")]
    TooMany,
    /// Two requirements have one name.
    #[error("there are two sign-offs `{0}`; give one of them another name")]
    Same(SignOffId),
    /// One is to be given by somebody else than another that is none.
    #[error("sign-off `{id}` is apart from `{other}`, which is none; add it, or correct the name")]
    ApartFromNothing {
        /// Which sign-off.
        id: SignOffId,
        /// What it names.
        other: SignOffId,
    },
}

/// Which sign-offs a release needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct SignOffs {
    train: Option<TrainId>,
    required: BTreeMap<SignOffId, Requirement>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train: Option<TrainId>,
    required: Vec<Requirement>,
}

impl TryFrom<Written> for SignOffs {
    type Error = SignOffError;
    fn try_from(Written { train, required }: Written) -> Result<Self, SignOffError> {
        Ok(Self { train, ..Self::new(required)? })
    }
}

impl From<SignOffs> for Written {
    fn from(SignOffs { train, required }: SignOffs) -> Self {
        Self { train, required: required.into_values().collect() }
    }
}

impl SignOffs {
    /// All that are required.
    ///
    /// # Errors
    /// [`SignOffError::Same`], [`SignOffError::ApartFromNothing`], and [`SignOffError::TooMany`] beyond [`MAX_SIGN_OFFS`].
    pub fn new(required: impl IntoIterator<Item = Requirement>) -> Result<Self, SignOffError> {
        let mut named = BTreeMap::new();
        for requirement in required {
            if named.len() >= MAX_SIGN_OFFS {
                return Err(SignOffError::TooMany);
            }
            let id = requirement.id.clone();
            if named.insert(id.clone(), requirement).is_some() {
                return Err(SignOffError::Same(id));
            }
        }
        for requirement in named.values() {
            if let Some(other) = requirement.apart_from.iter().find(|id| !named.contains_key(*id)) {
                let (id, other) = (requirement.id.clone(), other.clone());
                return Err(SignOffError::ApartFromNothing { id, other });
            }
        }
        Ok(Self { train: None, required: named })
    }

    /// Says on which train it is, where roles are held for trains.
    #[must_use]
    pub fn of_train(mut self, train: TrainId) -> Self {
        self.train = Some(train);
        self
    }

    /// All that are required, by name.
    pub fn required(&self) -> impl ExactSizeIterator<Item = &Requirement> {
        self.required.values()
    }

    /// What a signer has to look at: what the sign-off covers, whose digest is signed.
    pub fn covered(&self, scope: &ReleaseScope, id: &SignOffId) -> Option<Covered> {
        self.required.get(id).map(|required| scope.covered(&required.covers))
    }

    /// Signs: `seen` is the digest of what the signer looked at. The statement is for the host to keep with those before it.
    ///
    /// # Errors
    /// [`SignOffError`] says why not.
    pub fn sign(
        &self,
        id: &SignOffId,
        seen: Digest,
        asked: &Signing<'_>,
    ) -> Result<Statement, SignOffError> {
        let Signing { scope, said, by, directory, at } = *asked;
        let required = self.required.get(id).ok_or_else(|| SignOffError::Unknown(id.clone()))?;
        let who = || by.id.clone();
        if by.kind != PrincipalKind::Human {
            return Err(SignOffError::NoPerson(who()));
        }
        self.entitled(required, asked)?;
        let covers = scope.covered(&required.covers);
        if covers.is_empty() {
            return Err(SignOffError::Empty(id.clone()));
        }
        let now = covers.digest();
        if seen != now {
            return Err(SignOffError::Stale { id: id.clone(), seen, now });
        }
        let apart = |other: &&Requirement| {
            required.apart_from.contains(&other.id) || other.apart_from.contains(id)
        };
        let person = directory.human(&by.id);
        for other in self.required.values().filter(apart) {
            let signed = standing(said, &other.id, at);
            if signed.is_some_and(|signed| directory.human(&signed.by) == person) {
                let (id, other) = (id.clone(), other.id.clone());
                return Err(SignOffError::SamePerson { id, by: who(), other });
            }
        }
        Ok(Statement::Signed(SignOff { id: id.clone(), by: who(), at, covers }))
    }

    /// Takes a sign-off back.
    ///
    /// # Errors
    /// [`SignOffError::Unknown`]; [`SignOffError::NoRole`] for who may not give it.
    pub fn withdraw(&self, id: &SignOffId, asked: &Signing<'_>) -> Result<Statement, SignOffError> {
        let required = self.required.get(id).ok_or_else(|| SignOffError::Unknown(id.clone()))?;
        self.entitled(required, asked)?;
        Ok(Statement::Withdrawn { id: id.clone(), by: asked.by.id.clone(), at: asked.at })
    }

    /// Refuses who has not the role that it takes, on this train.
    fn entitled(&self, required: &Requirement, asked: &Signing<'_>) -> Result<(), SignOffError> {
        let Signing { by, directory, at, .. } = *asked;
        let reach = ChangeScope { train: self.train.clone(), ..ChangeScope::everywhere() };
        if directory.roles(&by.id, &reach, at).contains(&required.role) {
            return Ok(());
        }
        let (id, role) = (required.id.clone(), required.role.clone());
        Err(SignOffError::NoRole { id, by: by.id.clone(), role })
    }
}

/// Who signs what, and what is known then.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// The scope as it is.
    pub scope: &'a ReleaseScope,
    /// What was said before, in order.
    pub said: &'a [Statement],
    /// Who signs.
    pub by: &'a Principal,
    /// Who has which roles.
    pub directory: &'a Directory,
    /// When.
    pub at: Timestamp,
}

/// What was last signed and not taken back since.
pub(super) fn standing<'a>(
    said: &'a [Statement],
    id: &SignOffId,
    at: Timestamp,
) -> Option<&'a SignOff> {
    match latest(said, id, at)? {
        Statement::Signed(signed) => Some(signed),
        Statement::Withdrawn { .. } => None,
    }
}

/// What was last said of a sign-off.
pub(super) fn latest<'a>(
    said: &'a [Statement],
    id: &SignOffId,
    at: Timestamp,
) -> Option<&'a Statement> {
    said.iter().rev().find(|statement| statement.id() == id && statement.at() <= at)
}
