//! On which line of a text something stands.

use icalendar::parser::{Component, Property};

use super::{EventProblem, IcalError, MAX_DEPTH};
use crate::window::WindowProblem;

/// The lines of a calendar, counted from 1 in the text as it was given, folded or not.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Of the calendar's own properties, in order.
    properties: Vec<usize>,
    /// Of its components, in order.
    components: Vec<Part>,
}

/// The lines of one component.
#[derive(Debug, Default)]
pub(crate) struct Part {
    begins: usize,
    /// Of its own properties, in order.
    properties: Vec<usize>,
}

impl Lines {
    /// Of a text and the same unfolded: each of its lines has a place there on which it begins.
    ///
    /// # Errors
    /// [`IcalError::Syntax`] for what is no property, what does not end as it began, what is nested too deeply, and a second calendar,
    /// behind the first or in it.
    pub(super) fn of(text: &str, unfolded: &str) -> Result<Self, IcalError> {
        let begin = |(line, number): &(&str, usize)| *number == 1 || !line.starts_with([' ', '\t']);
        let numbers = text.lines().zip(1..).filter(begin).map(|(_, number)| number);
        let (mut lines, mut open, mut whole) = (Self::default(), Vec::new(), 0);
        for (line, number) in unfolded.lines().zip(numbers) {
            let wrong = |problem: String| Err(IcalError::Syntax { line: Some(number), problem });
            if let Some(name) = after(line, "BEGIN:") {
                if open.len() >= MAX_DEPTH {
                    return wrong(format!("more than {MAX_DEPTH} components are nested"));
                }
                let first = open.len() + lines.components.len() + whole == 0;
                if !first && name.eq_ignore_ascii_case("VCALENDAR") {
                    return wrong(
                        "a second `VCALENDAR` begins, and one is read; read each as a text of its own, or put all into one"
                            .to_owned(),
                    );
                }
                if first && name == "VCALENDAR" {
                    whole = 1;
                } else if open.len() == whole {
                    lines.components.push(Part { begins: number, properties: Vec::new() });
                }
                open.push((name, number));
            } else if let Some(name) = after(line, "END:") {
                match open.pop() {
                    Some((last, _)) if last == name => {}
                    Some((last, at)) => {
                        let (name, last) = (short(name), short(last));
                        return wrong(format!(
                            "`END:{name}` stands where `BEGIN:{last}` of line {at} has to end"
                        ));
                    }
                    None => return wrong(format!("`END:{}` ends nothing", short(name))),
                }
            } else if !line.trim().is_empty() {
                if !is_property(line) {
                    return wrong(format!(
                        "`{}` is no property; write a name, a colon and a value",
                        short(line)
                    ));
                }
                lines.note(open.len(), whole, number);
            }
        }
        match open.pop() {
            None => Ok(lines),
            Some((name, number)) => {
                let problem = format!("`BEGIN:{}` has no `END`", short(name));
                Err(IcalError::Syntax { line: Some(number), problem })
            }
        }
    }

    fn note(&mut self, depth: usize, whole: usize, number: usize) {
        if depth == whole {
            self.properties.push(number);
        } else if depth == whole + 1
            && let Some(part) = self.components.last_mut()
        {
            part.properties.push(number);
        }
    }

    /// Where the so manieth property of the calendar itself stands.
    pub(crate) fn property(&self, nth: usize) -> Option<usize> {
        self.properties.get(nth).copied()
    }

    /// The lines of each component.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.components.iter()
    }
}

fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (begin, name) = line.split_at_checked(key.len())?;
    begin.eq_ignore_ascii_case(key).then(|| name.trim_end())
}

fn is_property(line: &str) -> bool {
    let name = line.split([':', ';']).next().unwrap_or_default();
    let sound = |c: char| c.is_alphanumeric() || ".,/_-".contains(c);
    line.contains(':') && !name.is_empty() && name.chars().all(sound)
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Part {
    /// Where it begins.
    pub(crate) const fn begins(&self) -> usize {
        self.begins
    }

    /// The same, where it does not say yet on which line.
    pub(crate) fn locate(&self, component: &Component<'_>, error: IcalError) -> IcalError {
        match error {
            IcalError::Event { line: None, event, problem } => {
                let line = Some(self.line_of(component, &problem));
                IcalError::Event { line, event, problem }
            }
            IcalError::Window { line: None, problem } => {
                let line = Some(self.line_of(component, &as_event(&problem.problem)));
                IcalError::Window { line, problem }
            }
            IcalError::Holiday { line: None, problem } => {
                let line = Some(self.line_of(component, &as_event(&problem.problem)));
                IcalError::Holiday { line, problem }
            }
            other => other,
        }
    }

    /// The line of the property that is at fault, or else of the component's begin.
    fn line_of(&self, component: &Component<'_>, problem: &EventProblem) -> usize {
        let all = &component.properties;
        let first = |is: &dyn Fn(&Property<'_>) -> bool| all.iter().position(is);
        let found = match problem {
            EventProblem::BadValue { property: name, value } => {
                let named = |one: &Property<'_>| one.name == name.as_str();
                let just = |one: &Property<'_>| named(one) && one.val.as_str().contains(value);
                first(&just).or_else(|| first(&named))
            }
            EventProblem::UnknownZone(zone) => first(&|one| {
                let mut values = one.params.iter().filter_map(|param| param.val.as_ref());
                values.any(|value| value.as_str().trim_matches('"').starts_with(zone.as_str()))
            }),
            EventProblem::AnotherZone(name) => first(&|one| one.name == name.as_str()),
            EventProblem::Unsupported(what) => {
                all.iter().rposition(|one| what.split([';', ' ']).any(|word| one.name == word))
            }
            EventProblem::Twice { .. } => first(&|one| one.name == "UID"),
            _ => None,
        };
        found.and_then(|nth| self.properties.get(nth)).copied().unwrap_or(self.begins)
    }
}

/// What is wrong with a window, as far as a property says it.
fn as_event(problem: &WindowProblem) -> EventProblem {
    match problem {
        WindowProblem::UnknownZone(zone) => EventProblem::UnknownZone(zone.clone()),
        WindowProblem::BadRule { .. } | WindowProblem::NeverBegins | WindowProblem::TooOften(_) => {
            EventProblem::Unsupported("RRULE".to_owned())
        }
        _ => EventProblem::Missing("UID"),
    }
}
