//! People's habits: how full the buildings are, and how busy the streets.

use crate::runtime::time_grid::Micros;

/// An instant as the models want it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(f64);

impl Moment {
    pub(super) fn from_micros(time: Micros) -> Self {
        Moment(time as f64 / 3.6e9)
    }

    /// Hours since 1970.
    pub(super) fn hours(self) -> f64 {
        self.0
    }

    pub(super) fn hour_of_day(self) -> f64 {
        self.0.rem_euclid(24.0)
    }

    fn is_weekend(self) -> bool {
        // 1970-01-01 was a Thursday.
        matches!((self.0 / 24.0).floor().rem_euclid(7.0) as i64, 2 | 3)
    }

    pub(super) fn earlier(self, hours: f64) -> Self {
        Moment(self.0 - hours)
    }
}

/// Share of the people who are in, in [0, 1]: working hours, a dip at noon, quiet weekends.
pub(super) fn occupancy(moment: Moment) -> f64 {
    let hour = moment.hour_of_day();
    let working = step(hour, 7.0, 9.5) * (1.0 - step(hour, 16.5, 19.0));
    let lunch = 0.35 * bump(hour, 12.5, 0.8);
    let week = if moment.is_weekend() { 0.12 } else { 1.0 };
    (0.03 + week * (working - lunch).max(0.0) * 0.95).clamp(0.0, 1.0)
}

/// How much moves, in [0, 1]: two rush hours and some life between them.
pub(super) fn traffic(moment: Moment) -> f64 {
    let hour = moment.hour_of_day();
    let rush = bump(hour, 8.3, 1.0) + bump(hour, 17.4, 1.3);
    let week = if moment.is_weekend() { 0.35 } else { 1.0 };
    (0.02 + week * (0.75 * rush + 0.25 * occupancy(moment))).clamp(0.0, 1.0)
}

/// From 0 at `from` smoothly to 1 at `to`.
fn step(x: f64, from: f64, to: f64) -> f64 {
    let way = ((x - from) / (to - from)).clamp(0.0, 1.0);
    way * way * (3.0 - 2.0 * way)
}

fn bump(x: f64, middle: f64, width: f64) -> f64 {
    (-((x - middle) / width).powi(2)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_busy_and_nights_are_quiet() {
        let thursday = |hour: f64| Moment(hour);
        let saturday = |hour: f64| Moment(48.0 + hour);
        assert!(occupancy(thursday(10.5)) > 0.8 && occupancy(thursday(3.0)) < 0.05);
        assert!(occupancy(saturday(10.5)) < 0.2);
        assert!(traffic(thursday(8.3)) > 0.7 && traffic(thursday(2.0)) < 0.05);
    }
}
