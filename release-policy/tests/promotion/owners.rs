//! Who may promote into an environment.

use release_policy::promotion::{Claim, Owners, Refused, Taken};

use crate::support::{at, env};

fn taken(owner: &str, epoch: u64) -> Taken {
    let owner = owner.parse().unwrap();
    Taken { environment: env("prod"), owner, epoch, at: at(i64::try_from(epoch).unwrap()) }
}

fn claim(owner: &str, epoch: u64) -> Claim {
    Claim { owner: owner.parse().unwrap(), epoch }
}

#[test]
fn a_stale_owner_is_refused_and_told_who_owns_it() {
    let mut owners = Owners::new();
    owners.take(taken("blue", 1)).unwrap();
    assert!(owners.check(&env("prod"), &claim("blue", 1)).is_ok());
    owners.take(taken("green", 2)).unwrap();
    let error = owners.check(&env("prod"), &claim("blue", 1)).unwrap_err();
    assert!(matches!(&error, Refused::Stale { epoch: 2, owner, .. } if owner.as_str() == "green"));
    assert!(owners.check(&env("prod"), &claim("green", 2)).is_ok());
    // The same owner that took it again is another one, too.
    owners.take(taken("green", 3)).unwrap();
    assert!(owners.check(&env("prod"), &claim("green", 2)).is_err());
}

#[test]
fn nobody_else_and_no_epoch_that_was_not_given_is_let_in() {
    let mut owners = Owners::new();
    let none = owners.check(&env("prod"), &claim("blue", 0)).unwrap_err();
    assert!(matches!(none, Refused::Unowned { .. }));
    owners.take(taken("blue", 5)).unwrap();
    let ahead = owners.check(&env("prod"), &claim("blue", 6)).unwrap_err();
    assert!(matches!(ahead, Refused::NeverGiven { claimed: 6, epoch: 5, .. }));
    let other = owners.check(&env("prod"), &claim("green", 5)).unwrap_err();
    assert!(matches!(other, Refused::NotOwner { .. }));
    assert!(matches!(
        owners.check(&env("dev"), &claim("blue", 5)).unwrap_err(),
        Refused::Unowned { .. }
    ));
}

/// All courses of four takeovers with epochs from 0 to 3 and two owners: exactly the last that was let in holds.
#[test]
fn exactly_one_claim_holds_whatever_is_tried() {
    let all: Vec<_> =
        ["blue", "green"].iter().flat_map(|who| (0..4).map(|epoch| (*who, epoch))).collect();
    for course in 0..all.len().pow(4) {
        let mut owners = Owners::new();
        let mut held: Option<(&str, u64)> = None;
        for turn in 0..4 {
            let (who, epoch) = all[course / all.len().pow(turn) % all.len()];
            let higher = held.is_none_or(|(_, last)| epoch > last);
            assert_eq!(owners.take(taken(who, epoch)).is_ok(), higher);
            if higher {
                held = Some((who, epoch));
            }
        }
        for (who, epoch) in &all {
            let let_in = owners.check(&env("prod"), &claim(who, *epoch)).is_ok();
            assert_eq!(let_in, held == Some((*who, *epoch)));
        }
    }
}
