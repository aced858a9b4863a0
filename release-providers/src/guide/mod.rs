//! How to write a provider, from the choice of a trait to the next version.
//!
//! 1. [`choose`] the trait,
//! 2. [`implement`] it,
//! 3. [`test`](mod@test) it with the suite of its trait,
//! 4. [`ship`] it in process, or as a [`plugin`],
//! 5. [`version`](mod@version) it.
//!
//! What a vendor's package looks like as a whole is in the folder `examples/acme-provider` of the repository: a manifest
//! with one dependency, a provider in under 100 lines, its conformance test, its plugin. Start with a copy of it, and mend the
//! paths in its manifest, which lead to where the SDK is.

#[doc = include_str!("choose.md")]
pub mod choose {}
#[doc = include_str!("implement.md")]
pub mod implement {}
// Its examples use release-testkit, which depends on this crate: they are compiled and run there.
#[cfg_attr(not(doctest), doc = include_str!("test.md"))]
pub mod test {}
#[doc = include_str!("ship.md")]
pub mod ship {}
#[cfg_attr(feature = "plugin", doc = include_str!("plugin.md"))]
#[cfg_attr(not(feature = "plugin"), doc = "Needs the feature `plugin`.")]
pub mod plugin {}
#[doc = include_str!("version.md")]
pub mod version {}

#[cfg(test)]
mod tests {
    macro_rules! traits {
        ($( $trait:ident $op:ident $call:ident $capability:literal { $($rest:tt)* } )*) => {
            [$(stringify!($trait)),*]
        };
    }

    #[test]
    fn the_table_has_every_trait() {
        let chapter = include_str!("choose.md");
        let all = crate::for_each_capability!(traits);
        for name in all {
            let row = format!("| [`{name}`](crate::spi::{name}) |");
            assert_eq!(chapter.matches(&row).count(), 1, "{name}");
        }
        assert_eq!(chapter.matches("](crate::spi::").count(), all.len(), "a trait that is none");
    }
}
