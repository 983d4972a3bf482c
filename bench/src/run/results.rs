//! Everything that a run found: the file `results.json`, and the table for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::bar::Judged;
use super::figure::{Figure, Row, median};

/// `results.json`.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where and when.
    pub machine: BTreeMap<&'static str, String>,
    /// Every measurement, in its order.
    pub figures: Vec<Figure>,
    /// Over the rounds.
    pub medians: Medians,
    /// Against the bars.
    pub bars: Vec<Judged>,
    /// What a peer could not do, in words.
    pub notes: Vec<String>,
}

/// The median of each row and contender.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Medians(Vec<Median>);

#[derive(Debug, Serialize)]
struct Median {
    row: Row,
    at: Option<u64>,
    unit: &'static str,
    /// By contender.
    values: BTreeMap<String, f64>,
}

impl Medians {
    /// Rows in the order of the table.
    pub fn of_figures(figures: &[Figure]) -> Self {
        let mut rows = BTreeMap::<(Row, Option<u64>), BTreeMap<String, Vec<f64>>>::new();
        for Figure { row, at, contender, value, .. } in figures {
            rows.entry((*row, *at)).or_default().entry(contender.clone()).or_default().push(*value);
        }
        let middle = |(contender, values)| Some((contender, median(values)?));
        let rows = rows.into_iter().map(|((row, at), values)| Median {
            row,
            at,
            unit: row.unit(),
            values: values.into_iter().filter_map(middle).collect(),
        });
        Self(rows.collect())
    }

    /// `None` where it was not measured.
    pub fn of(&self, row: Row, at: Option<u64>, contender: &str) -> Option<f64> {
        let found = self.0.iter().find(|median| median.row == row && median.at == at)?;
        found.values.get(contender).copied()
    }
}

/// The contenders from left to right.
pub(super) const ORDER: [&str; 8] =
    ["gatepost", "gatepost-tls", "direct", "naive", "haproxy", "nginx", "dovecot", "emailproxy"];

impl Results {
    /// The medians, then the bars. Columns nobody was measured for are left out.
    pub fn table(&self) -> String {
        let columns: Vec<_> = ORDER
            .into_iter()
            .filter(|name| self.figures.iter().any(|figure| figure.contender == *name))
            .collect();
        let mut table = format!("{:<30}", "");
        for name in &columns {
            append(&mut table, format_args!(" {name:>12}"));
        }
        append(&mut table, format_args!("  unit\n"));
        for Median { row, at, unit, values } in &self.medians.0 {
            append(&mut table, format_args!("{:<30}", titled(*row, *at)));
            for name in &columns {
                let value = values.get(*name).map_or_else(|| "-".to_owned(), |value| short(*value));
                append(&mut table, format_args!(" {value:>12}"));
            }
            append(&mut table, format_args!("  {unit}\n"));
        }
        append(&mut table, format_args!("\n"));
        for Judged { row, at, bar, value, met } in &self.bars {
            let sign = met.map_or("-", |met| if met { "✓" } else { "✗" });
            let value = value.map_or_else(|| "not measured".to_owned(), short);
            append(&mut table, format_args!("{sign} {:<30} {bar:<28} {value:>12}\n", titled(*row, *at)));
        }
        for note in &self.notes {
            append(&mut table, format_args!("\n{note}\n"));
        }
        table
    }
}

fn titled(row: Row, at: Option<u64>) -> String {
    let title = row.title();
    match (row, at) {
        (_, None) => title.to_owned(),
        (Row::Download | Row::Upload, Some(kib)) if kib >= 1024 => format!("{title}, {} MiB", kib / 1024),
        (Row::Download | Row::Upload, Some(kib)) => format!("{title}, {kib} KiB"),
        (Row::LoginsPerSecond, Some(clients)) => format!("{title}, {clients} at once"),
        (Row::Start, Some(accounts)) => format!("{title}, {accounts} accounts"),
        (_, Some(at)) => format!("{title}, {at}"),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        large if large >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        small if small >= 0.0995 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// Writing to a string cannot fail.
fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _written = text.write_fmt(arguments);
}
