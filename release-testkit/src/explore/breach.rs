//! What has to hold in every state.

use release_core::model::Target;

/// Something that has to hold and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Requests go to a version that has no instance.
    #[error("traffic of {target} goes where nobody is: {world}")]
    NobodyServes {
        /// Where.
        target: Target,
        /// What is there.
        world: String,
    },
    /// A version gets more of the traffic, and nobody has just seen that as many of its instances are ready as that needs.
    #[error(
        "{action}: {ready} instances of {version} were just seen to be ready, {needed} are needed: {world}"
    )]
    Unready {
        /// What is done.
        action: String,
        /// Which version.
        version: String,
        /// How many were seen to be ready.
        ready: u32,
        /// How many its share needs.
        needed: u32,
        /// What is there.
        world: String,
    },
    /// Shares that do not make a whole.
    #[error("the shares of {target} add up to {sum} %")]
    NotAHundred {
        /// Where.
        target: Target,
        /// What they add up to.
        sum: u32,
    },
    /// Fewer instances than the traffic needs.
    #[error("{serving} instances serve {target}, which needs {needed}: {world}")]
    TooFew {
        /// Where.
        target: Target,
        /// How many serve.
        serving: u32,
        /// How many are needed.
        needed: u32,
        /// What is there.
        world: String,
    },
    /// More instances than there may be at once.
    #[error("{running} instances run in {target}, where {most} may: {world}")]
    TooMany {
        /// Where.
        target: Target,
        /// How many run.
        running: u32,
        /// How many may.
        most: u32,
        /// What is there.
        world: String,
    },
    /// Instances of two versions that may not run together.
    #[error("two versions run together in {target}: {world}")]
    Together {
        /// Where.
        target: Target,
        /// What is there.
        world: String,
    },
    /// A run ended, and not all traffic is on a version that runs with all instances, or something was left over.
    #[error("{outcome}, and it is not whole: {world}")]
    NotWhole {
        /// How the run ended.
        outcome: &'static str,
        /// What is there.
        world: String,
    },
    /// A run was taken back, and it is not as it was.
    #[error("{outcome}, and it is not as before: {world}")]
    NotAsBefore {
        /// How the run ended.
        outcome: &'static str,
        /// What is there.
        world: String,
    },
    /// Traffic was brought back to instances that are dead, or is left on them where the run had a say in it.
    #[error("{what}, and traffic of {target} is on a version whose instances are dead: {world}")]
    Dead {
        /// What is done, or how the run ended.
        what: String,
        /// Where.
        target: Target,
        /// What is there.
        world: String,
    },
    /// Nothing can happen any more, and the run has not ended.
    #[error("nothing can happen any more: {0}")]
    Stuck(String),
    /// The run could not begin.
    #[error("the run cannot begin: {0}")]
    Rejected(String),
    /// There are more states than were to be looked at.
    #[error("there are more than {0} states")]
    TooManyStates(usize),
}
