//! How risky a change is: a sum whose every part is told, by a model that is data.
//!
//! A score only decides which route a change takes, never whether it may be done. What is not known counts at
//! its worst, never as nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::standing::Standing;
use super::state::ChangeType;

/// The most points that one factor may give.
pub const MAX_POINTS: u32 = 1_000;

/// What makes a change risky.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Users that it can reach at once, in hundredths of a percent.
    BlastRadius,
    /// Changes of stored data: 0 none, 1 that can be taken back, 2 that cannot.
    DataMigration,
    /// Files changed on paths of authentication, authorization or cryptography.
    SecurityPaths,
    /// Services that depend on what changes.
    DependencyFanOut,
    /// Hours since it was last deployed.
    HoursSinceLastDeploy,
    /// Changes that the authors made there before.
    AuthorFamiliarity,
    /// Changed lines that no test covers, in hundredths of a percent.
    TestDelta,
    /// The share of its metrics that a canary judges, in hundredths of a percent.
    CanaryCoverage,
    /// Days since its rollback was last proven.
    RollbackProven,
    /// Its changes that failed lately, in hundredths of a percent.
    FailureHistory,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BlastRadius,
        Self::DataMigration,
        Self::SecurityPaths,
        Self::DependencyFanOut,
        Self::HoursSinceLastDeploy,
        Self::AuthorFamiliarity,
        Self::TestDelta,
        Self::CanaryCoverage,
        Self::RollbackProven,
        Self::FailureHistory,
    ];
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlastRadius => "blast radius",
            Self::DataMigration => "data migration",
            Self::SecurityPaths => "security paths",
            Self::DependencyFanOut => "dependency fan-out",
            Self::HoursSinceLastDeploy => "hours since the last deploy",
            Self::AuthorFamiliarity => "familiarity of the authors",
            Self::TestDelta => "untested lines",
            Self::CanaryCoverage => "canary coverage",
            Self::RollbackProven => "days since the rollback was proven",
            Self::FailureHistory => "changes that failed",
        })
    }
}

/// From this value on, until the next band, a factor gives these points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The least value, in the unit of the [`Factor`].
    pub from: u32,
    /// The points that it gives.
    pub points: u32,
}

/// How points are given, and which score leads where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RiskModel(Written);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    factors: BTreeMap<Factor, Vec<Band>>,
    standard_below: u32,
    cab_from: u32,
}

/// A model that cannot be used, with the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RiskError {
    /// A factor is not weighed.
    #[error(
        "risk/factors: `{factor}` is not weighed; give it bands, of no points if it does not matter"
    )]
    NotWeighed {
        /// Which.
        factor: Factor,
    },
    /// The bands of a factor do not begin at zero.
    #[error("risk/bands: the bands of `{factor}` begin at {from}; let the first begin at 0")]
    NoBegin {
        /// Which.
        factor: Factor,
        /// Where they begin.
        from: u32,
    },
    /// The bands of a factor are not in order.
    #[error("risk/bands: the bands of `{factor}` are not in rising order at {from}; sort them")]
    NotRising {
        /// Which.
        factor: Factor,
        /// The first that is out of order.
        from: u32,
    },
    /// A band gives too many points.
    #[error("risk/points: `{factor}` gives {points} points, more than {MAX_POINTS}")]
    TooManyPoints {
        /// Which.
        factor: Factor,
        /// How many.
        points: u32,
    },
    /// A score would be low and high at once.
    #[error(
        "risk/routes: standard changes end at {standard_below}, after the board begins at {cab_from}"
    )]
    Crossed {
        /// Below this score changes may be standard.
        standard_below: u32,
        /// From this score on the board decides.
        cab_from: u32,
    },
}

/// What is known of a change; what is not known is left out.
pub type RiskInputs = BTreeMap<Factor, u32>;

impl RiskModel {
    /// A model: the bands of every factor, the score below which changes may be standard, and the score from
    /// which on the board decides.
    ///
    /// # Errors
    /// [`RiskError`] names the rule that it breaks.
    pub fn new(
        version: u32,
        factors: BTreeMap<Factor, Vec<Band>>,
        standard_below: u32,
        cab_from: u32,
    ) -> Result<Self, RiskError> {
        Written { version, factors, standard_below, cab_from }.try_into()
    }

    /// Its version.
    pub const fn version(&self) -> u32 {
        self.0.version
    }

    /// Adds up what every factor gives. What is not known counts as the most that its factor can give.
    pub fn assess(&self, inputs: &RiskInputs) -> RiskAssessment {
        let contributions: Vec<_> = self
            .0
            .factors
            .iter()
            .map(|(factor, bands)| {
                let worst = bands.iter().map(|band| band.points).max().unwrap_or(MAX_POINTS);
                let value = inputs.get(factor).copied();
                let given = value.and_then(|value| {
                    bands.iter().rfind(|band| band.from <= value).map(|band| band.points)
                });
                Contribution { factor: *factor, value, points: given.unwrap_or(worst), worst }
            })
            .collect();
        let score = contributions.iter().map(|given| given.points).sum();
        let worst = contributions.iter().map(|given| given.worst).sum();
        RiskAssessment { model: self.0.version, score, worst, contributions }
    }

    /// The route of a change, with its assessment. A change is standard only if it was asked for as such, its
    /// template has earned it, and the score is low; an emergency stays one, whatever its score.
    pub fn route(&self, inputs: &RiskInputs, asked: ChangeType, template: &Standing) -> Routing {
        let assessment = self.assess(inputs);
        let score = assessment.score;
        let earned = matches!(template, Standing::Earned { .. });
        let route = match asked {
            ChangeType::Emergency => Route::Emergency,
            _ if score >= self.0.cab_from => Route::Cab,
            ChangeType::Standard if earned && score < self.0.standard_below => Route::Standard,
            ChangeType::Standard | ChangeType::Normal => Route::Normal,
        };
        let (standard_below, cab_from) = (self.0.standard_below, self.0.cab_from);
        Routing { route, asked, template: template.clone(), standard_below, cab_from, assessment }
    }
}

impl TryFrom<Written> for RiskModel {
    type Error = RiskError;
    fn try_from(written: Written) -> Result<Self, RiskError> {
        for factor in Factor::ALL {
            let bands = written.factors.get(&factor).map_or(&[][..], Vec::as_slice);
            match bands.first() {
                None => return Err(RiskError::NotWeighed { factor }),
                Some(Band { from: 0, .. }) => {}
                Some(Band { from, .. }) => return Err(RiskError::NoBegin { factor, from: *from }),
            }
            for (band, next) in bands.iter().zip(bands.iter().skip(1)) {
                if next.from <= band.from {
                    return Err(RiskError::NotRising { factor, from: next.from });
                }
            }
            if let Some(Band { points, .. }) = bands.iter().find(|band| band.points > MAX_POINTS) {
                return Err(RiskError::TooManyPoints { factor, points: *points });
            }
        }
        let Written { standard_below, cab_from, .. } = written;
        if standard_below > cab_from {
            return Err(RiskError::Crossed { standard_below, cab_from });
        }
        Ok(Self(written))
    }
}

impl From<RiskModel> for Written {
    fn from(model: RiskModel) -> Self {
        model.0
    }
}

/// A score, with every part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskAssessment {
    /// The version of the model.
    pub model: u32,
    /// The sum of all points.
    pub score: u32,
    /// The highest score that the model can give.
    pub worst: u32,
    /// What each factor gives.
    pub contributions: Vec<Contribution>,
}

/// What one factor gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// The factor.
    pub factor: Factor,
    /// Its value, unless it is not known.
    pub value: Option<u32>,
    /// The points that it gives.
    pub points: u32,
    /// The most that it could give.
    pub worst: u32,
}

impl fmt::Display for Contribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { factor, value, points, worst } = self;
        match value {
            Some(value) => write!(f, "{factor} is {value}: {points} of {worst}"),
            None => write!(f, "{factor} is not known: {points} of {worst}"),
        }
    }
}

/// Who must agree. None of them allows anything by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Who authorized the template.
    Standard,
    /// A quorum.
    Normal,
    /// The change advisory board.
    Cab,
    /// A small quorum now, and others afterwards.
    Emergency,
}

/// Which route a change takes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// The route.
    pub route: Route,
    /// What it was asked for as.
    pub asked: ChangeType,
    /// How its template stands.
    pub template: Standing,
    /// Below this score changes may be standard.
    pub standard_below: u32,
    /// From this score on the board decides.
    pub cab_from: u32,
    /// The score, with every part of it.
    pub assessment: RiskAssessment,
}
