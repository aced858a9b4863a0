//! What the example of governance tells is what `told.txt` says, in all scenes.

#[path = "../governed_release/desk.rs"]
mod desk;
#[path = "../governed_release/rules.rs"]
mod rules;
#[path = "../governed_release/story.rs"]
mod story;

/// To take over what it tells now: `cargo run --all-features --example governed_release > examples/governed_release/told.txt`.
#[tokio::test]
async fn the_governed_releases_tell_what_is_blocked_why_and_by_what_it_is_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let told = story::play(folder.path()).await.unwrap();
    for (nth, (told, wanted)) in
        told.lines().zip(include_str!("../governed_release/told.txt").lines()).enumerate()
    {
        assert_eq!(told, wanted, "line {}", nth + 1);
    }
    assert_eq!(told.lines().count(), include_str!("../governed_release/told.txt").lines().count());
}
