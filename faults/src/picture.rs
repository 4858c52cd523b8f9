//! The picture of a cell: calls and events per second over time, with the faults behind them.
//!
//! In: a record and its end. Out: build/faults/CELL.svg, and index.html with those of all cells of the run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::history::{Outcome, Record, Time};
use crate::svg::{Drawing, WIDTH};

const FOLDER: &str = "build/faults";

const SECOND: Time = 1_000_000_000;
/// What is counted together: no more points than a reader can tell apart, and none shorter than this.
const POINTS: Time = 200;
const SHORTEST: Time = SECOND / 5;

const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 40.0;
const PANEL: f64 = 70.0;
/// From one panel to the next, with the title between them.
const STEP: f64 = PANEL + 30.0;

const STYLE: &str = "\
.fault { fill: #ffebe9 }
.ok { fill: #0969da }
.unknown { fill: #cf222e }
.failed { fill: #bc4c00; opacity: 0.6 }
.events { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  .fault { fill: #3d1214 }
  .ok { fill: #4493f8 }
  .unknown { fill: #f85149 }
  .failed { fill: #f0883e }
  .events { fill: #3fb950 }
}
";

/// Draws a record that ends at `end`.
pub fn draw(cell: &str, record: &Record, end: Time) -> Result<()> {
    let width = (end / POINTS).max(SHORTEST);
    let axis = Axis { end, width };
    let returned = |wanted: fn(&Outcome) -> bool| {
        let calls = record.calls.iter().filter(move |call| wanted(&call.outcome));
        axis.rates(calls.map(|call| (call.returned, 1)))
    };
    let ok = returned(|outcome| matches!(outcome, Outcome::Ok { .. }));
    let unknown = returned(|outcome| matches!(outcome, Outcome::Unknown(_)));
    let unanswered = returned(|outcome| !matches!(outcome, Outcome::Ok { .. }));
    let batches = record.watches.iter().flat_map(|watch| &watch.batches);
    let events = axis.rates(batches.map(|batch| (batch.arrived, batch.events.len())));

    let mut picture = Picture {
        drawing: Drawing::default(),
        axis,
    };
    let title = format!("{cell}: {} s, the faults are shaded", end / SECOND);
    picture.drawing.text("strong", (LEFT, TOP - 24.0), &title);
    picture.faults(&record.faults, 3);
    picture.panel(0, "calls answered per second", &[("ok", &ok)]);
    let failures = "calls failed per second; in red those writes that may have happened";
    picture.panel(1, failures, &[("failed", &unanswered), ("unknown", &unknown)]);
    picture.panel(
        2,
        "events per second, of all watches; more are opened all the time",
        &[("events", &events)],
    );
    picture.seconds(3);
    let document = picture
        .drawing
        .document(&format!("The cell {cell}"), STYLE, bottom(2) + 30.0);
    fs::create_dir_all(FOLDER)?;
    fs::write(Path::new(FOLDER).join(format!("{cell}.svg")), document)?;
    Ok(())
}

/// A page of these cells.
pub fn index<'a>(cells: impl Iterator<Item = &'a str>) -> Result<()> {
    let images: String = cells
        .map(|cell| format!("<img src=\"{cell}.svg\" width=\"900\" alt=\"{cell} was not drawn\">\n"))
        .collect();
    fs::create_dir_all(FOLDER)?;
    fs::write(Path::new(FOLDER).join("index.html"), images)?;
    Ok(())
}

/// Time, from left to right.
#[derive(Clone, Copy)]
struct Axis {
    end: Time,
    /// Of what is counted together.
    width: Time,
}

impl Axis {
    fn x(self, time: Time) -> f64 {
        LEFT + (RIGHT - LEFT) * time as f64 / self.end as f64
    }

    /// How many there were per second.
    fn rates(self, counts: impl Iterator<Item = (Time, usize)>) -> Vec<f64> {
        let mut rates = vec![0.0; (self.end / self.width) as usize + 1];
        for (time, count) in counts {
            if let Some(rate) = rates.get_mut((time / self.width) as usize) {
                *rate += count as f64 * SECOND as f64 / self.width as f64;
            }
        }
        rates
    }
}

struct Picture {
    drawing: Drawing,
    axis: Axis,
}

impl Picture {
    /// Behind all panels.
    fn faults(&mut self, faults: &[(Time, Time)], panels: usize) {
        for &(from, to) in faults {
            let (x, y) = (self.axis.x(from), top(0));
            // Some are over at once.
            let (width, height) = ((self.axis.x(to) - x).max(2.0), bottom(panels - 1) - y);
            let _ = writeln!(
                self.drawing.body,
                r#"<rect class="fault" x="{x:.1}" y="{y}" width="{width:.1}" height="{height}"/>"#
            );
        }
    }

    /// Rates one before the other, all on the scale of the first.
    fn panel(&mut self, panel: usize, title: &str, all: &[(&str, &Vec<f64>)]) {
        let most = all[0].1.iter().copied().fold(1.0, f64::max);
        let (top, bottom) = (top(panel), bottom(panel));
        self.drawing.text("soft", (LEFT, top - 10.0), title);
        self.drawing.text("soft end", (LEFT - 8.0, top), &format!("{most:.0}"));
        self.drawing.text("soft end", (LEFT - 8.0, bottom), "0");
        for (class, rates) in all {
            let mut path = format!("M{LEFT} {bottom}");
            for (rate, from) in rates.iter().zip((0..).step_by(self.axis.width as usize)) {
                let to = self.axis.x((from + self.axis.width).min(self.axis.end));
                let _ = write!(path, "V{:.0}H{to:.1}", bottom - PANEL * rate / most);
            }
            let _ = writeln!(self.drawing.body, r#"<path class="{class}" d="{path}V{bottom}z"/>"#);
        }
        self.drawing.line("grid", (LEFT, bottom), (RIGHT, bottom));
    }

    /// The numbers below the last panel.
    fn seconds(&mut self, panels: usize) {
        let y = bottom(panels - 1) + 14.0;
        let step = [1_usize, 2, 5, 10, 20, 60]
            .into_iter()
            .find(|step| *step as Time * SECOND * 12 > self.axis.end);
        for second in (0..=self.axis.end / SECOND).step_by(step.unwrap_or(600)) {
            self.drawing
                .text("soft middle", (self.axis.x(second * SECOND), y), &format!("{second} s"));
        }
    }
}

fn top(panel: usize) -> f64 {
    TOP + 18.0 + STEP * panel as f64
}

fn bottom(panel: usize) -> f64 {
    top(panel) + PANEL
}
