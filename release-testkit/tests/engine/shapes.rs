//! Random releases: services that need each other, regions in waves, ways to replace, criteria to take back; and what goes
//! wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use release_core::model::{
    Analysis, BlueGreen, Canary, CanaryStep, Definition, Environment, Gate, OnSignal, RegionId,
    Release, RollbackCriteria, RollbackScope, RollbackTrigger, Rolling, Service, ServiceId, Shadow,
    Signal, SignalKind, SignalResponse, Span, Stage, Strategy as Rollout, Tier, VersionSet,
};
use release_core::run::Command;
use release_testkit::fixtures::{artifact, error_rate, literal, version};

pub(crate) const ENVIRONMENT: &str = "production";
/// What ran once, was verified, and is not to come back.
pub(crate) const OLDER: &str = "0.9.0";
/// What runs before.
pub(crate) const OLD: &str = "1.0.0";
/// What shall run.
pub(crate) const NEW: &str = "1.1.0";

/// What becomes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is deployed for the first time.
    First,
    Stays,
    Changes,
}

#[derive(Debug, Clone)]
pub(crate) struct OneService {
    /// Which of those before it it needs, as bits.
    pub(crate) needs: u8,
    pub(crate) fate: Fate,
    pub(crate) replicas: u32,
}

/// A release, as far as chance decides on it.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) services: Vec<OneService>,
    /// Regions by number, wave after wave.
    pub(crate) waves: Vec<Vec<RegionId>>,
    /// What each wave waits for.
    pub(crate) wave_gates: Vec<Vec<Gate>>,
    pub(crate) rollout: Rollout,
    pub(crate) scope: RollbackScope,
    pub(crate) stop_after: Option<u32>,
    pub(crate) triggers: Vec<RollbackTrigger>,
}

/// A step that fails.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Which, by number among those that can.
    pub(crate) which: u16,
    /// Whether it takes effect all the same.
    pub(crate) applies: bool,
    /// Whether it goes on failing when a person has it tried again.
    pub(crate) lasts: bool,
}

/// What goes wrong, and what people do.
#[derive(Debug, Clone)]
pub(crate) struct Mishaps {
    pub(crate) faults: Vec<Fault>,
    /// What somebody tells the run of, once so many batches are in its journal.
    pub(crate) signal: Option<(u64, Signal)>,
    /// Which services people want to be left behind, once so many batches are in its journal.
    pub(crate) descopes: Vec<(u64, ServiceId)>,
    /// At which appends the engine dies, and whether the batch is stored.
    pub(crate) crashes: BTreeMap<u64, bool>,
    /// Whether the first change of the way back is refused.
    pub(crate) stubborn: bool,
    /// Whether people have what waits for them tried again once, or cancel at once.
    pub(crate) patient: bool,
    /// What everything's delay is drawn of.
    pub(crate) seed: u64,
}

pub(crate) fn service_id(number: usize) -> ServiceId {
    literal(&format!("s{number}"))
}

pub(crate) fn region_id(number: usize) -> RegionId {
    literal(&format!("r{number}"))
}

impl Mishaps {
    /// What people tell the run, in the order in which they do.
    pub(crate) fn orders(&self) -> Vec<(u64, Command)> {
        let signal = self.signal.iter().map(|(at, signal)| {
            let signal = Box::new(signal.clone());
            (*at, Command::Signal { signal })
        });
        let descopes = self.descopes.iter().map(|(at, service)| {
            let service = service.clone();
            (*at, Command::Descope { service })
        });
        let mut orders: Vec<_> = signal.chain(descopes).collect();
        orders.sort_by_key(|(at, _)| *at);
        orders
    }
}

impl Shape {
    pub(crate) fn regions(&self) -> impl Iterator<Item = &RegionId> {
        self.waves.iter().flatten()
    }

    /// The services that each needs, also through others.
    pub(crate) fn needs(&self) -> BTreeMap<ServiceId, BTreeSet<ServiceId>> {
        let mut all: BTreeMap<ServiceId, BTreeSet<ServiceId>> = BTreeMap::new();
        for (number, service) in self.services.iter().enumerate() {
            let mut needs = BTreeSet::new();
            for other in service.needed(number).map(service_id) {
                needs.extend(all[&other].iter().cloned());
                needs.insert(other);
            }
            all.insert(service_id(number), needs);
        }
        all
    }

    pub(crate) fn of_fate(&self, fate: Fate) -> BTreeSet<ServiceId> {
        let all = self.services.iter().enumerate();
        all.filter(|(_, service)| service.fate == fate).map(|(at, _)| service_id(at)).collect()
    }

    fn set(&self, number: impl Fn(Fate) -> Option<&'static str>) -> VersionSet {
        let each = self.services.iter().enumerate().filter_map(|(at, service)| {
            let number = number(service.fate)?;
            Some((service_id(at), number))
        });
        each.fold(VersionSet::new(), |set, (id, number)| {
            let artifact = artifact(id.as_str(), number);
            set.with(id, version(number), artifact)
        })
    }

    /// What runs before.
    pub(crate) fn previous(&self) -> VersionSet {
        self.set(|fate| (fate != Fate::First).then_some(OLD))
    }

    /// What shall run.
    pub(crate) fn wanted(&self) -> VersionSet {
        self.set(|fate| Some(if fate == Fate::Stays { OLD } else { NEW }))
    }

    pub(crate) fn definition(&self) -> Definition {
        let mut release = Release::new(literal("r-1"), self.wanted());
        release.previous = self.previous();
        let (scope, triggers) = (self.scope, self.triggers.clone());
        release.rollback = Some(RollbackCriteria { scope, triggers });
        let production = Environment {
            id: literal(ENVIRONMENT),
            tier: Tier::Production,
            owner: literal("sre"),
            regions: self.regions().cloned().collect(),
        };
        let stage = Stage {
            waves: self.waves.clone(),
            wave_gates: self.wave_gates.clone(),
            stop_after_failed_regions: self.stop_after,
            attempts: 2,
            ..Stage::new(literal(ENVIRONMENT), self.rollout.clone())
        };
        let mut builder = Definition::builder(literal("shop"), release)
            .environment(production)
            .analysis(Analysis { count: 1, ..error_rate() })
            .stage(stage)
            .notify(literal("releases"));
        for (number, one) in self.services.iter().enumerate() {
            let service = Service::new(service_id(number), literal("team")).replicas(one.replicas);
            let service = one.needed(number).fold(service, |service, other| {
                service.needs(service_id(other), literal(">=1, <3"))
            });
            builder = builder.service(service);
        }
        builder.build()
    }
}

impl OneService {
    fn needed(&self, number: usize) -> impl Iterator<Item = usize> {
        let needs = self.needs;
        (0..number).filter(move |other| needs >> other & 1 == 1)
    }
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let bake = || (0_u64..4).prop_map(Span::secs);
    prop_oneof![
        Just(Rollout::Recreate),
        (1_u32..4, 0_u32..3, option::of(1_u32..3), bake()).prop_map(
            |(batches, missing, surge, bake)| {
                let (max_unavailable, max_surge) = (missing.into(), surge.map(Into::into));
                let rolling = Rolling { max_unavailable, max_surge, bake, ..Rolling::new(batches) };
                Rollout::Rolling(rolling)
            }
        ),
        (bake(), bake(), bake()).prop_map(|(bake, keep_old, keep_new)| {
            let keep_new_after_abort = keep_new.into();
            let blue = BlueGreen { bake, keep_old, keep_new_after_abort, ..BlueGreen::default() };
            Rollout::BlueGreen(blue)
        }),
        (1_u8..50, 50_u8..=100, bake(), bake()).prop_map(|(first, then, bake, keep_old)| {
            let steps = [first, then].map(|share| CanaryStep::new(share, bake));
            Rollout::Canary(Canary { keep_old, ..Canary::new(steps.into()) })
        }),
        (1_u8..=100, bake()).prop_map(|(percent, bake)| {
            Rollout::Shadow(Shadow { after: bake, ..Shadow::new(percent, bake) })
        }),
    ]
}

fn scope() -> impl Strategy<Value = RollbackScope> {
    prop_oneof![
        Just(RollbackScope::Region),
        Just(RollbackScope::Wave),
        Just(RollbackScope::Environment),
        Just(RollbackScope::Release)
    ]
}

/// All sets of triggers that a planner takes: at least one.
fn triggers() -> impl Strategy<Value = Vec<RollbackTrigger>> {
    let on = |kind, then| RollbackTrigger::Signal(OnSignal { kind, source: None, then });
    let all = vec![
        RollbackTrigger::StepFailed,
        RollbackTrigger::Analysis(error_rate().id),
        RollbackTrigger::Unhealthy,
        on(SignalKind::Incident, SignalResponse::RollBack),
        on(SignalKind::Health, SignalResponse::RollBack),
        on(SignalKind::Alert, SignalResponse::Hold),
    ];
    let count = all.len();
    prop_oneof![
        1 => Just(all.clone()),
        2 => proptest::sample::subsequence(all, 1..=count),
    ]
}

fn services(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<OneService>> {
    let fate =
        prop_oneof![1 => Just(Fate::First), 1 => Just(Fate::Stays), 6 => Just(Fate::Changes)];
    // Two draws together: each service is needed by a quarter of those behind it, and by the next more often.
    let one = (any::<u8>(), any::<u8>(), any::<bool>(), fate, 1_u32..4);
    vec(one, count).prop_map(|all| {
        let each = all.into_iter().enumerate().map(|(at, (one, other, next, fate, replicas))| {
            let chain = if next && at > 0 { 1 << (at - 1) } else { 0 };
            let fate = if at == 0 { Fate::Changes } else { fate };
            OneService { needs: one & other | chain, fate, replicas }
        });
        each.collect()
    })
}

/// Regions in waves, and after how many failures among them the line stops.
fn regions() -> impl Strategy<Value = (Vec<Vec<RegionId>>, Option<u32>)> {
    (vec(0_usize..3, 1..=3), option::of(1_u32..4)).prop_map(|(wave_of, stop)| {
        let wave = |number: usize| -> Vec<RegionId> {
            let all = wave_of.iter().enumerate();
            all.filter(|(_, wave)| **wave == number).map(|(region, _)| region_id(region)).collect()
        };
        let waves: Vec<_> = (0..3).map(wave).filter(|wave| !wave.is_empty()).collect();
        let most = u32::try_from(wave_of.len()).unwrap();
        (waves, stop.filter(|stop| *stop <= most))
    })
}

/// A release with services like these, in regions that are chosen elsewhere.
pub(crate) fn shape_in(
    count: std::ops::RangeInclusive<usize>,
    regions: impl Strategy<Value = (Vec<Vec<RegionId>>, Option<u32>)>,
) -> impl Strategy<Value = Shape> {
    (services(count), regions, rollout(), scope(), triggers()).prop_map(
        |(services, (waves, stop_after), rollout, scope, triggers)| Shape {
            services,
            waves,
            wave_gates: Vec::new(),
            rollout,
            scope,
            stop_after,
            triggers,
        },
    )
}

/// Two to eight services in one to three regions.
pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    shape_in(2..=8, regions())
}

/// A signal at some moment, about everything, production, or one of its first `regions` regions.
pub(crate) fn signal(
    moments: std::ops::Range<u64>,
    regions: usize,
) -> impl Strategy<Value = (u64, Signal)> {
    let kind = prop_oneof![
        2 => Just(SignalKind::Incident),
        1 => Just(SignalKind::Health),
        1 => Just(SignalKind::Alert)
    ];
    (moments, kind, 0..regions + 2).prop_map(move |(at, kind, place)| {
        let mut signal = Signal::new(kind, "pager", "INC-7");
        signal.environment = (place <= regions).then(|| literal(ENVIRONMENT));
        signal.region = (place < regions).then(|| region_id(place));
        (at, signal)
    })
}

pub(crate) fn mishaps(
    faults: std::ops::RangeInclusive<usize>,
    signal: impl Strategy<Value = Option<(u64, Signal)>>,
) -> impl Strategy<Value = Mishaps> {
    let fault = (any::<u16>(), any::<bool>(), any::<bool>())
        .prop_map(|(which, applies, lasts)| Fault { which, applies, lasts });
    let crashes = proptest::collection::btree_map(2_u64..120, any::<bool>(), 0..3);
    let rare = || (0_u8..4).prop_map(|draw| draw == 3);
    (vec(fault, faults), signal, crashes, rare(), any::<bool>(), any::<u64>()).prop_map(
        |(faults, signal, crashes, stubborn, patient, seed)| Mishaps {
            faults,
            signal,
            descopes: Vec::new(),
            crashes,
            stubborn,
            patient,
            seed,
        },
    )
}
