//! Why no versions fit together, in sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ptr;
use std::sync::Arc;

use pubgrub::{DerivationTree, Derived, External, Map, Term, VersionSet as _};
use semver::Version;

use super::fits::Set;
use super::resolve::{Package, Question};

type Because = Derived<Package, Set, std::convert::Infallible>;
type Tree = DerivationTree<Package, Set, std::convert::Infallible>;

/// How many of a kind are named, at the most, in one sentence.
const MOST_NAMED: usize = 8;

/// The sentences of a derivation, each after those that it follows from.
///
/// A derivation may be as deep as there are services, so neither this nor the end of it goes down by calls.
pub(super) fn sentences(tree: Tree, question: &Question<'_>) -> Vec<String> {
    let mut told = Told { question, sentences: Vec::new(), numbers: BTreeMap::new() };
    match &tree {
        DerivationTree::External(external) => told.sentences.push(told.fact(external)),
        DerivationTree::Derived(derived) => told.tell(derived),
    }
    let sentences = told.sentences;
    take_apart(tree);
    sentences
}

/// Frees a derivation level by level: left to itself, it frees each cause within what follows from it.
fn take_apart(tree: Tree) {
    let mut left = vec![tree];
    while let Some(tree) = left.pop() {
        if let DerivationTree::Derived(Derived { cause1, cause2, .. }) = tree {
            left.extend([cause1, cause2].into_iter().filter_map(Arc::into_inner));
        }
    }
}

/// What was told so far.
struct Told<'a> {
    question: &'a Question<'a>,
    sentences: Vec<String>,
    /// In which sentence what was derived was told, by where it lies.
    numbers: BTreeMap<*const Because, usize>,
}

impl Told<'_> {
    /// Tells all that leads to `last`, and that.
    fn tell(&mut self, last: &Because) {
        let mut open = vec![last];
        while let Some(derived) = open.last().copied() {
            let causes = [&*derived.cause1, &*derived.cause2];
            let derived_causes = causes.into_iter().filter_map(|cause| match cause {
                DerivationTree::External(_) => None,
                DerivationTree::Derived(before) => Some(before),
            });
            let told = |one: &&Because| self.numbers.contains_key(&ptr::from_ref(*one));
            let before = open.len();
            if !told(&derived) {
                open.extend(derived_causes.filter(|one| !told(one)));
                // The first is told first.
                if let Some(causes) = open.get_mut(before..) {
                    causes.reverse();
                }
            }
            if open.len() == before {
                open.pop();
                self.say(derived);
            }
        }
    }

    /// Says what follows, where all that it follows from was said.
    fn say(&mut self, derived: &Because) {
        let place = ptr::from_ref(derived);
        if self.numbers.contains_key(&place) {
            return;
        }
        let causes = [&derived.cause1, &derived.cause2].map(|cause| match &**cause {
            DerivationTree::External(external) => self.fact(external),
            DerivationTree::Derived(before) => {
                let said = self.conclusion(&before.terms);
                // What was said just before needs no number.
                match self.numbers.get(&ptr::from_ref(before)) {
                    Some(number) if *number != self.sentences.len() => format!("{said} ({number})"),
                    _ => said,
                }
            }
        });
        let [one, other] = causes;
        let (number, follows) = (self.sentences.len() + 1, self.conclusion(&derived.terms));
        self.sentences.push(format!("{number}. Because {one} and {other}, {follows}"));
        self.numbers.insert(place, number);
    }

    fn fact(&self, external: &External<Package, Set, std::convert::Infallible>) -> String {
        match external {
            External::NotRoot(..) => "something is asked for".to_owned(),
            External::NoVersions(package, set) => {
                format!("{} does not exist", self.named(*package, set))
            }
            External::Custom(_, _, never) => match *never {},
            External::FromDependencyOf(package, set, on, wanted) => match (package, on) {
                (Package::Service(_), Package::Service(_)) => self.need(*package, set, *on, wanted),
                (Package::Wish, Package::Service(number)) => {
                    let wish = self.question.here.get(number).and_then(|here| here.wish);
                    match wish {
                        Some(wish) => format!(
                            "{} {wish}{} is asked for",
                            self.name(*on),
                            self.there_is(*on, wanted)
                        ),
                        None => format!("{} is deployed and stays", self.name(*on)),
                    }
                }
                _ => "not all of some changes can be made together".to_owned(),
            },
        }
    }

    /// What versions need, as they say it.
    fn need(&self, package: Package, set: &Set, on: Package, wanted: &Set) -> String {
        let (Package::Service(who), Package::Service(number)) = (package, on) else {
            return String::new();
        };
        let count = self.question.catalogue.service(who).map_or(0, |one| one.versions.len());
        let who_all = Set::stretch(0, count);
        let versions = set.intersection(&who_all);
        let said: BTreeSet<String> = versions
            .numbers()
            .flat_map(|version| self.question.catalogue.needs_of(who, version))
            .filter(|need| need.on == number)
            .map(|need| need.requirement.to_string())
            .collect();
        let whose = if versions == who_all {
            format!("every version of {}", self.name(package))
        } else {
            self.named(package, &versions)
        };
        let said = some(said.iter(), said.len(), " or ");
        format!("{whose} needs {} {said}{}", self.name(on), self.there_is(on, wanted))
    }

    /// Which versions there are of those that are wanted.
    fn there_is(&self, package: Package, wanted: &Set) -> String {
        let all = self.all(package);
        match wanted.len() {
            0 => " (there is none)".to_owned(),
            _ if *wanted == all => String::new(),
            1 => format!(" ({} is the only one that there is)", self.list(package, wanted)),
            _ => format!(" (there are {})", self.list(package, wanted)),
        }
    }

    /// What cannot be, of terms that cannot all hold.
    fn conclusion(&self, terms: &Map<Package, Term<Set>>) -> String {
        let mut terms: Vec<_> =
            terms.iter().filter(|(package, _)| matches!(package, Package::Service(_))).collect();
        terms.sort_by_key(|(package, _)| *package);
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for (package, term) in terms {
            match term {
                Term::Positive(set) => without.push(self.named(*package, set)),
                Term::Negative(set) => with.push(self.named(*package, set)),
            }
        }
        let (left, right) =
            (some(without.iter(), without.len(), " and "), some(with.iter(), with.len(), " or "));
        match (without.len(), with.len()) {
            (0, 0) => "it cannot be".to_owned(),
            (0, _) => format!("{right} has to be there"),
            (1, 0) => format!("{left} cannot be used"),
            (_, 0) => format!("{left} cannot be used together"),
            (1, _) => format!("{left} needs {right}"),
            (_, _) => format!("{left} together need {right}"),
        }
    }

    fn name(&self, package: Package) -> String {
        match package {
            Package::Service(number) => {
                let known = self.question.catalogue.service(number);
                known.map_or_else(String::new, |service| format!("`{}`", service.id))
            }
            Package::Wish | Package::Circle(_) => package.to_string(),
        }
    }

    fn named(&self, package: Package, set: &Set) -> String {
        let (name, all) = (self.name(package), self.all(package));
        let set = set.intersection(&all);
        if set == all {
            format!("any version of {name}")
        } else if set == Set::empty() {
            format!("{name} in a version that does not exist")
        } else {
            format!("{name} {}", self.list(package, &set))
        }
    }

    fn all(&self, package: Package) -> Set {
        match package {
            Package::Service(number) => self
                .question
                .catalogue
                .service(number)
                .map_or_else(Set::empty, super::catalogue::Service::all),
            Package::Wish | Package::Circle(_) => Set::full(),
        }
    }

    fn list(&self, package: Package, set: &Set) -> String {
        let Package::Service(number) = package else { return String::new() };
        let Some(service) = self.question.catalogue.service(number) else { return String::new() };
        let version =
            |number: usize| service.versions.get(number).map(|one| one.version.to_string());
        let set = set.intersection(&service.all());
        some(set.numbers().filter_map(version), set.len(), " or ")
    }
}

/// The versions, some of them if they are many.
pub(super) fn list(versions: &[Version]) -> String {
    some(versions.iter(), versions.len(), ", ")
}

/// All of so many, or the first few and how many more.
fn some<T: fmt::Display>(all: impl Iterator<Item = T>, count: usize, between: &str) -> String {
    let few: Vec<_> = all.take(MOST_NAMED).map(|one| one.to_string()).collect();
    let few = few.join(between);
    match count.saturating_sub(MOST_NAMED) {
        0 => few,
        more => format!("{few}{between}{more} more"),
    }
}
