//! A drawing for a page: an SVG of the width of a README, with a paper of its own, which is dark where the reader's is.
//!
//! In: lines and texts, each of a class, and what else is added to the body. Out: the document. The fault suite draws
//! with this file too.

use std::fmt::Write as _;

pub const WIDTH: f64 = 900.0;

const STYLE: &str = "\
text { font: 12px -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.strong { font-weight: 600 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.soft { fill: #59636e }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .soft { fill: #9198a1 }
  .paper { fill: #0d1117 }
  .grid { stroke: #3d444d }
}
";

/// What is on the paper.
#[derive(Debug, Default)]
pub struct Drawing {
    pub body: String,
}

impl Drawing {
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        // Into a string it does not fail.
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1}" x2="{x2:.1}" y2="{y2}"/>"#
        );
    }

    /// A text whose middle is at this height.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let y = y + 4.0;
        let _ = writeln!(self.body, r#"<text class="{class}" x="{x:.1}" y="{y}">{text}</text>"#);
    }

    /// The whole, with the styles of the classes that are not of this file.
    pub fn document(&self, title: &str, style: &str, height: f64) -> String {
        let body = &self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
            <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n\
            <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
        )
    }
}
