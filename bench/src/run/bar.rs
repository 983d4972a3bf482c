//! The bars: what Gatepost's figures have to be, beside others' of the same run.

use serde::Serialize;

use super::figure::Row;
use super::results::Medians;

/// A bar, and whether it is met.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// What was measured.
    pub row: Row,
    /// As in the figures.
    pub at: Option<u64>,
    /// In words.
    pub bar: String,
    /// What is compared with the bar: a ratio or Gatepost's figure itself. `None` where it was not measured.
    pub value: Option<f64>,
    /// `None` where it was not measured.
    pub met: Option<bool>,
}

/// Against what.
#[derive(Clone, Copy)]
enum Bar {
    /// At most so much, in the row's unit.
    AtMost(f64),
    /// At most so many times somebody's figure.
    Times(f64, &'static str),
    /// At most so many round trips, and a tenth of one for what is computed meanwhile: what is counted is whole ones.
    RoundTrips(f64),
}

use Bar::{AtMost, RoundTrips, Times};

const BARS: &[(Row, Option<u64>, Bar)] = &[
    (Row::Download, Some(25 * 1024), Times(0.70, "naive")),
    (Row::Download, Some(25 * 1024), Times(0.90, "nginx")),
    (Row::Upload, Some(25 * 1024), Times(0.85, "naive")),
    (Row::Upload, Some(25 * 1024), Times(0.85, "nginx")),
    (Row::Login, None, Times(0.5, "haproxy")),
    (Row::Login, None, Times(0.3, "dovecot")),
    (Row::Login, None, Times(1.0 / 300.0, "emailproxy")),
    (Row::Message, None, Times(1.0, "naive")),
    (Row::LoginP50, None, Times(1.5, "direct")),
    (Row::FarLoginMore, None, RoundTrips(1.0)),
    (Row::FarMessageMore, None, RoundTrips(1.0)),
    (Row::MemoryPerSession, Some(1_000), AtMost(8.0)),
    (Row::MemoryPerSession, Some(9_800), AtMost(8.0)),
    (Row::MemoryAtRest, None, AtMost(9.0)),
    (Row::LoginsRefused, Some(256), AtMost(0.0)),
];

/// All of them, in the order of the table.
pub fn judge(medians: &Medians) -> Vec<Judged> {
    BARS.iter().map(|&(row, at, bar)| judged(medians, row, at, bar)).collect()
}

fn judged(medians: &Medians, row: Row, at: Option<u64>, bar: Bar) -> Judged {
    let own = medians.of(row, at, "gatepost");
    let (words, value, limit) = match bar {
        AtMost(limit) => (format!("<= {limit} {}", row.unit()), own, Some(limit)),
        Times(limit, other) => {
            let theirs = medians.of(row, at, other);
            let words = if limit < 0.01 {
                format!("<= 1/{:.0} x {other}", 1.0 / limit)
            } else {
                format!("<= {limit:.2} x {other}")
            };
            (words, own.zip(theirs).map(|(own, theirs)| own / theirs), Some(limit))
        }
        RoundTrips(limit) => (format!("<= {limit:.0} round trip and 0.1"), own, Some(limit + 0.1)),
    };
    let met = value.zip(limit).map(|(value, limit)| value <= limit);
    Judged { row, at, bar: words.trim_end().to_owned(), value, met }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::figure::Figure;

    fn medians(values: &[(Row, Option<u64>, &str, f64)]) -> Medians {
        let figures: Vec<_> = values
            .iter()
            .map(|&(row, at, name, value)| Figure { row, at, contender: name.to_owned(), round: 1, value })
            .collect();
        Medians::of_figures(&figures)
    }

    #[test]
    fn a_ratio_is_met_up_to_its_limit_and_not_beyond() {
        for (own, met) in [(1.4, true), (1.5, false)] {
            let medians = medians(&[
                (Row::Download, Some(25 * 1024), "gatepost", own),
                (Row::Download, Some(25 * 1024), "naive", 2.1),
            ]);
            let judged = judge(&medians);
            assert_eq!(judged.iter().filter_map(|bar| bar.met).collect::<Vec<_>>(), [met]);
        }
    }

    #[test]
    fn a_far_login_may_take_one_round_trip_more() {
        for (own, met) in [(0.2, true), (1.08, true), (1.2, false), (2.0, false)] {
            let judged = judge(&medians(&[(Row::FarLoginMore, None, "gatepost", own)]));
            assert_eq!(judged.iter().filter_map(|bar| bar.met).collect::<Vec<_>>(), [met]);
        }
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert!(judge(&medians(&[])).iter().all(|bar| bar.met.is_none() && bar.value.is_none()));
    }
}
