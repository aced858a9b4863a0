//! Which accounts are one person.

use std::collections::BTreeMap;

use release_core::model::{Identity, PrincipalId, PrincipalKind};

use super::Directory;

/// Each account's person: the smallest id among all that are linked, however far round.
pub(super) fn join(
    identities: &BTreeMap<PrincipalId, Identity>,
) -> BTreeMap<PrincipalId, PrincipalId> {
    let mut sets = Sets::default();
    for identity in identities.values() {
        for other in &identity.linked {
            sets.join(&identity.id, other);
        }
    }
    let humans = identities.values().filter(|who| matches!(who.kind, PrincipalKind::Human));
    humans.map(|who| (who.id.clone(), sets.smallest(&who.id).clone())).collect()
}

/// Disjoint sets of ids, each of which goes by its smallest member; ids not in any are alone.
///
/// Union by size (R. E. Tarjan, "Efficiency of a Good But Not Linear Set Union Algorithm", 1975): a walk to
/// the head of a set of n members has at most log2(n) steps, in whatever order they were joined.
#[derive(Debug, Default)]
struct Sets<'a> {
    /// Of every member but the head: the next on the way there.
    parents: BTreeMap<&'a PrincipalId, &'a PrincipalId>,
    /// Of every head of several: how many there are, and the smallest of them.
    heads: BTreeMap<&'a PrincipalId, (usize, &'a PrincipalId)>,
}

impl<'a> Sets<'a> {
    fn head<'b>(&self, id: &'b PrincipalId) -> &'b PrincipalId
    where
        'a: 'b,
    {
        let parents: &BTreeMap<&'b PrincipalId, &'b PrincipalId> = &self.parents;
        let mut head = id;
        while let Some(parent) = parents.get(head) {
            head = parent;
        }
        head
    }

    /// The smallest of the set that `id` is in.
    fn smallest<'b>(&self, id: &'b PrincipalId) -> &'b PrincipalId
    where
        'a: 'b,
    {
        let head = self.head(id);
        self.heads.get(head).map_or(head, |(_, smallest)| smallest)
    }

    fn join(&mut self, one: &'a PrincipalId, two: &'a PrincipalId) {
        let (one, two) = (self.head(one), self.head(two));
        if one == two {
            return;
        }
        let mut take = |head| self.heads.remove(head).unwrap_or((1, head));
        let ((ones, smallest), (twos, other)) = (take(one), take(two));
        let (head, below) = if ones < twos { (two, one) } else { (one, two) };
        self.parents.insert(below, head);
        self.heads.insert(head, (ones.saturating_add(twos), smallest.min(other)));
    }
}

/// Who is who: the links of a directory, and those that statements were recorded with. A link that was
/// removed since makes nobody two people.
#[derive(Debug)]
pub(crate) struct People<'a> {
    directory: &'a Directory,
    recorded: Sets<'a>,
}

impl<'a> People<'a> {
    pub(crate) fn new(
        directory: &'a Directory,
        links: impl IntoIterator<Item = (&'a PrincipalId, &'a PrincipalId)>,
    ) -> Self {
        let mut recorded = Sets::default();
        for (one, two) in links {
            recorded.join(directory.human(one), directory.human(two));
        }
        Self { directory, recorded }
    }

    /// The person behind an account.
    pub(crate) fn human(&self, id: &'a PrincipalId) -> &'a PrincipalId {
        self.recorded.smallest(self.directory.human(id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: usize) -> Vec<PrincipalId> {
        (0..count).map(|n| format!("c{n:06}").parse().unwrap()).collect()
    }

    /// How far it is to the head.
    fn depth<'a>(sets: &Sets<'a>, mut id: &'a PrincipalId) -> u32 {
        let mut steps = 0;
        while let Some(parent) = sets.parents.get(id) {
            (id, steps) = (parent, steps + 1);
        }
        steps
    }

    /// From both ends, and from the middle of each half and so on.
    #[test]
    fn no_walk_is_long_in_whatever_order_accounts_are_linked() {
        let all = ids(4_096);
        let pairs: Vec<_> = all.iter().zip(all.iter().skip(1)).collect();
        let halves = {
            let mut order: Vec<_> = (0..pairs.len()).collect();
            order.sort_by_key(|at| ((at + 1).trailing_zeros(), *at));
            order.iter().map(|at| pairs[*at]).collect::<Vec<_>>()
        };
        let back: Vec<_> = pairs.iter().rev().copied().collect();
        for (name, links) in [("forwards", pairs), ("backwards", back), ("by halves", halves)] {
            let mut sets = Sets::default();
            for (one, two) in links {
                sets.join(one, two);
            }
            let longest = all.iter().map(|id| depth(&sets, id)).max().unwrap();
            assert!(longest <= 12, "{name}: {longest} steps for 2^12 accounts");
            assert!(all.iter().all(|id| sets.smallest(id) == &all[0]), "{name}");
        }
    }

    proptest! {
        #[test]
        fn everybody_goes_by_the_smallest_that_links_lead_to(
            links in prop::collection::vec((0..20_usize, 0..20_usize), 0..30),
        ) {
            let all = ids(20);
            let mut sets = Sets::default();
            for (one, two) in &links {
                sets.join(&all[*one], &all[*two]);
            }
            // As anybody would: the smaller name goes round until nobody learns a smaller one.
            let mut least: Vec<_> = (0..20).collect();
            for _ in 0..20 {
                for (one, two) in &links {
                    let less = least[*one].min(least[*two]);
                    (least[*one], least[*two]) = (less, less);
                }
            }
            for (id, least) in all.iter().zip(least) {
                prop_assert_eq!(sets.smallest(id), &all[least]);
            }
        }
    }
}
