//! The providers of one capability, by what they serve.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ProviderSelector, RegistryError};

/// The providers of one capability.
#[derive(Debug)]
pub struct Table<T: ?Sized>(BTreeMap<ProviderSelector, Arc<T>>);

impl<T: ?Sized> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: ?Sized> Table<T> {
    pub(crate) fn add(
        &mut self,
        capability: &'static str,
        selector: ProviderSelector,
        provider: Arc<T>,
    ) -> Result<(), RegistryError> {
        use std::collections::btree_map::Entry;

        let means = |field: &str| match field {
            "channel" => capability == "notifier",
            "action" => capability == "custom_action",
            "source" => capability == "metrics_source",
            _ => true,
        };
        let odd = {
            let mut fields = selector.fields().into_iter();
            fields.find(|(field, value)| value.is_some() && !means(field)).map(|(field, _)| field)
        };
        if let Some(field) = odd {
            let selector = Box::new(selector);
            return Err(RegistryError::Meaningless { capability, selector, field });
        }
        match self.0.entry(selector) {
            Entry::Vacant(place) => {
                place.insert(provider);
                Ok(())
            }
            Entry::Occupied(place) => {
                Err(RegistryError::Twice { capability, selector: Box::new(place.key().clone()) })
            }
        }
    }

    /// The narrowest for what `at` is about, and what it is for.
    pub(super) fn find(&self, at: &ProviderSelector) -> Option<(&ProviderSelector, &Arc<T>)> {
        if self.0.is_empty() {
            return None;
        }
        let bound = wider(at).into_iter().filter_map(|wider| self.0.get_key_value(&wider));
        bound.max_by_key(|(selector, _)| selector.width())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ProviderSelector, &Arc<T>)> {
        self.0.iter()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Arc<T>> {
        self.0.values_mut()
    }

    /// Pairs that both apply somewhere, of which neither is narrower, and where nobody is bound to just what both
    /// apply to.
    pub(crate) fn unclear(&self, capability: &'static str) -> Vec<RegistryError> {
        // Selectors that set the same fields, or one all of the other's, are never unclear.
        let mut by_shape: BTreeMap<u8, Vec<&ProviderSelector>> = BTreeMap::new();
        for selector in self.0.keys() {
            let shape = selector
                .fields()
                .iter()
                .fold(0, |all, (_, field)| all << 1 | u8::from(field.is_some()));
            by_shape.entry(shape).or_default().push(selector);
        }
        let mut unclear = Vec::new();
        for (shape, selectors) in &by_shape {
            for (other, others) in by_shape.range(shape.saturating_add(1)..) {
                if shape & other == *shape || shape & other == *other {
                    continue;
                }
                for (first, second) in
                    selectors.iter().flat_map(|one| others.iter().map(move |two| (one, two)))
                {
                    if let Some(both) = first.both(second).filter(|both| !self.0.contains_key(both))
                    {
                        let (first, second, both) = (
                            Box::new((*first).clone()),
                            Box::new((*second).clone()),
                            Box::new(both),
                        );
                        unclear.push(RegistryError::Unclear { capability, first, second, both });
                    }
                }
            }
        }
        unclear
    }
}

/// All that select at least what `at` selects: of sources, those of the same name.
fn wider(at: &ProviderSelector) -> Vec<ProviderSelector> {
    let named = ProviderSelector { source: at.source.clone(), ..ProviderSelector::everywhere() };
    let mut all = vec![named];
    let mut with = |set: fn(&mut ProviderSelector, &ProviderSelector), is_set: bool| {
        if is_set {
            let mut more = all.clone();
            for one in &mut more {
                set(one, at);
            }
            all.extend(more);
        }
    };
    with(|one, at| one.environment.clone_from(&at.environment), at.environment.is_some());
    with(|one, at| one.region.clone_from(&at.region), at.region.is_some());
    with(|one, at| one.service.clone_from(&at.service), at.service.is_some());
    with(|one, at| one.channel.clone_from(&at.channel), at.channel.is_some());
    with(|one, at| one.action.clone_from(&at.action), at.action.is_some());
    all
}
