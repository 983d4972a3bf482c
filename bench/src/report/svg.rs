//! Growth curves as SVG for the documentation: one line for each contender, named where it ends.
//!
//! Rules: they are read on light and on dark pages alike, so there is no background, and every colour stands out from both. And they are
//! read without colours: dashes and marks tell the lines apart too.

use std::io;

use anyhow::anyhow;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What is shown, in a line.
    pub title: String,
    /// What is varied.
    pub x: Axis,
    /// What it costs.
    pub y: Axis,
    /// The contenders' names and their points, by growing x. What cannot be shown (zero on a logarithmic axis) is left out.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Pixels, where the page doesn't scale it.
const SIZE: (u32, u32) = (800, 460);

/// Room to the right of the lines, for their names.
const NAMES: u32 = 110;

/// Between the names of two lines.
const LINE_HEIGHT: usize = 17;

/// Text, axes, and, paler, the grid.
const INK: RGBColor = RGBColor(0x76, 0x80, 0x8a);

/// How a contender's line looks.
#[derive(Clone, Copy)]
struct Look {
    colour: RGBColor,
    dashed: bool,
    mark: Mark,
}

#[derive(Clone, Copy)]
enum Mark {
    Dot,
    Triangle,
    Cross,
}

use Mark::{Cross, Dot, Triangle};

/// The same contender looks the same in every plot. The text at its line says what no reader should have to look up.
const LOOKS: [(&str, &str, Look); 8] = [
    ("gatepost", "gatepost", look(0x2f_81_f7, false, Dot)),
    ("gatepost-tls", "gatepost-tls", look(0x2f_81_f7, true, Cross)),
    ("naive", "naive", look(0x1b_95_a5, false, Triangle)),
    ("haproxy", "haproxy", look(0xd0_6a_10, false, Cross)),
    ("nginx", "nginx, no TLS", look(0x2a_96_48, true, Triangle)),
    ("dovecot", "dovecot", look(0x9a_6b_ec, true, Dot)),
    ("emailproxy", "emailproxy", look(0xe0_4f_47, false, Dot)),
    ("direct", "direct", look(0x76_80_8a, true, Cross)),
];

const fn look(rgb: u32, dashed: bool, mark: Mark) -> Look {
    let [_, red, green, blue] = rgb.to_be_bytes();
    Look { colour: RGBColor(red, green, blue), dashed, mark }
}

/// The plot as an SVG document.
pub fn draw(curve: &Curve) -> anyhow::Result<String> {
    let mut svg = String::new();
    plot(curve, SVGBackend::with_string(&mut svg, SIZE))
        .map_err(|error| anyhow!("cannot draw a plot: {error}"))?;
    Ok(svg)
}

fn plot(curve: &Curve, backend: SVGBackend) -> Result<(), DrawingAreaErrorKind<io::Error>> {
    let points = || curve.lines.iter().flat_map(|(_, points)| points);
    let (x, y) = (curve.x, curve.y);
    let furthest = points().filter_map(|point| x.position(point.0)).fold(f64::NEG_INFINITY, f64::max);
    let across = Coordinate::of(x, points().map(|point| point.0));
    let up = Coordinate::of(y, points().map(|point| point.1));

    let area = backend.into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .caption(&curve.title, ink(19))
        .margin(12)
        .margin_right(NAMES)
        .x_label_area_size(48)
        .y_label_area_size(76)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .x_desc(x.label)
        .y_desc(y.label)
        .label_style(ink(14))
        .axis_desc_style(ink(15))
        .axis_style(INK)
        .bold_line_style(INK.mix(0.25))
        .light_line_style(TRANSPARENT)
        .draw()?;

    let mut ends = Vec::new();
    for (name, points) in &curve.lines {
        let shown = points.iter().filter_map(|(a, b)| Some((x.position(*a)?, y.position(*b)?)));
        let shown: Vec<(f64, f64)> = shown.collect();
        let Some(&last) = shown.last() else { continue };
        let (text, look) = looks(name);
        // The one that the documentation is about.
        let style = look.colour.filled().stroke_width(if name == "gatepost" { 3 } else { 2 });
        if look.dashed {
            chart.draw_series(DashedLineSeries::new(shown.iter().copied(), 7, 4, style))?;
        } else {
            chart.draw_series(LineSeries::new(shown.iter().copied(), style))?;
        }
        for point in shown {
            match look.mark {
                Dot => chart.plotting_area().draw(&Circle::new(point, 3, style))?,
                Triangle => chart.plotting_area().draw(&TriangleMarker::new(point, 5, style))?,
                Cross => chart.plotting_area().draw(&plotters::element::Cross::new(point, 4, style))?,
            }
        }
        let (across, height) = chart.backend_coord(&last);
        // Who ends before the others is named where it ends.
        if last.0 + 1e-9 < furthest {
            let beside = Pos::new(HPos::Left, VPos::Center);
            area.draw_text(
                &format!("{text}: no further"),
                &self::text(15, look.colour).pos(beside),
                (across + 8, height),
            )?;
        } else {
            ends.push((height, text, look.colour));
        }
    }
    ends.sort_by_key(|(height, ..)| *height);
    let left = i32::try_from(SIZE.0 - NAMES).unwrap_or_default() + 8;
    for (height, (_, name, colour)) in apart(ends.iter().map(|end| end.0)).into_iter().zip(&ends) {
        area.draw_text(name, &text(15, *colour).pos(Pos::new(HPos::Left, VPos::Center)), (left, height))?;
    }
    area.present()
}

/// An axis as plotters knows one: in the axis' own measure, with the axis' ticks and texts.
struct Coordinate {
    axis: Axis,
    range: (f64, f64),
    even: RangedCoordf64,
}

impl Coordinate {
    fn of(axis: Axis, values: impl Iterator<Item = f64>) -> Self {
        let range = axis.range(values);
        Self { axis, range, even: (range.0..range.1).into() }
    }
}

impl Ranged for Coordinate {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, position: &f64, pixels: (i32, i32)) -> i32 {
        self.even.map(position, pixels)
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        // No lines between the ticks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.axis.ticks(self.range) }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.even.range()
    }
}

impl ValueFormatter<f64> for Coordinate {
    fn format_ext(&self, position: &f64) -> String {
        self.axis.text(*position)
    }
}

/// What stands at the line, and how it looks.
fn looks(name: &str) -> (&str, Look) {
    let known = LOOKS.iter().find(|(known, ..)| *known == name);
    known.map_or((name, Look { colour: INK, dashed: false, mark: Dot }), |(_, text, look)| (text, *look))
}

fn ink(size: i32) -> TextStyle<'static> {
    text(size, INK)
}

fn text(size: i32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

/// Heights from top to bottom, moved as little as it takes that no name stands on another: those that are too close share
/// the way up and down.
fn apart(heights: impl Iterator<Item = i32>) -> Vec<i32> {
    // Less one line for each name above, names only have to be in order. A group has the sum and the number of its members.
    let mut groups: Vec<(i32, i32)> = Vec::new();
    for (height, lines) in heights.zip((0..).step_by(LINE_HEIGHT)) {
        let mut group = (height - lines, 1);
        while let Some(above) = groups.pop_if(|above| above.0 * group.1 > group.0 * above.1) {
            group = (group.0 + above.0, group.1 + above.1);
        }
        groups.push(group);
    }
    let places = groups.into_iter().flat_map(|(sum, number)| (0..number).map(move |_| sum / number));
    places.zip((0..).step_by(LINE_HEIGHT)).map(|(place, lines)| place + lines).collect()
}

#[cfg(test)]
mod tests {
    use super::super::axis::{Scale, Unit};
    use super::*;

    fn curve() -> Curve {
        Curve {
            title: "Download: processor time against message size".to_owned(),
            x: Axis { label: "message size", scale: Scale::Doubling, unit: Unit::Octets },
            y: Axis { label: "CPU seconds per GiB", scale: Scale::Tenfold, unit: Unit::Number },
            lines: vec![
                ("gatepost".to_owned(), vec![(1024.0, 40.0), (65_536.0, 2.0), (157_286_400.0, 1.3)]),
                ("naive".to_owned(), vec![(1024.0, 45.0), (65_536.0, 3.0), (157_286_400.0, 2.2)]),
                ("a <stranger>".to_owned(), vec![(1024.0, 0.0), (65_536.0, 1.9), (157_286_400.0, 1.9)]),
                ("direct".to_owned(), vec![(1024.0, 0.0)]),
            ],
        }
    }

    #[test]
    fn a_plot_names_its_axes_ticks_and_lines() -> anyhow::Result<()> {
        let svg = draw(&curve())?;
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        let said = [
            "Download: processor time against message size",
            "message size",
            "CPU seconds per GiB",
            "64 KiB",
            "256 MiB",
            "100",
            "gatepost",
            "naive",
            "a &lt;stranger&gt;",
        ];
        for text in said {
            assert!(svg.contains(&format!("\n{text}\n</text>")), "{text} in {svg}");
        }
        Ok(())
    }

    #[test]
    fn a_line_has_the_points_that_can_be_shown_and_none_if_there_is_none() -> anyhow::Result<()> {
        let svg = draw(&curve())?;
        let points = |name| svg.matches(&format!("fill=\"{}\"", hex(looks(name).1.colour))).count();
        // Circles, and the name.
        assert_eq!(points("gatepost"), 4);
        assert_eq!(points("naive"), 4);
        assert!(!svg.contains("direct"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        Ok(())
    }

    #[test]
    fn a_line_that_ends_before_the_others_is_named_where_it_ends() -> anyhow::Result<()> {
        let mut curve = curve();
        curve.lines.push(("emailproxy".to_owned(), vec![(1024.0, 300.0), (65_536.0, 200.0)]));
        let svg = draw(&curve)?;
        assert!(svg.contains("\nemailproxy: no further\n"), "{svg}");
        assert!(svg.contains("\nnaive\n"), "{svg}");
        Ok(())
    }

    #[test]
    fn names_do_not_cover_each_other() {
        assert_eq!(apart([100, 117, 200].into_iter()), [100, 117, 200]);
        assert_eq!(apart([100, 105, 200].into_iter()), [94, 111, 200]);
        assert_eq!(apart([100, 100, 100, 110].into_iter()), [77, 94, 111, 128]);
    }

    #[test]
    fn every_colour_stands_out_from_light_and_dark_pages() {
        for (name, _, Look { colour: RGBColor(red, green, blue), .. }) in LOOKS {
            let part = |octet: u8| (f64::from(octet) / 255.0).powf(2.2);
            let luminance = 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
            // WCAG 2.1 asks for 3 to 1 of what is no small text.
            assert!(1.05 / (luminance + 0.05) > 3.0, "{name} on white: {luminance}");
            assert!((luminance + 0.05) / 0.056 > 3.0, "{name} on #0d1117: {luminance}");
        }
    }

    fn hex(RGBColor(red, green, blue): RGBColor) -> String {
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}
