//! Each rule finds what it is for, and only that: a rule that cannot fail checks nothing.

use super::rules::{
    MOST_LINES, PURE, SLEEPS, Source, UNFINISHED, impure, sleeps, too_long, unfinished,
    unknown_items,
};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn impure_code_is_found_in_pure_places_only() {
    let offences = [
        "use std::fs;",
        "    let text = std::fs::read_to_string(path)?;",
        "use std::{env, fs};",
        "let home = std::env::var_os(\"HOME\");",
        "std::process::exit(1)",
        "std::net::TcpStream::connect(address)",
        "std::io::stdin().read_line(&mut line)",
        "std::thread::spawn(work);",
        "tokio::time::timeout(limit, work)",
        "pub async fn decide() {}",
        "let work = async { 1 };",
        "let now = SystemTime::now();",
        "let begun = Instant::now();",
        "let now = chrono::Utc::now();",
        "RandomState::new().hash_one(name)",
        "let draw = rand::random();",
    ];
    for offence in offences {
        for place in PURE {
            let path =
                if place.contains('.') { place.into() } else { format!("{place}/deep/x.rs") };
            assert!(!impure(&source(&path, offence)).is_empty(), "{offence} in {path}");
        }
        let engine = source("release-core/src/engine/driver.rs", offence);
        assert_eq!(impure(&engine), [""; 0], "{offence}");
        let namesake = source("release-core/src/runner/x.rs", offence);
        assert_eq!(impure(&namesake), [""; 0], "{offence}");
    }
    for innocent in [
        "use std::time::Duration;",
        "// no std::fs, no tokio",
        "let x = operand::of(1);",
        "//! async",
    ] {
        assert_eq!(impure(&source("release-core/src/run/x.rs", innocent)), [""; 0], "{innocent}");
    }
    let tests = "#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n";
    assert_eq!(impure(&source("release-core/src/run/x.rs", tests)), [""; 0]);
    let before = format!("use std::thread;\n#[cfg(test)]\nmod tests;\n{tests}");
    assert_eq!(impure(&source("release-core/src/run/x.rs", &before)).len(), 1);
    let found = impure(&source("release-policy/src/x.rs", "\n\nuse std::fs; // for now"));
    assert_eq!(found, ["release-policy/src/x.rs:3: `std::fs`"]);
}

#[test]
fn what_is_unfinished_is_found_in_code_and_comments() {
    for word in UNFINISHED {
        assert_eq!(unfinished(&source("a.rs", &format!("x();\n    {word}(\"later\")"))).len(), 1);
        assert_eq!(unfinished(&source("a.rs", &format!("/// {word} later"))).len(), 1);
    }
    assert_eq!(unfinished(&source("a.rs", "// a todo list, ignored")), [""; 0]);
}

#[test]
fn sleeps_are_found_however_they_are_imported() {
    for word in SLEEPS {
        assert_eq!(sleeps(&source("a.rs", &format!("use tokio::{word}"))).len(), 1, "{word}");
        assert_eq!(sleeps(&source("a.rs", &format!("// {word}"))), [""; 0], "{word}");
    }
    assert_eq!(sleeps(&source("a.rs", &format!("\"http://x\"; {}(limit)", SLEEPS[0]))).len(), 1);
}

#[test]
fn a_line_too_many_is_found() {
    assert_eq!(too_long(&source("a.rs", &"x\n".repeat(MOST_LINES))), [""; 0]);
    assert_eq!(too_long(&source("a.rs", &"x\n".repeat(MOST_LINES + 1))).len(), 1);
}

#[test]
fn items_that_texts_make_up_are_found() {
    let sources = [
        source(
            "a.rs",
            "pub enum Command {\n    Pause,\n    Approve {\n        gate: GateId,\n    },\n}\n\
             impl Command {\n    pub const fn name(&self) {}\n}",
        ),
        source("b.rs", "pub struct Commander {\n    pub rank: u8,\n}"),
        source("c.rs", "impl fmt::Display for Command {\n    fn fmt(&self) {}\n}"),
    ];
    let problems = |text: &str| unknown_items(&source("X.md", text), &sources);
    for known in [
        "`Command::Pause`, `Command::Approve{ gate }` and `Command::Approve`",
        "`Command::gate` is a field, `Command::name(&self)` a function, `Command::fmt` elsewhere",
        "`Commander::rank`",
        "Command::Baked is code of nobody, `std::io::Error` and `run::judge` are no types",
    ] {
        assert_eq!(problems(known), [""; 0]);
    }
    for made_up in [
        "`Command::Baked`",
        "`Command::Appro`",
        "`Command::Pause` and `Command::nam()`",
        "`Command::rank`",
        "`Commander::name`",
        "`Comman::Pause`",
        "`GateId::gate`",
    ] {
        assert_eq!(problems(made_up).len(), 1, "{made_up}");
    }
    let found = problems("\n`Command::baked`");
    assert_eq!(found, ["X.md:2: `Command::baked` is not in the sources"]);
}
