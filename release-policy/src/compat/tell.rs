//! Why no versions fit together, in sentences.

use std::collections::BTreeMap;

use pubgrub::{DerivationTree, Derived, External, Map, Term};

use super::resolve::{Package, Set};

type Tree = DerivationTree<Package, Set, String>;

/// What was told so far.
#[derive(Default)]
struct Told {
    sentences: Vec<String>,
    /// In which sentence what is used more than once was told.
    shared: BTreeMap<usize, usize>,
}

/// The sentences of a derivation, each after those that it follows from.
pub(super) fn sentences(tree: &Tree) -> Vec<String> {
    let mut told = Told::default();
    match tree {
        DerivationTree::External(external) => told.sentences.push(fact(external)),
        DerivationTree::Derived(derived) => {
            told.tell(derived);
        }
    }
    told.sentences
}

impl Told {
    /// Tells what leads to `derived`, and returns the number of the sentence that says it.
    fn tell(&mut self, derived: &Derived<Package, Set, String>) -> usize {
        if let Some(number) = derived.shared_id.and_then(|id| self.shared.get(&id)) {
            return *number;
        }
        let causes = [&derived.cause1, &derived.cause2].map(|cause| match &**cause {
            DerivationTree::External(external) => fact(external),
            DerivationTree::Derived(before) => {
                let (number, last) = (self.tell(before), self.sentences.len());
                // What was said just before needs no number.
                let said = conclusion(&before.terms);
                if number == last { said } else { format!("{said} ({number})") }
            }
        });
        let [one, other] = causes;
        let number = self.sentences.len() + 1;
        let follows = conclusion(&derived.terms);
        self.sentences.push(format!("{number}. Because {one} and {other}, {follows}"));
        if let Some(id) = derived.shared_id {
            self.shared.insert(id, number);
        }
        number
    }
}

fn fact(external: &External<Package, Set, String>) -> String {
    match external {
        External::NotRoot(..) => "something is asked for".to_owned(),
        External::NoVersions(package, set) => format!("there is no {package} {}", shown(set)),
        External::Custom(package, set, why) => {
            format!("{package} {} cannot be used: {why}", shown(set))
        }
        External::FromDependencyOf(Package::Wish, _, package, set) if *set == Set::full() => {
            format!("{package} is deployed and stays")
        }
        External::FromDependencyOf(Package::Wish, _, package, set) => {
            format!("{package} {} is asked for", shown(set))
        }
        External::FromDependencyOf(package, set, on, wanted) if *set == Set::full() => {
            format!("every version of {package} needs {on} {}", shown(wanted))
        }
        External::FromDependencyOf(package, set, on, wanted) => {
            format!("{package} {} needs {on} {}", shown(set), shown(wanted))
        }
    }
}

/// What cannot be, of terms that cannot all hold.
fn conclusion(terms: &Map<Package, Term<Set>>) -> String {
    let mut terms: Vec<_> =
        terms.iter().filter(|(package, _)| **package != Package::Wish).collect();
    terms.sort_by_key(|(package, _)| *package);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for (package, term) in terms {
        match term {
            Term::Positive(set) => without.push(named(package, set)),
            Term::Negative(set) => with.push(named(package, set)),
        }
    }
    match (without.is_empty(), with.is_empty()) {
        (true, true) => "it cannot be".to_owned(),
        (true, false) => format!("{} has to be there", with.join(" or ")),
        (false, true) if without.len() == 1 => format!("{} cannot be used", without.join("")),
        (false, true) => format!("{} cannot be used together", without.join(" and ")),
        (false, false) => format!("{} needs {}", without.join(" with "), with.join(" or ")),
    }
}

fn named(package: &Package, set: &Set) -> String {
    if *set == Set::full() {
        format!("any version of {package}")
    } else {
        format!("{package} {}", shown(set))
    }
}

fn shown(set: &Set) -> String {
    if *set == Set::empty() {
        "in a version that does not exist".to_owned()
    } else {
        set.to_string()
    }
}
