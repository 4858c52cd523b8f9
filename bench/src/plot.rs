//! The picture: bars per case, relative to the first contender. CPU on the left, calls per second on the right, etcd
//! above, the canned server below.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::cases::Kind;
use crate::measure::Panel;
use crate::report::Report;

const SIZE: (u32, u32) = (1400, 1700);
const FONT: &str = "sans-serif";
const COLORS: [RGBColor; 4] = [
    BLACK,
    RGBColor(0, 90, 160),
    RGBColor(120, 180, 220),
    RGBColor(230, 140, 40),
];
/// Longer bars are cut off; their number tells.
const LONGEST: f64 = 5.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A case's name, and the ratio of each contender.
struct Group {
    name: &'static str,
    ratios: Vec<Option<f64>>,
}

/// Draws a report into a file.
pub fn draw(report: &Report, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    drawn(area.fill(&WHITE))?;
    let panels = [
        (Kind::Etcd, Panel::Cpu, "CPU, etcd (less is better)"),
        (Kind::Etcd, Panel::Rate, "rate, etcd (more is better)"),
        (Kind::Canned, Panel::Cpu, "CPU, canned server (less is better)"),
        (Kind::Canned, Panel::Rate, "rate, canned server (more is better)"),
    ];
    for (area, (kind, panel, title)) in area.split_evenly((2, 2)).iter().zip(panels) {
        let groups = groups(report, kind, panel);
        if !groups.is_empty() {
            draw_panel(area, title, &report.contenders, &groups)?;
        }
    }
    drawn(area.present())
}

fn groups(report: &Report, kind: Kind, panel: Panel) -> Vec<Group> {
    let rows = report.rows.iter().filter(|row| row.kind == kind);
    rows.flat_map(|row| {
        let measures = row.case.measures.iter().filter(|measure| measure.panel == Some(panel));
        measures.map(|measure| Group {
            name: row.case.name,
            ratios: (0..row.samples.len())
                .map(|contender| row.ratio(measure, contender))
                .collect(),
        })
    })
    .filter(|group| group.ratios[0].is_some())
    .collect()
}

fn draw_panel(area: &Area<'_>, title: &str, contenders: &[String], groups: &[Group]) -> Result<()> {
    // Each contender but the first may have a line, and each group has a gap.
    let lines = contenders.len() as i32;
    let bottom = groups.len() as i32 * lines;
    let mut chart = drawn(
        ChartBuilder::on(area)
            .caption(format!("{title}, relative to {}", contenders[0]), (FONT, 20))
            .margin(12)
            .x_label_area_size(24)
            .y_label_area_size(96)
            .build_cartesian_2d(0.0..LONGEST * 1.08, bottom..0),
    )?;
    let name = |y: &i32| match groups.get((y / lines) as usize) {
        Some(group) if y % lines == lines / 2 => group.name.to_owned(),
        _ => String::new(),
    };
    drawn(
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_max_light_lines(0)
            .set_tick_mark_size(LabelAreaPosition::Left, 0)
            .y_labels(bottom as usize + 1)
            .y_label_formatter(&name)
            .label_style((FONT, 13))
            .draw(),
    )?;
    for (contender, name) in contenders.iter().enumerate().skip(1) {
        let color = COLORS[contender % COLORS.len()];
        let bars = groups.iter().enumerate().filter_map(|(index, group)| {
            let above = group.ratios[1..contender].iter().flatten().count() as i32;
            Some((index as i32 * lines + above, group.ratios[contender]?))
        });
        let bars: Vec<_> = bars.collect();
        let bar =
            |&(top, ratio): &(i32, f64)| Rectangle::new([(0.0, top), (ratio.min(LONGEST), top + 1)], color.filled());
        drawn(chart.draw_series(bars.iter().map(bar)))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
        let number = |&(top, ratio): &(i32, f64)| {
            let at = (ratio.min(LONGEST) + 0.03, top);
            Text::new(format!("{ratio:.2}"), at, (FONT, 11))
        };
        drawn(chart.draw_series(bars.iter().map(number)))?;
    }
    drawn(chart.draw_series([PathElement::new([(1.0, 0), (1.0, bottom)], BLACK)]))?;
    drawn(
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .label_font((FONT, 13))
            .draw(),
    )
}

/// The plotter's errors borrow from what is drawn.
fn drawn<T, E: std::error::Error>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|error| anyhow!("results.svg: {error}"))
}
