//! The provider keeps what its trait promises: five lines, and a test a promise.

mod place;

release_testkit::conformance!(FlagStore, async || {
    let place = place::Place::new();
    let sandbox = release_testkit::conformance::flag_store::sandbox;
    sandbox(place.flags(), "dark-mode", place::environment()).on_close(move || place.close())
});
