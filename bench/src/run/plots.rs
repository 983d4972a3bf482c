//! The growth curves of a run: what a message's size, the sessions that wait and the clients at once do to each contender.

use std::collections::BTreeSet;

use super::figure::{Figure, Row};
use super::results::{Medians, ORDER};
use crate::report::axis::{Axis, Scale, Unit};
use crate::report::svg::Curve;

/// Each with the name of its file.
pub(super) fn plots(figures: &[Figure], medians: &Medians) -> [(&'static str, Curve); 3] {
    let sizes = Axis { label: "message size, logarithmic", scale: Scale::Doubling, unit: Unit::Octets };
    let time = Axis { label: "CPU seconds per GiB, logarithmic", scale: Scale::Tenfold, unit: Unit::Number };
    let sessions =
        Axis { label: "sessions that wait, logarithmic", scale: Scale::Tenfold, unit: Unit::Number };
    let memory = Axis { label: "resident memory, logarithmic", scale: Scale::Doubling, unit: Unit::Octets };
    let clients = Axis { label: "clients at once, logarithmic", scale: Scale::Doubling, unit: Unit::Number };
    let rate = Axis { label: "logins per second, logarithmic", scale: Scale::Tenfold, unit: Unit::Number };
    let lines =
        |row, point: &dyn Fn(&str, f64, f64) -> Option<(f64, f64)>| lines(figures, medians, row, point);
    [
        (
            "download-by-size.svg",
            Curve {
                title: "Download: processor time by size of the message".to_owned(),
                x: sizes,
                y: time,
                lines: lines(Row::Download, &|_, kib, used| Some((kib * 1024.0, used))),
            },
        ),
        (
            "memory-by-sessions.svg",
            Curve {
                title: "Idle sessions: memory of the whole program".to_owned(),
                x: sessions,
                y: memory,
                lines: lines(Row::MemoryPerSession, &|contender, number, kib| {
                    let before = medians.of(Row::MemoryAfterLogin, None, contender)?;
                    Some((number, before * 1_048_576.0 + number * kib * 1024.0))
                }),
            },
        ),
        (
            "logins-by-clients.svg",
            Curve {
                title: "Logins per second, by clients at once".to_owned(),
                x: clients,
                y: rate,
                lines: lines(Row::LoginsPerSecond, &|_, number, rate| Some((number, rate))),
            },
        ),
    ]
}

/// A line for each contender that has points: the medians at each size of the row.
fn lines(
    figures: &[Figure],
    medians: &Medians,
    row: Row,
    point: &dyn Fn(&str, f64, f64) -> Option<(f64, f64)>,
) -> Vec<(String, Vec<(f64, f64)>)> {
    let line = |contender: &str| {
        let measured = figures.iter().filter(|figure| figure.row == row && figure.contender == contender);
        // Each size once, the small ones first.
        let sizes: BTreeSet<u64> = measured.filter_map(|figure| figure.at).collect();
        let points = sizes.into_iter().filter_map(|at| {
            let value = medians.of(row, Some(at), contender)?;
            point(contender, as_number(at), value)
        });
        (contender.to_owned(), points.collect::<Vec<_>>())
    };
    ORDER.into_iter().map(line).filter(|(_, points)| !points.is_empty()).collect()
}

#[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn as_number(at: u64) -> f64 {
    at as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_the_medians_of_those_who_were_measured() {
        let figure = |row, at, contender: &str, round, value| Figure {
            row,
            at,
            contender: contender.to_owned(),
            round,
            value,
        };
        let figures = [
            figure(Row::Download, Some(64), "naive", 1, 3.0),
            figure(Row::Download, Some(1), "naive", 1, 40.0),
            figure(Row::Download, Some(64), "naive", 2, 5.0),
            figure(Row::Download, Some(64), "gatepost", 1, 2.0),
            figure(Row::MemoryAfterLogin, None, "gatepost", 1, 1.0),
            figure(Row::MemoryPerSession, Some(1024), "gatepost", 1, 2.0),
            // Without memory before there is no sum.
            figure(Row::MemoryPerSession, Some(1024), "naive", 1, 2.0),
        ];
        let [download, memory, logins] =
            plots(&figures, &Medians::of_figures(&figures)).map(|(_, curve)| curve.lines);
        let line = |name: &str, points: &[(f64, f64)]| (name.to_owned(), points.to_vec());
        assert_eq!(
            download,
            [line("gatepost", &[(65_536.0, 2.0)]), line("naive", &[(1024.0, 40.0), (65_536.0, 4.0)])]
        );
        assert_eq!(memory, [line("gatepost", &[(1024.0, 3_145_728.0)])]);
        assert_eq!(logins, []);
    }
}
