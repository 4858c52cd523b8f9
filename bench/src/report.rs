//! What is told: a table, one line per case, server and measure, with all contenders side by side.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::cases::{Case, Kind};
use crate::contenders::Contender;
use crate::measure::{Measure, Period, Sample, median};
use crate::plot;

/// A case on one server.
pub struct Row {
    pub case: &'static Case,
    pub kind: Kind,
    /// Of each contender that takes part one per round; of one that has failed none.
    pub samples: Vec<Vec<Sample>>,
    /// Of each contender that has failed, in what and why.
    pub failures: Vec<Option<String>>,
}

impl Row {
    pub fn new(case: &'static Case, kind: Kind, contenders: usize) -> Self {
        Self {
            case,
            kind,
            samples: vec![Vec::new(); contenders],
            failures: vec![None; contenders],
        }
    }

    /// The median of a contender.
    pub fn value(&self, measure: &Measure, contender: usize) -> Option<f64> {
        median(self.samples[contender].iter().filter_map(measure.of).collect())
    }

    /// The median of its ratios to the first contender, round by round.
    pub fn ratio(&self, measure: &Measure, contender: usize) -> Option<f64> {
        let rounds = self.samples[contender].iter().zip(&self.samples[0]);
        let ratios = rounds.filter_map(|(sample, first)| Some((measure.of)(sample)? / (measure.of)(first)?));
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }
}

pub struct Report<'a> {
    pub contenders: &'a [Contender],
    pub rows: Vec<Row>,
}

impl<'a> Report<'a> {
    pub fn new(contenders: &'a [Contender]) -> Self {
        Self {
            contenders,
            rows: Vec::new(),
        }
    }

    /// The table's head.
    pub fn head(&self) -> String {
        let names = self.contenders.iter().map(|contender| contender.name.clone());
        let rule = self.contenders.iter().map(|_| format!("{}:", "-".repeat(19)));
        format!(
            "{}\n{}",
            line("case", "server", "", names),
            line(&"-".repeat(13), "------", &"-".repeat(15), rule)
        )
    }

    /// Takes a row, and returns its lines.
    pub fn add(&mut self, row: Row) -> String {
        let lines = self.lines(&row);
        self.rows.push(row);
        lines
    }

    /// All lines of a row.
    fn lines(&self, row: &Row) -> String {
        row.case
            .measures
            .iter()
            .map(|measure| self.line(row, measure))
            .collect()
    }

    /// The lines of cases that differ in number, each number below the one for fewer.
    fn by_number(&self, rows: &[&Row]) -> String {
        let mut text = String::new();
        for family in rows.chunk_by(|one, other| one.case.family() == other.case.family()) {
            for measure in family[0].case.measures {
                text.extend(family.iter().map(|row| self.line(row, measure)));
            }
        }
        text
    }

    /// The line of a measure, unless nobody has a number there.
    fn line(&self, row: &Row, measure: &Measure) -> String {
        let cells: Vec<_> = (0..self.contenders.len())
            .map(|contender| cell(row, measure, contender))
            .collect();
        if cells.iter().all(String::is_empty) {
            return String::new();
        }
        line(row.case.name, row.kind.name(), measure.name, cells) + "\n"
    }

    /// Writes the table and the picture into a folder.
    pub fn write(&self, facts: &[(&str, String)], folder: &Path) -> Result<()> {
        let mut page =
            String::from("# Results\n\nWritten by `make bench`; [README.md](README.md) says how to read it.\n\n");
        for (name, value) in facts {
            let _ = writeln!(page, "- {name}: {value}");
        }
        let _ = writeln!(
            page,
            "\n![each case as a ratio to etcd-client](results.svg)\n\n{}",
            self.head()
        );
        let (growth, others): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.case.growth);
        for row in others {
            page += &self.lines(row);
        }
        if !growth.is_empty() {
            let _ = writeln!(page, "\n## Growth\n\n{}", self.head());
            page += &self.by_number(&growth);
        }
        let failures = self.failures();
        if !failures.is_empty() {
            let _ = writeln!(page, "\n## Failed\n\n- {}", failures.join("\n- "));
        }
        plot::draw(self, &folder.join("results.svg"))?;
        let path = folder.join("results.md");
        fs::write(&path, page)?;
        println!("\n{}", path.display());
        Ok(())
    }

    /// Who has failed in which case, and why.
    pub fn failures(&self) -> Vec<&str> {
        let failures = self.rows.iter().flat_map(|row| row.failures.iter().flatten());
        failures.map(String::as_str).collect()
    }

    /// Writes what was measured in every round.
    pub fn write_samples(&self, path: &Path) -> Result<()> {
        let mut text = String::from("case\tserver\tcontender\tround\tcount\tperiod\twall\tcpu\tmemory\twakeups\n");
        for row in &self.rows {
            let (case, server) = (row.case.name, row.kind.name());
            for (contender, samples) in self.contenders.iter().zip(&row.samples) {
                for (round, Sample { count, work, rest, .. }) in samples.iter().enumerate() {
                    for (name, period) in [("work", Some(work)), ("rest", rest.as_ref())] {
                        let Some(Period {
                            wall,
                            cpu,
                            memory,
                            wakeups,
                        }) = period
                        else {
                            continue;
                        };
                        let _ = writeln!(
                            text,
                            "{case}\t{server}\t{}\t{round}\t{count}\t{name}\t{wall:.6}\t{cpu:.6}\t{memory}\t{wakeups}",
                            contender.name
                        );
                    }
                }
            }
        }
        fs::write(path, text)?;
        Ok(())
    }
}

fn line(case: &str, server: &str, measure: &str, cells: impl IntoIterator<Item = String>) -> String {
    let mut text = format!("| {case:<13} | {server:<6} | {measure:<15} |");
    for cell in cells {
        let _ = write!(text, " {cell:>20} |");
    }
    text
}

fn cell(row: &Row, measure: &Measure, contender: usize) -> String {
    // Of a failure the first line tells.
    if row.failures[contender].is_some() && measure.name == row.case.measures[0].name {
        return "failed".into();
    }
    let Some(value) = row.value(measure, contender) else {
        return String::new();
    };
    match row.ratio(measure, contender) {
        Some(ratio) if contender > 0 => format!("{} ({ratio:.2}x)", number(value)),
        _ => number(value),
    }
}

/// Three digits, or all of an integer in groups of three.
fn number(value: f64) -> String {
    if value < 1000.0 {
        let decimals = if value >= 100.0 {
            0
        } else {
            1 + usize::from(value < 10.0)
        };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
