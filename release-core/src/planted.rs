//! Bugs that are planted on purpose, to see that the simulator's invariants find them, and that requests are lost by those of
//! drivers. Only compiled with `--cfg planted_bugs`, as CI does for what it runs: each is off but while a test plants it, for its
//! own thread.

use std::cell::Cell;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// Policies are not asked.
    IgnorePolicy,
    /// A denial counts as a permit.
    IgnoreDeny,
    /// A step that was admitted once is not asked about again.
    LatchAdmission,
    /// One person who approves twice counts as two.
    CountTwice,
    /// Whoever asked for a run may approve it.
    ApproveOwn,
    /// More effects start than may.
    IgnoreRoom,
    /// A step does not wait for the last of its predecessors.
    IgnorePredecessor,
    /// A meeting point does not wait for all.
    SyncEarly,
    /// A pause stops a rollback.
    PauseRollback,
    /// Gates and policies hold a rollback.
    HoldRollback,
    /// A rollback starts while changes are under way.
    RollBackTooSoon,
    /// A failed step of a rollback counts as done.
    RollbackLies,
    /// Steps of a rollback start in any order.
    RollbackUnordered,
    /// A run is over before all its steps are.
    FinishEarly,
    /// An unknown outcome is retried without a look.
    RetryBlindly,
    /// An unknown outcome counts as a success.
    UnknownIsSuccess,
    /// An observation of another artifact counts.
    AnyIdentity,
    /// No data is a pass.
    NoDataPasses,
    /// What is no number is a pass.
    NanPasses,
    /// One good measurement is enough.
    OneMeasurement,
    /// Attempts have no end.
    RetryForever,
    /// Each attempt has a key of its own.
    KeyPerAttempt,
    /// An attempt that is to come has no timer.
    NoTimer,
    /// An approval wakes nobody.
    WakeNobody,
    /// An outcome is lost, and so is its deadline.
    NoDeadline,
    /// Decision time follows the clock back.
    TimeGoesBack,
    /// A lower epoch may write.
    NoFencing,
    /// Whoever was fenced goes on.
    GoOnFenced,
    /// The expected sequence is not checked.
    NoSequence,
    /// After an append of unknown outcome the same is appended again.
    AppendAgain,
    /// Effects start before the append.
    ActFirst,
    /// An append is acknowledged before it is synced.
    AckBeforeSync,
    /// The last record of a large batch is lost.
    LoseRecord,
    /// An effect is announced and never called.
    NeverCall,
    /// A provider's error has its credential in it.
    LeakCredential,
    /// What a run has that is over is never given back, if its engine crashed just then.
    LeakPermit,
    /// One permit more is given than there are.
    GrantOneMore,
    /// A step starts as soon as it has asked for permits.
    StartUnpermitted,
    /// What is under way with an unknown outcome needs no permit.
    ReleaseEarly,
    /// Nothing is charged to any quota.
    ForgetQuota,
    /// A rollback may not use what is kept for rollbacks.
    QueueRollback,
    /// What is given back is given to nobody.
    GrantNobody,
    /// A new stream of the ledger that could not be stored counts as stored.
    TrustUnstored,
    /// A run that brings its engines down is taken over for ever.
    RecoverForever,
    /// A run goes on with another plan without a look at what it has begun.
    MigrateBlindly,
    /// A change of which nobody knows whether it took effect is not waited for once the run stops.
    DropParked,
    /// A cancel never puts anything back.
    CancelLeaves,
    /// A failure never puts anything back.
    FailureLeaves,
    /// A fake forgets what it did under which key.
    ForgetKeys,
    /// A version is stopped while its requests are under way.
    StopUndrained,
    /// A router is told, and never looked at: what it took counts as in effect, also before a version is stopped.
    NeverLook,
    /// Instances that run count as ready.
    RunningIsReady,
}

impl Bug {
    /// Those that registries have, which single requests find.
    pub const OF_DRIVERS: [Self; 3] = [Self::StopUndrained, Self::NeverLook, Self::RunningIsReady];

    /// All others, which the simulator finds.
    pub const ALL: [Self; 49] = [
        Self::IgnorePolicy,
        Self::IgnoreDeny,
        Self::LatchAdmission,
        Self::CountTwice,
        Self::ApproveOwn,
        Self::IgnoreRoom,
        Self::IgnorePredecessor,
        Self::SyncEarly,
        Self::PauseRollback,
        Self::HoldRollback,
        Self::RollBackTooSoon,
        Self::RollbackLies,
        Self::RollbackUnordered,
        Self::FinishEarly,
        Self::RetryBlindly,
        Self::UnknownIsSuccess,
        Self::AnyIdentity,
        Self::NoDataPasses,
        Self::NanPasses,
        Self::OneMeasurement,
        Self::RetryForever,
        Self::KeyPerAttempt,
        Self::NoTimer,
        Self::WakeNobody,
        Self::NoDeadline,
        Self::TimeGoesBack,
        Self::NoFencing,
        Self::GoOnFenced,
        Self::NoSequence,
        Self::AppendAgain,
        Self::ActFirst,
        Self::AckBeforeSync,
        Self::LoseRecord,
        Self::NeverCall,
        Self::LeakCredential,
        Self::LeakPermit,
        Self::GrantOneMore,
        Self::StartUnpermitted,
        Self::ReleaseEarly,
        Self::ForgetQuota,
        Self::QueueRollback,
        Self::GrantNobody,
        Self::TrustUnstored,
        Self::RecoverForever,
        Self::MigrateBlindly,
        Self::DropParked,
        Self::CancelLeaves,
        Self::FailureLeaves,
        Self::ForgetKeys,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted in this thread.
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
