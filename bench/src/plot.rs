//! The picture: what each case costs a contender, as its ratio to the first one, on one logarithmic axis.
//!
//! In: the rows of a run. Out: an SVG. Of a case that was run on both servers it shows etcd, and of a family of growth
//! the largest number.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::cases::Kind;
use crate::contenders::{Contender, Mark};
use crate::measure::Panel;
use crate::report::{Report, Row};
use crate::svg::Drawing;

/// The axis; a mark that lies outside stands at its end, and the number tells.
const RATIOS: [f64; 2] = [0.04, 10.0];
const TICKS: [f64; 8] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

const LEFT: f64 = 124.0;
const RIGHT: f64 = 745.0;
const ROW: f64 = 18.0;
/// From one column of numbers to the next.
const COLUMN: f64 = 58.0;

const PANELS: [(Panel, &str); 3] = [
    (Panel::Cpu, "CPU time of the client's process: less is better"),
    (Panel::Memory, "memory: less is better"),
    (Panel::Rate, "calls or events per second: more is better"),
];

const STYLE: &str = "\
.one { stroke: #1f2328; stroke-width: 1.5 }
.way { stroke: #0969da; stroke-width: 1.5; opacity: 0.5 }
.floor { fill: #1a7f37 }
.lua { fill: #0969da; stroke: #0969da; stroke-width: 1.5 }
.hollow { fill: #ffffff }
.go { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  .one { stroke: #f0f6fc }
  .way { stroke: #4493f8 }
  .floor { fill: #3fb950 }
  .lua { fill: #4493f8; stroke: #4493f8 }
  .hollow { fill: #0d1117 }
  .go { fill: #f0883e }
}
";

/// Draws a report into a file.
pub fn draw(report: &Report<'_>, path: &Path) -> Result<()> {
    let mut picture = Picture {
        contenders: report.contenders,
        drawing: Drawing::default(),
        y: 24.0,
    };
    picture.legend();
    for (panel, title) in PANELS {
        picture.panel(panel, title, &shown(report));
    }
    fs::write(path, picture.document())?;
    Ok(())
}

/// One row of each case, etcd's if there is one, and of each family of growth.
fn shown<'a>(report: &'a Report<'_>) -> Vec<&'a Row> {
    let subject = |row: &Row| {
        if row.case.growth {
            row.case.family()
        } else {
            row.case.name
        }
    };
    let subjects = report.rows.chunk_by(|one, other| subject(one) == subject(other));
    subjects
        .filter_map(|rows| {
            let largest = rows.last()?.case.name;
            rows.iter().find(|row| row.case.name == largest)
        })
        .collect()
}

/// What is drawn of a row in a panel.
fn ratio(row: &Row, panel: Panel, contender: usize) -> Option<f64> {
    let measure = row.case.measures.iter().find(|measure| measure.panel == Some(panel));
    row.ratio(measure?, contender)
}

struct Picture<'a> {
    contenders: &'a [Contender],
    drawing: Drawing,
    /// The middle of the next row.
    y: f64,
}

impl Picture<'_> {
    fn legend(&mut self) {
        let (mut x, y) = (LEFT, self.y);
        self.drawing.line("one", (x, y - 7.0), (x, y + 7.0));
        self.text("", x + 10.0, &format!("{} = 1", self.contenders[0].name));
        x += 136.0;
        for contender in self.contenders {
            if let Some(mark) = contender.mark {
                self.mark(mark, x);
                self.text("", x + 10.0, &contender.name);
                x += 40.0 + 7.0 * contender.name.len() as f64;
            }
        }
        self.y += 14.0;
    }

    /// A row for each case that has a number here, above the axis.
    fn panel(&mut self, panel: Panel, title: &str, rows: &[&Row]) {
        let drawn = |row: &&&Row| (1..self.contenders.len()).any(|contender| ratio(row, panel, contender).is_some());
        let rows: Vec<_> = rows.iter().filter(drawn).collect();
        if rows.is_empty() {
            return;
        }
        self.y += 1.5 * ROW;
        self.text("strong", LEFT, title);
        let numbered: Vec<_> = (0..self.contenders.len())
            .filter(|&contender| matches!(self.contenders[contender].mark, Some(Mark::Lua | Mark::Go)))
            .collect();
        for (column, &contender) in numbered.iter().enumerate() {
            let name = &self.contenders[contender].name;
            let short = name.split(" clientv3").next().unwrap_or(name);
            self.text("soft end", number_at(column), short);
        }
        self.y += ROW;
        let (top, bottom) = (self.y - ROW / 2.0, self.y + ROW * (rows.len() as f64 - 0.5));
        for tick in TICKS {
            let class = if tick == 1.0 { "one" } else { "grid" };
            self.drawing.line(class, (x(tick), top), (x(tick), bottom));
        }
        for row in rows {
            self.row(panel, row, &numbered);
            self.y += ROW;
        }
        for tick in TICKS {
            self.text("soft middle", x(tick), &tick.to_string());
        }
    }

    fn row(&mut self, panel: Panel, row: &Row, numbered: &[usize]) {
        let star = if row.kind == Kind::Canned { " *" } else { "" };
        self.text("end", LEFT - 12.0, &format!("{}{star}", row.case.name));
        let ratio = |contender| ratio(row, panel, contender);
        // This module last, so that nothing covers it.
        for (contender, one) in self.contenders.iter().enumerate().rev() {
            let (Some(ratio), Some(mark)) = (ratio(contender), one.mark) else {
                continue;
            };
            if mark == Mark::Lua {
                self.drawing.line("way", (x(1.0), self.y), (x(ratio), self.y));
            }
            self.mark(mark, x(ratio));
        }
        for (column, &contender) in numbered.iter().enumerate() {
            if let Some(ratio) = ratio(contender) {
                self.text("end", number_at(column), &format!("{ratio:.2}"));
            }
        }
    }

    fn mark(&mut self, mark: Mark, x: f64) {
        let (y, body) = (self.y, &mut self.drawing.body);
        let _ = match mark {
            Mark::Floor => writeln!(
                body,
                r#"<rect class="floor" x="{:.1}" y="{}" width="4" height="14"/>"#,
                x - 2.0,
                y - 7.0
            ),
            Mark::Lua => writeln!(body, r#"<circle class="lua" cx="{x:.1}" cy="{y}" r="4.5"/>"#),
            Mark::LuaJit => writeln!(body, r#"<circle class="lua hollow" cx="{x:.1}" cy="{y}" r="4"/>"#),
            Mark::Lua51 => writeln!(body, r#"<path class="lua hollow" d="M{x:.1} {}l5 8.5h-10z"/>"#, y - 5.5),
            Mark::Go => writeln!(
                body,
                r#"<rect class="go" x="{:.1}" y="{}" width="8" height="8"/>"#,
                x - 4.0,
                y - 4.0
            ),
        };
    }

    /// A text in this row.
    fn text(&mut self, class: &str, x: f64, text: &str) {
        self.drawing.text(class, (x, self.y), text);
    }

    fn document(mut self) -> String {
        self.y += 1.5 * ROW;
        self.text("soft", LEFT, "* on the canned server; the others on etcd");
        let title = format!("What each case costs, relative to {}", self.contenders[0].name);
        self.drawing.document(&title, STYLE, self.y + ROW)
    }
}

/// Where a ratio is on the axis.
fn x(ratio: f64) -> f64 {
    let [lowest, highest] = RATIOS;
    let share = (ratio.clamp(lowest, highest) / lowest).ln() / (highest / lowest).ln();
    LEFT + share * (RIGHT - LEFT)
}

/// Where a column of numbers ends.
fn number_at(column: usize) -> f64 {
    RIGHT + 14.0 + COLUMN * (column as f64 + 1.0)
}
