//! What a plan of waves is for a definition, which says in which order regions go and what each wave waits for, and for windows, which
//! hold a region while nobody is on call.

use release_core::model::{EnvironmentId, Gate, RegionId, Span, TeamId, Timestamp, WindowId};

use super::{Wave, WavePlan, WaveRegion, WaveRules};
use crate::window::{ActionClass, OnStart, When, WindowSpec};

/// The last instant that windows reach, in January 2106.
const LAST: Timestamp = Timestamp::from_micros(4_292_493_394_837_503);

impl WavePlan {
    /// The waves as a stage names them ([`Stage::waves`](release_core::model::Stage::waves)): regions go together, wave after wave.
    ///
    /// As soon as all regions of a wave are through, the next one begins, unless the stage's [`wave_gates`](Self::wave_gates) or
    /// [`off_call`](WaveRegion::off_call) hold it.
    pub fn stage_waves(&self) -> Vec<Vec<RegionId>> {
        self.waves.iter().map(|wave| wave.regions.iter().cloned().collect()).collect()
    }

    /// What each wave waits for, in order ([`Stage::wave_gates`](release_core::model::Stage::wave_gates)): its planned begin, and that
    /// the wave before has been watched for as long as `rules` say, by which it was planned.
    ///
    /// That time is counted from when all regions of the wave before are through, or have failed and are left behind, whenever that is:
    /// behind a wave that comes late, because somebody approved it late or the rollout took long, none begins sooner after it.
    pub fn wave_gates(&self, rules: WaveRules) -> Vec<Vec<Gate>> {
        let bakes = [None, Some(rules.first_bake)].into_iter();
        let bakes = bakes.chain(std::iter::repeat(Some(rules.bake)));
        let gates = |(wave, bake): (&Wave, Option<Span>)| {
            [Gate::NotBefore(wave.begins)].into_iter().chain(bake.map(Gate::Soak)).collect()
        };
        self.waves.iter().zip(bakes).map(gates).collect()
    }
}

impl WaveRegion {
    /// Freezes of the region in `environment` whenever nobody is on call who would be there for `attended` from then on
    /// ([`WaveRules::attended`]); none where somebody always is. They hold whatever begins there, however late its wave comes. A service
    /// whose rollout has begun goes on to its end, one that has not waits for the next hours; a rollback waits for none of them, and
    /// neither does a change of flags, which is one for all regions.
    ///
    /// After the last of its hours the region is held for as long as calendars reach: name more of them before. `owner` answers for the
    /// freezes; `named` says what the so manieth of this region, counted from 1, is called. Put them beside all other windows
    /// ([`Windows::new`](crate::Windows::new)).
    pub fn off_call(
        &self,
        attended: Span,
        environment: &EnvironmentId,
        owner: &TeamId,
        named: impl Fn(usize) -> WindowId,
    ) -> Vec<WindowSpec> {
        let freeze = |((from, until), number): ((Timestamp, Timestamp), usize)| {
            let reason = if until == LAST {
                format!("no later hours are named in which somebody is on call in `{}`", self.id)
            } else {
                format!("nobody is on call in `{}` for {attended}", self.id)
            };
            let when = When::Between { from, until };
            WindowSpec::freeze(named(number), when, owner.clone(), reason)
                .in_environment(environment.clone())
                .in_region(self.id.clone())
                .actions([ActionClass::Deploy, ActionClass::Advance, ActionClass::Migrate])
                .on_start(OnStart::Finish)
        };
        self.closed(attended).into_iter().zip(1..).map(freeze).collect()
    }

    /// When nobody would be there for so long; hours that touch are one. Hours in whatever order leave nothing open that is not in one
    /// of them.
    fn closed(&self, attended: Span) -> Vec<(Timestamp, Timestamp)> {
        let attended = i64::try_from(attended.as_duration().as_micros()).unwrap_or(i64::MAX);
        let (mut closed, mut since) = (Vec::new(), Timestamp::default());
        for (begins, ends) in self.attended_hours() {
            let last = ends.as_micros().saturating_sub(attended);
            if last >= begins.as_micros() {
                closed.push((since, begins.min(LAST)));
                since = since.max(Timestamp::from_micros(last.saturating_add(1)));
            }
        }
        if !self.on_call.is_empty() {
            closed.push((since, LAST));
        }
        closed.retain(|(from, until)| from < until);
        closed
    }
}
