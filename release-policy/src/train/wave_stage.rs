//! What a plan of waves is for a definition, which says in which order regions go, and for windows, which say when.

use release_core::model::{EnvironmentId, RegionId, TeamId, Timestamp, WindowId};

use super::WavePlan;
use crate::window::{When, WindowSpec};

impl WavePlan {
    /// The waves as a stage names them ([`Stage::waves`](release_core::model::Stage::waves)): regions go together, wave after wave.
    ///
    /// As soon as all regions of a wave are through, the next one begins, unless [`freezes`](Self::freezes) or the stage's
    /// [`wave_gates`](release_core::model::Stage::wave_gates) hold it.
    pub fn stage_waves(&self) -> Vec<Vec<RegionId>> {
        self.waves.iter().map(|wave| wave.regions.iter().cloned().collect()).collect()
    }

    /// Freezes that let no wave begin before its time, and so watch the one before it for as long as was planned: for each wave
    /// that begins later than `from`, one of its regions in `environment`, from then until it begins. `owner` answers for them;
    /// `named` says what that of wave so and so, counted from 1, is called.
    ///
    /// `from` is when the release is asked for, the latest: what the waves were planned from. Put them beside all other windows
    /// ([`Windows::new`](crate::Windows::new)). A rollback waits for none of them.
    pub fn freezes(
        &self,
        from: Timestamp,
        environment: &EnvironmentId,
        owner: &TeamId,
        named: impl Fn(usize) -> WindowId,
    ) -> Vec<WindowSpec> {
        let later = self.waves.iter().zip(1..).filter(|(wave, _)| wave.begins > from);
        let freeze = |(wave, number): (&super::Wave, usize)| {
            let when = When::Between { from, until: wave.begins };
            let reason = format!("wave {number} begins at {}", wave.begins);
            let freeze = WindowSpec::freeze(named(number), when, owner.clone(), reason);
            let freeze = freeze.in_environment(environment.clone());
            wave.regions.iter().cloned().fold(freeze, WindowSpec::in_region)
        };
        later.map(freeze).collect()
    }
}
