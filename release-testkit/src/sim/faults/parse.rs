//! Reads plans of faults, and says where and how they are wrong.

use release_core::model::Span;

use super::{Boundary, Clause, Fault, FaultPlan, JournalFault, When};
use crate::sim::provider::{Capability, ProviderFault};

/// Text that is no plan of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}; {help}")]
pub struct FaultError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What stands there.
    pub problem: String,
    /// What could stand there.
    pub help: String,
}

/// Where in the text we are.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

pub(super) fn plan(text: &str) -> Result<FaultPlan, FaultError> {
    let mut reader = Reader { text, at: 0 };
    let mut clauses = Vec::new();
    loop {
        reader.skip();
        if reader.rest().is_empty() {
            return Ok(FaultPlan { clauses });
        }
        clauses.push(clause(&mut reader)?);
        reader.skip();
        if !reader.take(';') && !reader.rest().is_empty() {
            return Err(reader.wrong("write `;` before the next clause"));
        }
    }
}

fn clause(reader: &mut Reader<'_>) -> Result<Clause, FaultError> {
    const SUBJECTS: [&str; 6] = ["crash", "pause", "takeover", "journal", "provider", "clock"];
    let fault = match reader.one_of(&SUBJECTS, "a subject")? {
        "crash" => {
            reader.one_of(&["engine"], "what crashes")?;
            Fault::Crash(None)
        }
        "pause" => {
            reader.one_of(&["engine"], "what pauses")?;
            Fault::Pause(reader.span()?)
        }
        "takeover" => Fault::TakeOver,
        "journal" => {
            reader.expect(':')?;
            let mut words: Vec<_> = JournalFault::ALL.map(JournalFault::name).to_vec();
            words.push("outage");
            match reader.one_of(&words, "a fault of journals")? {
                "outage" => Fault::Outage(reader.span()?),
                word => {
                    let known = JournalFault::ALL.into_iter().find(|fault| fault.name() == word);
                    Fault::Journal(known.unwrap_or(JournalFault::Unavailable))
                }
            }
        }
        "provider" => provider(reader)?,
        _ => {
            reader.expect(':')?;
            Fault::Clock(reader.signed_span()?)
        }
    };
    let begin = reader.at;
    let when = when(reader)?;
    let fault = match fault {
        Fault::Crash(_) if !matches!(when, When::At(_)) => Fault::Crash(boundary(reader)?),
        other => other,
    };
    let timed = matches!(fault, Fault::Outage(_) | Fault::Clock(_));
    let counted = matches!(when, When::Append(_) | When::EveryAppend);
    let problem = match (&fault, when) {
        (Fault::Provider(..), When::Chance(_)) => None,
        (Fault::Provider(..), _) => Some("calls fail by chance; write one, such as `2%`"),
        (Fault::Journal(_), When::At(_)) => {
            Some("appends fail by chance or by number; write `2%` or `@append 7`, or an `outage`")
        }
        (_, When::Chance(_)) if timed => Some("write when it happens, such as `@day 3`"),
        _ if timed && counted => Some("write when it happens, such as `@day 3`"),
        _ => None,
    };
    match problem {
        None => Ok(Clause { fault, when }),
        Some(help) => {
            reader.at = begin;
            reader.skip();
            Err(reader.wrong(help))
        }
    }
}

fn provider(reader: &mut Reader<'_>) -> Result<Fault, FaultError> {
    let capability = if reader.take('.') {
        let word = reader.one_of(&Capability::ALL.map(Capability::name), "a capability")?;
        Capability::ALL.into_iter().find(|capability| capability.name() == word)
    } else {
        None
    };
    reader.expect(':')?;
    let word =
        reader.one_of(&ProviderFault::ALL.map(ProviderFault::name), "a fault of providers")?;
    let fault = ProviderFault::ALL.into_iter().find(|fault| fault.name() == word);
    Ok(Fault::Provider(capability, fault.unwrap_or(ProviderFault::Transient)))
}

fn when(reader: &mut Reader<'_>) -> Result<When, FaultError> {
    const HELP: &str =
        "write a chance such as `2%`, or `@day 3`, `@36h`, `@append 7`, `@every-append`";
    reader.skip();
    if !reader.take('@') {
        return reader.percent(HELP);
    }
    reader.skip();
    if reader.rest().starts_with(|c: char| c.is_ascii_digit()) {
        return if reader.word().ends_with('%') {
            reader.percent(HELP)
        } else {
            reader.span().map(When::At)
        };
    }
    match reader.one_of(&["every-append", "append", "day"], "an instant")? {
        "every-append" => Ok(When::EveryAppend),
        "append" => reader.number("from 1").map(When::Append),
        _ => {
            let day = reader.number("from 1")?;
            Ok(When::At(Span::secs((day - 1).saturating_mul(24 * 60 * 60))))
        }
    }
}

fn boundary(reader: &mut Reader<'_>) -> Result<Option<Boundary>, FaultError> {
    reader.skip();
    if reader.rest().is_empty() || reader.rest().starts_with(';') {
        return Ok(None);
    }
    let words = ["before", "torn", "written", "acked", "effect"];
    Ok(Some(match reader.one_of(&words, "a boundary of an append")? {
        "before" => Boundary::Before,
        "written" => Boundary::Written,
        "acked" => Boundary::Acked,
        "effect" => Boundary::Effect,
        _ => {
            reader.skip();
            let counted = reader.rest().starts_with(|c: char| c.is_ascii_digit());
            let bytes = if counted { Some(reader.count()?) } else { None };
            Boundary::Torn(bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX)))
        }
    }))
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, sign: char) -> bool {
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len_utf8();
        }
        there
    }

    fn expect(&mut self, sign: char) -> Result<(), FaultError> {
        self.skip();
        if self.take(sign) { Ok(()) } else { Err(self.wrong(&format!("write `{sign}` here"))) }
    }

    /// The text up to a space or a sign.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ';' | ':' | '@'));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    fn one_of(&mut self, words: &[&'static str], what: &str) -> Result<&'static str, FaultError> {
        self.skip();
        let word = self.word();
        let word =
            if words.contains(&word) { word } else { word.split('.').next().unwrap_or(word) };
        if let Some(known) = words.iter().find(|known| **known == word) {
            self.at += word.len();
            return Ok(known);
        }
        let known: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        Err(self.wrong(&format!("{what} is one of {}", known.join(", "))))
    }

    fn span(&mut self) -> Result<Span, FaultError> {
        self.skip();
        let word = self.word();
        match word.parse() {
            Ok(span) => {
                self.at += word.len();
                Ok(span)
            }
            Err(_) => {
                Err(self.wrong("write a length of time without spaces, such as `10m` or `2h30m`"))
            }
        }
    }

    fn signed_span(&mut self) -> Result<i64, FaultError> {
        self.skip();
        let sign = if self.take('+') {
            1
        } else if self.take('-') {
            -1
        } else {
            return Err(self.wrong("write `+` or `-` and a length of time, such as `+1h`"));
        };
        let micros = self.span()?.as_duration().as_micros();
        Ok(sign * i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn count(&mut self) -> Result<u64, FaultError> {
        self.skip();
        let word = self.word();
        match word.parse() {
            Ok(number) => {
                self.at += word.len();
                Ok(number)
            }
            Err(_) => Err(self.wrong("write a whole number")),
        }
    }

    fn number(&mut self, range: &str) -> Result<u64, FaultError> {
        self.skip();
        let begin = self.at;
        let number = self.count()?;
        if number == 0 {
            self.at = begin;
            return Err(self.wrong(&format!("write a whole number {range}")));
        }
        Ok(number)
    }

    fn percent(&mut self, help: &str) -> Result<When, FaultError> {
        self.skip();
        let word = self.word();
        let number = word.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        let Some(number) = number.filter(|number| (0.0..=100.0).contains(number)) else {
            return Err(self.wrong(help));
        };
        self.at += word.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and a million"
        )]
        let ppm = (number * 10_000.0).round() as u32;
        Ok(When::Chance(ppm))
    }

    fn wrong(&self, help: &str) -> FaultError {
        let column = self.text.get(..self.at).unwrap_or_default().chars().count() + 1;
        let word: String = self.word().chars().take(40).collect();
        let problem = match (word.is_empty(), self.rest().chars().next()) {
            (false, _) => format!("`{word}` cannot stand here"),
            (true, Some(sign)) => format!("`{sign}` cannot stand here"),
            (true, None) => "the text ends too early".to_owned(),
        };
        FaultError { column, problem, help: help.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_written_as_they_are_read() {
        for text in [
            "crash engine@every-append",
            "crash engine@append 7 torn 12",
            "crash engine@append 7 written",
            "crash engine 0.5%",
            "crash engine@1h30m",
            "pause engine 10m 1%",
            "takeover 2%",
            "journal: unknown-late 3%",
            "journal: slow@append 2",
            "journal: outage 2h@day 3",
            "provider: transient 10%",
            "provider.metrics: nan 0.0001%",
            "clock: -1h@day 1; clock: +2days@1day12h",
        ] {
            assert_eq!(FaultPlan::parse(text).unwrap().to_string(), text);
        }
        let loose = FaultPlan::parse(" provider :hang 2% ;crash engine @ 5 % ");
        assert_eq!(loose.unwrap_err().column, 36);
        assert_eq!(FaultPlan::parse("").unwrap(), FaultPlan::none());
    }

    #[track_caller]
    fn check(text: &str, column: usize, help: &str) {
        let error = FaultPlan::parse(text).unwrap_err();
        assert_eq!(error.column, column, "{error}");
        assert!(error.to_string().contains(help), "{error}");
    }

    #[test]
    fn errors_name_the_column_and_the_known_words() {
        check("crush engine@day 1", 1, "`crash`, `pause`");
        check("crash engine@append 0", 21, "from 1");
        check("crash engine@append 3 somewhere", 23, "`acked`");
        check("provider.deploy: explode 1%", 18, "`apply-then-timeout`");
        check("provider: hang @day 2", 16, "by chance");
        check("provider: hang", 15, "`2%`");
        check("provider: hang 200%", 16, "`2%`");
        check("journal: no-space@day 2", 18, "`@append 7`");
        check("journal: outage 2h 3%", 20, "`@day 3`");
        check("clock: 1h@day 3", 8, "`+`");
        check("takeover 1% crash", 13, "`;`");
        check("pause engine soon 1%", 14, "`10m`");
    }
}
