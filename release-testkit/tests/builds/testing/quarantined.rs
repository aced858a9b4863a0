//! A flaky suite that is quarantined by what campaigns tell, and required again.

use std::sync::Arc;

use release_core::build::{Suite, SuiteStanding, Suites};
use release_core::model::{ArtifactRef, EnvironmentId, SuiteId};
use release_core::port::Clock as _;
use release_core::time::Span;
use release_policy::quarantine::{Attempt, Attempts, Duty, QuarantineRules, Quarantines};
use release_providers::build::{
    CancellationToken, StageVerdict, StagedSuites, TestCampaign, TestReport,
};
use release_providers::spi::TestOutcome;
use release_testkit::VirtualClock;
use release_testkit::fakes::FakeTestRunner;
use release_testkit::fixtures::{self, literal};

/// A host: what it tests with, and what it keeps.
struct Host {
    runner: FakeTestRunner,
    clock: Arc<VirtualClock>,
    suites: StagedSuites,
    rules: QuarantineRules,
    attempts: Attempts,
    quarantines: Quarantines,
    campaigns: u32,
}

fn checkout() -> SuiteId {
    literal("checkout")
}

fn content(nth: u32) -> ArtifactRef {
    fixtures::artifact("shop", &format!("1.{nth}.0"))
}

impl Host {
    fn new() -> Self {
        let suite = |name, stage| Suite::new(literal(name), literal(stage), Span::secs(60));
        let suites = Suites::new([
            suite("unit", "dev"),
            suite("checkout", "staging"),
            suite("load", "production").after(checkout()),
        ]);
        let order = ["dev", "staging", "production"].map(literal);
        let passed = [("a", TestOutcome::Passed)];
        Self {
            runner: FakeTestRunner::new().suite("unit", &passed).suite("load", &passed),
            clock: Arc::new(VirtualClock::new()),
            suites: StagedSuites::in_order(suites.unwrap(), order).unwrap(),
            rules: QuarantineRules::default(),
            attempts: Attempts::default(),
            quarantines: Quarantines::default(),
            campaigns: 0,
        }
    }

    fn duty(&self, suite: &SuiteId, artifact: &ArtifactRef) -> Duty {
        let (rules, now) = (&self.rules, self.clock.now());
        let content = artifact.digest();
        self.quarantines.duty(rules, &self.attempts, suite, content, now).unwrap()
    }

    /// Tests a content once; `checkout` comes to what is said.
    fn test(&mut self, artifact: &ArtifactRef, checkout: TestOutcome) -> TestReport {
        self.runner = self.runner.clone().suite("checkout", &[("pay", checkout)]);
        self.campaigns += 1;
        let (name, by) = (format!("campaign-{}", self.campaigns), fixtures::robot());
        let runner = Arc::new(self.runner.clone());
        let all = self.suites.suites().iter().map(|suite| suite.id.clone());
        let excused = all.filter(|id| !self.duty(id, artifact).holds());
        let campaign = TestCampaign::new(name, runner, self.clock.clone(), by, artifact.clone())
            .excusing(excused);
        let stop = CancellationToken::new();
        let report = self.clock.run(campaign.run(&self.suites, &stop)).unwrap();
        for one in &report.attempts {
            let attempt = Attempt::new(one.suite.clone(), one.content, one.at, one.passed);
            self.attempts.add(&attempt).unwrap();
        }
        report
    }
}

fn production(report: &TestReport) -> &StageVerdict {
    &report.stages[&literal::<EnvironmentId>("production")]
}

fn held() -> StageVerdict {
    StageVerdict::Held { because: literal("staging") }
}

#[test]
fn a_flaky_suite_holds_nothing_while_it_is_quarantined_and_is_required_again() {
    use TestOutcome::{Failed, Passed};
    let mut host = Host::new();
    let (owner, week) =
        (literal::<release_core::model::TeamId>("team-shop"), Span::secs(7 * 86_400));
    let quarantine = |host: &mut Host| {
        let (owner, now) = (owner.clone(), host.clock.now());
        host.quarantines
            .begin(&host.rules, &host.attempts, checkout(), owner, now, week)
            .map(|one| one.until)
    };
    // It fails at first on every content, and passes when it is run again.
    for nth in 0..30 {
        let report = host.test(&content(nth), Failed);
        assert_eq!(production(&report), &held());
        assert!(host.test(&content(nth), Passed).has_passed());
        if nth == 0 {
            let error = quarantine(&mut host).unwrap_err().to_string();
            assert!(error.contains("not shown to be flaky"), "{error}");
        }
    }
    let until = quarantine(&mut host).unwrap();
    // It runs on, its failure is told, and holds neither its stage nor what comes after it.
    let report = host.test(&content(100), Failed);
    assert!(report.has_passed(), "{report:?}");
    let result = &report.suites[&checkout()];
    assert_eq!((&result.standing, result.holds), (&SuiteStanding::Failed, false));
    assert_eq!(result.cases[0].outcome, Failed);
    assert_eq!(report.suites[&literal::<SuiteId>("load")].standing, SuiteStanding::Passed);
    assert!(report.attempts.iter().any(|one| one.suite == checkout() && !one.passed));
    // On a content on which it fails more often in a row than it would by chance, it holds in spite of that.
    let in_vain = (1..200).find(|_| !host.test(&content(200), Failed).has_passed()).unwrap();
    assert!(in_vain > 5, "{in_vain}");
    assert!(matches!(host.duty(&checkout(), &content(200)), Duty::Broken { .. }));
    assert!(host.test(&content(201), Failed).has_passed());
    // Its time is over.
    host.clock.set(until);
    let report = host.test(&content(300), Failed);
    assert_eq!(production(&report), &held());
    assert!(report.suites[&checkout()].holds);
    assert!(matches!(host.duty(&checkout(), &content(300)), Duty::Overdue { .. }));
    assert!(host.test(&content(300), Passed).has_passed());
}
