//! Draws the plan of a run: a card for each chain of steps, in rows from the top to the bottom.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::chains::{Chain, Layout, arrange, place};
use super::fold::FAILED;
use super::{RunReport, StepReport};
use crate::run::Status;

/// What a page is wide; only rows of a single card wider than that make the picture wider.
const PAGE: usize = 1180;
/// Left of all cards: where links run that pass over rows.
const GUTTER: usize = 16;
const GAP_X: usize = 14;
const GAP_Y: usize = 26;
const PADDING: usize = 8;
const TITLE: usize = 20;
const CHIP: usize = 34;
const CHIP_GAP: usize = 12;
/// Above the first row of a rollback.
const HEADING: usize = 30;
/// Longer texts are cut; they are whole in the tip.
const CHARACTERS: usize = 40;

/// The plan as inline SVG, each step in the colour and with the sign of how it stands.
pub(super) fn graph(report: &RunReport) -> Markup {
    let layout = arrange(report);
    let culprits = culprits(report);
    let picture = Picture::new(&layout, &report.steps);
    html! {
        svg width=(picture.width) height=(picture.height) role="img"
            aria-label="The plan's steps; each row waits for rows above it" {
            @for (from, to) in &layout.links {
                @if let (Some(from), Some(to)) = (picture.cards.get(*from), picture.cards.get(*to)) {
                    path class="edge" d=(link(from, to)) {}
                }
            }
            @if let Some(y) = picture.rollback {
                line class="edge" x1=(GUTTER) y1=(y) x2=(picture.width) y2=(y) stroke-dasharray="4 4" {}
                text class="place" x=(GUTTER) y=(y + 18) { "Rollback" }
            }
            @for (card, chain) in picture.cards.iter().zip(&layout.chains) {
                rect class="card" x=(card.x) y=(card.y) width=(card.width) height=(card.height) rx="6" {}
                text class="place" x=(card.x + PADDING) y=(card.y + 15) { (cut(&chain.place)) }
                @for chip in &card.chips { (step(chip, card, &culprits)) }
            }
        }
    }
}

fn step(chip: &Chip<'_>, card: &Card<'_>, culprits: &BTreeSet<&str>) -> Markup {
    let Chip { step, x, y, width } = chip;
    let (x, y) = (card.x + x, card.y + y);
    let (_, name) = place(&step.id);
    html! {
        g class=(class(shown(step, culprits))) {
            title { (step.id) ": " (step.action) "; " (step.status.name()) " " (step.finding) }
            rect x=(x) y=(y) width=(width) height=(CHIP) rx="4" {}
            text x=(x + 7) y=(y + 14) { (sign(shown(step, culprits))) " " (cut(&name)) }
            text class="dim" x=(x + 7) y=(y + 27) { (cut(&step.action)) }
        }
    }
}

/// The steps that failed, by their ids, also those whose effects were then taken back.
pub(super) fn culprits(report: &RunReport) -> BTreeSet<&str> {
    let failed = report.timeline.iter().filter(|entry| entry.what == FAILED);
    failed.map(|entry| entry.subject.as_str()).collect()
}

/// How a step is shown: that it was the culprit says more than that it was compensated like others.
pub(super) fn shown(step: &StepReport, culprits: &BTreeSet<&str>) -> Status {
    match step.status {
        Status::Compensated if culprits.contains(step.id.as_str()) => Status::Failed,
        status => status,
    }
}

/// The style of a step that stands like this.
pub(super) const fn class(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "ok",
        Status::Failed => "bad",
        Status::Compensated => "undone",
        Status::Cancelled => "off",
        Status::Pending | Status::Ready | Status::Waiting | Status::Running => "open",
    }
}

/// The same for those who do not tell colours apart.
pub(super) const fn sign(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "✓",
        Status::Failed => "✗",
        Status::Compensated => "↩",
        Status::Cancelled => "–",
        Status::Running => "…",
        Status::Pending | Status::Ready | Status::Waiting => "○",
    }
}

/// A step on its card; the place is from the card's corner.
pub(super) struct Chip<'a> {
    step: &'a StepReport,
    pub(super) x: usize,
    y: usize,
    pub(super) width: usize,
}

pub(super) struct Card<'a> {
    pub(super) chips: Vec<Chip<'a>>,
    row: usize,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where the row of this card ends.
    bottom: usize,
}

/// Where everything is drawn.
pub(super) struct Picture<'a> {
    /// In the order of the layout's chains.
    pub(super) cards: Vec<Card<'a>>,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Where the rollback begins.
    rollback: Option<usize>,
}

impl<'a> Picture<'a> {
    pub(super) fn new(layout: &Layout, steps: &'a [StepReport]) -> Self {
        let count = layout.chains.iter().map(|chain| chain.row + 1).max().unwrap_or(0);
        let mut in_row = vec![0; count];
        for chain in &layout.chains {
            if let Some(count) = in_row.get_mut(chain.row) {
                *count += 1;
            }
        }
        let widths: Vec<usize> = in_row.into_iter().map(room).collect();
        let mut cards: Vec<Card<'a>> = layout
            .chains
            .iter()
            .map(|chain| card(chain, steps, widths.get(chain.row).copied().unwrap_or(PAGE)))
            .collect();
        let rollback =
            layout.chains.iter().filter(|chain| chain.rollback).map(|chain| chain.row).min();
        let (mut y, mut heading) = (10, None);
        for row in 0..count {
            if rollback == Some(row) {
                heading = Some(y);
                y += HEADING;
            }
            y = stand(cards.iter_mut().filter(|card| card.row == row), y) + GAP_Y;
        }
        let width = cards.iter().map(|card| card.x + card.width).max().unwrap_or(0);
        Self { cards, width: width.max(PAGE / 2) + 12, height: y, rollback: heading }
    }
}

/// What a card may be wide where `count` of them share a row.
fn room(count: usize) -> usize {
    let gaps = count.saturating_sub(1) * GAP_X;
    (PAGE.saturating_sub(GUTTER + gaps) / count.max(1)).max(320)
}

/// Lays the steps of a chain out like words, in lines no wider than `room` if possible.
fn card<'a>(chain: &Chain, steps: &'a [StepReport], room: usize) -> Card<'a> {
    let (mut x, mut y) = (PADDING, TITLE + 2);
    let mut width = text_width(&cut(&chain.place)) + 2 * PADDING;
    let mut chips = Vec::new();
    for step in chain.steps.iter().filter_map(|index| steps.get(*index)) {
        let (_, name) = place(&step.id);
        let chip =
            (text_width(&cut(&name)) + text_width("✓ ")).max(text_width(&cut(&step.action))) + 14;
        if x > PADDING && x + chip + PADDING > room {
            (x, y) = (PADDING, y + CHIP + 6);
        }
        chips.push(Chip { step, x, y, width: chip });
        width = width.max(x + chip + PADDING);
        x += chip + CHIP_GAP;
    }
    Card { chips, row: chain.row, x: 0, y: 0, width, height: y + CHIP + PADDING, bottom: 0 }
}

/// Puts the cards of a row beside one another, and those that do not fit below; returns its end.
fn stand<'c, 'a: 'c>(row: impl Iterator<Item = &'c mut Card<'a>>, top: usize) -> usize {
    let mut cards: Vec<_> = row.collect();
    let (mut x, mut y, mut bottom) = (GUTTER, top, top);
    for card in &mut cards {
        if x > GUTTER && x + card.width > PAGE {
            (x, y) = (GUTTER, bottom + GAP_X);
        }
        (card.x, card.y) = (x, y);
        x += card.width + GAP_X;
        bottom = bottom.max(y + card.height);
    }
    for card in cards {
        card.bottom = bottom;
    }
    bottom
}

/// Down from a card, along below its row, and down to the other; over rows between, in the gutter.
fn link(from: &Card<'_>, to: &Card<'_>) -> String {
    let (x1, x2) = (from.x + 3 * PADDING, to.x + 3 * PADDING);
    let (y1, below) = (from.y + from.height, from.bottom + GAP_Y / 2);
    if to.row == from.row + 1 {
        return format!("M{x1} {y1} V{below} H{x2} V{}", to.y);
    }
    let (gutter, above) = (GUTTER / 2, to.y.saturating_sub(GAP_Y / 2));
    format!("M{x1} {y1} V{below} H{gutter} V{above} H{x2} V{}", to.y)
}

/// The width of a text in the picture's font, whose characters are all 0.6 of 11 px wide.
fn text_width(text: &str) -> usize {
    (text.chars().count() * 20).div_ceil(3)
}

/// The end of a text that is too long, which tells more of a path than its beginning.
fn cut(text: &str) -> String {
    end_of(text, CHARACTERS)
}

/// The last `count` characters, and a sign that there are more.
pub(super) fn end_of(text: &str, count: usize) -> String {
    let skip = text.chars().count().saturating_sub(count);
    if skip == 0 {
        return text.to_owned();
    }
    let end: String = text.chars().skip(skip + 1).collect();
    format!("…{end}")
}
