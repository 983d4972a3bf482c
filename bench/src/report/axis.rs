//! One axis of a plot: where a value is on it, where its ticks are, and what they say.

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What is counted, and in which unit where the ticks do not say it: `CPU seconds per GiB`.
    pub label: &'static str,
    /// How values are spread.
    pub scale: Scale,
    /// How a value is written.
    pub unit: Unit,
}

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Logarithmic, with ticks at powers of two.
    Doubling,
    /// Logarithmic, with ticks at powers of ten.
    Tenfold,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As a number.
    Number,
    /// As KiB, MiB or GiB.
    Octets,
}

/// Ticks of a logarithmic axis, at most.
const TICKS: i32 = 8;

impl Axis {
    /// Where a value is, in the axis' own measure; nowhere if it cannot be shown: zero on a logarithmic axis.
    pub(super) fn position(self, value: f64) -> Option<f64> {
        let position = match self.scale {
            Scale::Linear => value,
            Scale::Doubling => value.log2(),
            Scale::Tenfold => value.log10(),
        };
        position.is_finite().then_some(position)
    }

    /// From where to where the axis goes, in its own measure, so that all values are on it.
    pub(super) fn range(self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let positions = values.filter_map(|value| self.position(value));
        let (low, high) = positions.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), position| {
            (low.min(position), high.max(position))
        });
        if low > high {
            return (0.0, 1.0);
        }
        match self.scale {
            Scale::Linear => (low.min(0.0), if high > 0.0 { high * 1.05 } else { 1.0 }),
            Scale::Doubling | Scale::Tenfold => (low.floor(), high.ceil().max(low.floor() + 1.0)),
        }
    }

    /// Where the ticks are.
    pub(super) fn ticks(self, (low, high): (f64, f64)) -> Vec<f64> {
        let (first, step) = if self.scale == Scale::Linear {
            let step = round_step((high - low) / 5.0, self.unit);
            ((low / step).ceil() * step, step)
        } else {
            (low, ((high - low) / f64::from(TICKS)).ceil().max(1.0))
        };
        (0..=2 * TICKS)
            .map(|index| first + f64::from(index) * step)
            .take_while(|tick| *tick <= high + 1e-9)
            .collect()
    }

    /// What stands at a position.
    pub(super) fn text(self, position: f64) -> String {
        let value = match self.scale {
            Scale::Linear => position,
            Scale::Doubling => position.exp2(),
            Scale::Tenfold => 10_f64.powf(position),
        };
        match self.unit {
            Unit::Number => number(value),
            Unit::Octets => octets(value),
        }
    }
}

/// 1, 2 or 5 times a power of ten; of octets a power of two.
fn round_step(least: f64, unit: Unit) -> f64 {
    if unit == Unit::Octets {
        return least.log2().ceil().exp2();
    }
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(least)
}

fn number(value: f64) -> String {
    if value < 1000.0 {
        return format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let (thousands, rest) = ((value / 1000.0).floor(), value % 1000.0);
    format!("{thousands:.0},{rest:03.0}")
}

fn octets(value: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut rest = value;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while rest >= 1024.0
        && let Some(larger) = units.next()
    {
        rest /= 1024.0;
        unit = larger;
    }
    format!("{} {unit}", number(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_not_too_many() {
        let axis = |scale, unit| Axis { label: "", scale, unit };
        #[rustfmt::skip]
        let table: [(Axis, &[f64], &[&str]); 7] = [
            (axis(Scale::Doubling, Unit::Octets), &[1024.0, 157_286_400.0], &["1 KiB", "8 KiB", "64 KiB", "512 KiB", "4 MiB", "32 MiB", "256 MiB"]),
            (axis(Scale::Doubling, Unit::Number), &[1.0, 256.0], &["1", "2", "4", "8", "16", "32", "64", "128", "256"]),
            (axis(Scale::Tenfold, Unit::Number), &[1.0, 9800.0], &["1", "10", "100", "1,000", "10,000"]),
            (axis(Scale::Tenfold, Unit::Number), &[0.05, 0.0, 3.0], &["0.01", "0.1", "1", "10"]),
            (axis(Scale::Linear, Unit::Number), &[0.4, 9.3], &["0", "2", "4", "6", "8"]),
            (axis(Scale::Linear, Unit::Octets), &[3.0 * 1_048_576.0, 0.0], &["0 B", "1 MiB", "2 MiB", "3 MiB"]),
            (axis(Scale::Tenfold, Unit::Number), &[], &["1", "10"]),
        ];
        for (axis, values, expected) in table {
            let ticks = axis.ticks(axis.range(values.iter().copied()));
            assert_eq!(
                ticks.into_iter().map(|tick| axis.text(tick)).collect::<Vec<_>>(),
                expected,
                "{values:?}"
            );
        }
    }
}
