//! Who must approve: an expression, checked for its size before anything is computed from it.

use std::fmt;

use release_core::model::{PrincipalId, RoleId};
use serde::{Deserialize, Serialize};

/// How deep an expression may nest.
pub const MAX_DEPTH: usize = 8;
/// How many parts an expression may have.
pub const MAX_PARTS: usize = 128;
/// How many people an expression may ask for at once.
pub const MAX_SLOTS: usize = 32;
/// In how many ways an expression may be met; alternatives within alternatives multiply.
pub const MAX_WAYS: usize = 256;

/// Who must approve, as it is written down.
///
/// Every person fills one place of the whole expression: `all_of` one `sre` and one `security` are two
/// people, also when one has both roles. So «two of `sre`, of whom one is `ann`» is `all_of` one of `sre`
/// and `must_include` `ann`.
///
/// ```
/// use release_policy::approval::Quorum;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let quorum: Quorum = serde_json::from_str(
///     r#"{"all_of": [{"of_role": {"role": "sre", "n": 2}},
///                    {"any_of": [{"of_role": {"role": "security"}}, {"must_include": "ann"}]}]}"#,
/// )?;
/// assert_eq!(quorum.ways().len(), 2);
///
/// let error = serde_json::from_str::<Quorum>(r#"{"all_of": []}"#).unwrap_err();
/// assert!(error.to_string().starts_with("quorum/empty"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expression {
    /// All of these.
    AllOf(Vec<Self>),
    /// At least one of these.
    AnyOf(Vec<Self>),
    /// Different people who hold a role.
    OfRole(OfRole),
    /// Different people, whatever their roles.
    Anyone(Anyone),
    /// This person.
    MustInclude(PrincipalId),
}

/// People who hold a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfRole {
    /// The role.
    pub role: RoleId,
    /// How many people.
    #[serde(default = "one")]
    pub n: u32,
}

/// People, whatever their roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anyone {
    /// How many people.
    #[serde(default = "one")]
    pub n: u32,
}

const fn one() -> u32 {
    1
}

/// One place of a quorum, to be filled by one person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// This person.
    Person(PrincipalId),
    /// Somebody who holds this role.
    Role(RoleId),
    /// Anybody.
    Anyone,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => write!(f, "{person}"),
            Self::Role(role) => write!(f, "somebody who is {role}"),
            Self::Anyone => f.write_str("anybody"),
        }
    }
}

/// A quorum that cannot be used, with the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// It asks for nobody, so that nobody's approval would do.
    #[error("quorum/empty: a part asks for nobody; name at least one, or remove it")]
    Empty,
    /// It nests too deeply.
    #[error("quorum/depth: it nests more than {MAX_DEPTH} deep; flatten it")]
    TooDeep,
    /// It has too many parts.
    #[error("quorum/parts: it has more than {MAX_PARTS} parts; use a role instead of a list")]
    TooManyParts,
    /// It asks for too many people.
    #[error("quorum/slots: it asks for more than {MAX_SLOTS} people at once; ask for fewer")]
    TooManySlots,
    /// It can be met in too many ways.
    #[error("quorum/ways: it can be met in more than {MAX_WAYS} ways; use fewer alternatives")]
    TooManyWays,
}

/// A checked expression, with all ways in which it can be met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Expression")]
pub struct Quorum {
    expression: Expression,
    ways: Vec<Vec<Slot>>,
}

impl Quorum {
    /// Checks an expression.
    ///
    /// # Errors
    /// [`QuorumError`] names the rule that it breaks.
    pub fn new(expression: Expression) -> Result<Self, QuorumError> {
        check(&expression, 1, &mut 0)?;
        let mut ways = ways(&expression)?;
        for way in &mut ways {
            way.sort();
        }
        ways.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        ways.dedup();
        Ok(Self { expression, ways })
    }

    /// So many different people who hold a role.
    ///
    /// # Errors
    /// [`QuorumError`] when it asks for nobody or for too many.
    pub fn of_role(n: u32, role: RoleId) -> Result<Self, QuorumError> {
        Self::new(Expression::OfRole(OfRole { role, n }))
    }

    /// The expression.
    pub const fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The ways in which it can be met, those that ask for the fewest people first: each is a list of
    /// places, to be filled by as many different people.
    pub fn ways(&self) -> &[Vec<Slot>] {
        &self.ways
    }

    /// All places of all ways.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.ways.iter().flatten()
    }
}

impl From<Quorum> for Expression {
    fn from(quorum: Quorum) -> Self {
        quorum.expression
    }
}

fn check(expression: &Expression, depth: usize, parts: &mut usize) -> Result<(), QuorumError> {
    *parts += 1;
    if depth > MAX_DEPTH {
        return Err(QuorumError::TooDeep);
    }
    if *parts > MAX_PARTS {
        return Err(QuorumError::TooManyParts);
    }
    match expression {
        Expression::AllOf(all) | Expression::AnyOf(all) => {
            if all.is_empty() {
                return Err(QuorumError::Empty);
            }
            all.iter().try_for_each(|part| check(part, depth + 1, parts))
        }
        Expression::OfRole(OfRole { n: 0, .. }) | Expression::Anyone(Anyone { n: 0 }) => {
            Err(QuorumError::Empty)
        }
        Expression::OfRole(_) | Expression::Anyone(_) | Expression::MustInclude(_) => Ok(()),
    }
}

/// The ways of an expression that [`check`] let through.
fn ways(expression: &Expression) -> Result<Vec<Vec<Slot>>, QuorumError> {
    let times = |slot: Slot, n: u32| match usize::try_from(n) {
        Ok(n) if n <= MAX_SLOTS => Ok(vec![vec![slot; n]]),
        _ => Err(QuorumError::TooManySlots),
    };
    match expression {
        Expression::OfRole(OfRole { role, n }) => times(Slot::Role(role.clone()), *n),
        Expression::Anyone(Anyone { n }) => times(Slot::Anyone, *n),
        Expression::MustInclude(person) => Ok(vec![vec![Slot::Person(person.clone())]]),
        Expression::AnyOf(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(ways(part)?);
                if all.len() > MAX_WAYS {
                    return Err(QuorumError::TooManyWays);
                }
            }
            Ok(all)
        }
        Expression::AllOf(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let more = ways(part)?;
                if all.len() * more.len() > MAX_WAYS {
                    return Err(QuorumError::TooManyWays);
                }
                let joined = |way: &Vec<Slot>| {
                    let way = way.clone();
                    more.iter().map(move |more| [way.as_slice(), more].concat())
                };
                all = all.iter().flat_map(joined).collect();
                if all.iter().any(|way| way.len() > MAX_SLOTS) {
                    return Err(QuorumError::TooManySlots);
                }
            }
            Ok(all)
        }
    }
}
