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
    humans.map(|who| (who.id.clone(), sets.root(&who.id).clone())).collect()
}

/// Disjoint sets of ids. The root of each is its smallest member; ids not in it are their own root.
#[derive(Debug, Default)]
struct Sets<'a> {
    parents: BTreeMap<&'a PrincipalId, &'a PrincipalId>,
}

impl<'a> Sets<'a> {
    fn root<'b>(&self, id: &'b PrincipalId) -> &'b PrincipalId
    where
        'a: 'b,
    {
        let parents: &BTreeMap<&'b PrincipalId, &'b PrincipalId> = &self.parents;
        let mut root = id;
        while let Some(parent) = parents.get(root) {
            root = parent;
        }
        root
    }

    fn join(&mut self, one: &'a PrincipalId, two: &'a PrincipalId) {
        let (one_root, two_root) = (self.root(one), self.root(two));
        if one_root != two_root {
            let (small, large) = (one_root.min(two_root), one_root.max(two_root));
            self.parents.insert(large, small);
            // Keeps the paths short, so that long chains of links stay cheap.
            for id in [one, two] {
                if id != small {
                    self.parents.insert(id, small);
                }
            }
        }
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
        self.recorded.root(self.directory.human(id))
    }
}
