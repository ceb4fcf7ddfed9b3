//! The oracle: every KPI of a device-window, written down plainly from the definitions. A window is cut at every instant
//! at which anything may change, and each piece is judged for itself by looking at everything there is.

use crate::world::{Device, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Excluded,
    Unknown,
    Down,
    Up,
}

/// A piece of a window in which nothing changes.
struct Piece {
    start: i64,
    end: i64,
    class: Class,
    by_status: Class,
    label: &'static str,
    lost: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outage {
    pub(crate) started_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) duration: i64,
    pub(crate) ongoing: bool,
    pub(crate) began_before: bool,
    pub(crate) last_beat: Option<i64>,
}

/// Microseconds of up, down, unknown and excluded time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) up: i64,
    pub(crate) down: i64,
    pub(crate) unknown: i64,
    pub(crate) excluded: i64,
}

impl Times {
    fn add(&mut self, class: Class, time: i64) {
        *match class {
            Class::Up => &mut self.up,
            Class::Down => &mut self.down,
            Class::Unknown => &mut self.unknown,
            Class::Excluded => &mut self.excluded,
        } += time;
    }

    /// Adds those of another device.
    pub(crate) fn join(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
        self.unknown += other.unknown;
        self.excluded += other.excluded;
    }

    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.up + self.down > 0).then(|| self.up as f64 / (self.up + self.down) as f64)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) times: Times,
    /// The classes by status.
    pub(crate) status_times: Times,
    pub(crate) uptime: Option<f64>,
    pub(crate) availability: Option<f64>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) periods: Vec<(i64, i64, &'static str)>,
    pub(crate) failures: i64,
    pub(crate) longest_outage: Option<i64>,
    pub(crate) completeness: Option<f64>,
    pub(crate) regularity: Option<f64>,
    pub(crate) stability: Option<f64>,
    pub(crate) consistency: Option<f64>,
    pub(crate) jitter: Option<f64>,
    pub(crate) missed: i64,
    /// Response times in ascending order.
    pub(crate) responses: Vec<f64>,
    pub(crate) attempts: i64,
    pub(crate) failed: i64,
    pub(crate) bytes_per_second: Option<f64>,
    pub(crate) messages_per_second: Option<f64>,
}

/// What is said of a device at an instant.
#[derive(Debug, PartialEq)]
pub(crate) struct Present {
    pub(crate) live: bool,
    pub(crate) class: Class,
    pub(crate) status: &'static str,
}

/// A device's facts, laid out so that looking at everything there is does not take all day.
pub(crate) struct Case<'a> {
    world: &'a World,
    number: usize,
    device: &'a Device,
    beats: &'a [i64],
    /// The collector's beats that had come, and how long each proves it alive.
    observer: Option<(&'a [i64], i64)>,
    /// When the device could be heard, from the first instant on.
    heard: Vec<(i64, i64)>,
    as_of: i64,
}

/// Before all that ever happened, and after it.
const EVER: (i64, i64) = (i64::MIN / 4, i64::MAX / 4);

fn add_period(periods: &mut Vec<(i64, i64, &'static str)>, period: (i64, i64, &'static str)) {
    match periods.last_mut() {
        Some(last) if last.2 == period.2 => last.1 = period.1,
        _ => periods.push(period),
    }
}

fn live(beats: &[i64], liveness: i64, at: i64) -> bool {
    // Only beats up to `liveness` before can prove anything.
    let first = beats.partition_point(|b| b + liveness <= at);
    beats[first..]
        .iter()
        .take_while(|b| **b <= at)
        .any(|b| at < b + liveness)
}

impl<'a> Case<'a> {
    /// A device as it is known at an instant.
    pub(crate) fn new(world: &'a World, beats: &'a [Vec<i64>], number: usize, as_of: i64) -> Self {
        let device = &world.devices[number];
        let observer = device.collector.map(|c| {
            let come = beats[c].partition_point(|b| *b < as_of);
            (&beats[c][..come], world.devices[c].live_for())
        });
        let mut case = Self {
            world,
            number,
            device,
            beats: &beats[number],
            observer,
            heard: Vec::new(),
            as_of,
        };
        case.heard = case.hearing();
        case
    }

    /// All that changes what is required or observed, and the stretches between two changes in which it is both.
    fn hearing(&self) -> Vec<(i64, i64)> {
        let mut cuts = vec![EVER.0, EVER.1];
        cuts.extend(self.maintenance().flat_map(|(start, end)| [Some(start), end]).flatten());
        cuts.extend(self.device.commissioned.into_iter().chain(self.device.decommissioned));
        cuts.extend(self.observer.into_iter().flat_map(|(beats, _)| beats));
        cuts.sort_unstable();
        let heard = cuts.windows(2).map(|pair| (pair[0], pair[1]));
        heard
            .filter(|s| s.0 < s.1 && !self.excluded(s.0) && !self.unobserved(s.0))
            .collect()
    }

    /// When a silence that begins at a beat, or that lasts since ever, has been heard for as long as a beat proves the device alive.
    fn down_from(&self, beat: Option<i64>) -> i64 {
        let mut left = self.device.live_for();
        for (start, end) in &self.heard {
            if beat.is_none() && *start == EVER.0 {
                return *start;
            }
            let start = beat.map_or(*start, |beat| beat.max(*start));
            if start < *end && end - start >= left {
                return start + left;
            }
            left -= (end - start).max(0);
        }
        EVER.1
    }

    /// The class of an instant.
    fn class(&self, at: i64) -> Class {
        let last = self.beats[..self.beats.partition_point(|b| *b <= at)].last().copied();
        if self.excluded(at) {
            Class::Excluded
        } else if self.live(at) {
            Class::Up
        } else if self.unobserved(at) || at < self.down_from(last) {
            Class::Unknown
        } else {
            Class::Down
        }
    }

    /// Until when a collector that is alive has looked.
    fn seen_until(&self) -> Option<i64> {
        let (beats, liveness) = self.observer?;
        beats.last().copied().filter(|seen| seen + liveness > self.as_of)
    }

    /// The same, where a collector that is alive has not looked since: as it was when that looked.
    fn class_now(&self, at: i64) -> Class {
        let class = self.class(at);
        match self.seen_until().filter(|seen| *seen <= at) {
            Some(seen) if class == Class::Unknown => match self.class(seen - 1) {
                Class::Excluded => Class::Unknown,
                class => class,
            },
            _ => class,
        }
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }

    fn excluded(&self, at: i64) -> bool {
        let device = self.device;
        device.commissioned.is_some_and(|c| at < c)
            || device.decommissioned.is_some_and(|d| at >= d)
            || self
                .maintenance()
                .any(|(start, end)| start <= at && end.is_none_or(|end| at < end))
    }

    fn maintenance(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        let mine = self
            .world
            .maintenance
            .iter()
            .filter(|m| m.device.is_none_or(|d| d == self.number));
        mine.map(|m| (m.start, m.end))
    }

    /// Whether an instant does not lie between two beats of the collector that are near enough to each other.
    fn unobserved(&self, at: i64) -> bool {
        self.observer.is_some_and(|(beats, liveness)| {
            let come = beats.partition_point(|b| *b <= at);
            let between = come.checked_sub(1).and_then(|i| Some((beats[i], *beats.get(come)?)));
            between.is_none_or(|(before, after)| after - before > liveness)
        })
    }

    /// Whether nobody observes the device at an instant, and no sample of its status was measured since nobody does.
    fn untold(&self, at: i64) -> bool {
        let Some((beats, liveness)) = self.observer.filter(|_| self.unobserved(at)) else {
            return false;
        };
        let mut come = &beats[..beats.partition_point(|b| *b <= at)];
        while let [earlier @ .., before, last] = come
            && last - before > liveness
        {
            come = &come[..earlier.len() + 1];
        }
        // Before its first beat it did not look either.
        let since = if come.len() > 1 { come[come.len() - 1] } else { i64::MIN };
        self.device.statuses.range(since..=at).next().is_none()
    }

    fn live(&self, at: i64) -> bool {
        live(self.beats, self.device.live_for(), at)
    }

    /// The status that a sample gives at an instant; none where there is no sample, or none that still holds.
    fn said(&self, at: i64) -> Option<&'static str> {
        let (since, status) = self.device.statuses.range(..=at).next_back()?;
        self.device
            .status_ttl
            .is_none_or(|ttl| at - since < ttl)
            .then_some(*status)
    }

    pub(crate) fn present(&self, at: i64) -> Present {
        let class = self.class_now(at);
        let said = self.said(at);
        let status = match class {
            Class::Excluded => "excluded",
            Class::Unknown => "unknown",
            Class::Up => said.unwrap_or("online"),
            Class::Down => said
                .filter(|s| ["offline", "error", "maintenance"].contains(s))
                .unwrap_or("offline"),
        };
        Present {
            live: class == Class::Up || class == Class::Excluded && self.live(at),
            class,
            status,
        }
    }

    /// The window's verdict; `None` for a window of which nothing has happened.
    pub(crate) fn judge(&self, start: i64, end: i64) -> Verdict {
        let mut verdict = Verdict::default();
        if start >= end {
            return verdict;
        }
        let pieces = self.pieces(start, end, end);
        for piece in &pieces {
            verdict.times.add(piece.class, piece.end - piece.start);
            verdict.status_times.add(piece.by_status, piece.end - piece.start);
            add_period(&mut verdict.periods, (piece.start, piece.end, piece.label));
        }
        // Of which nobody has looked yet is as it was when somebody did.
        if let Some(seen) = self.seen_until()
            && let Some(last) = verdict
                .periods
                .pop_if(|last| last.2 == "unknown" && last.0 >= seen.max(start))
        {
            let label = match self.pieces(seen - 1, seen, end)[0].label {
                "excluded" => "unknown",
                label => label,
            };
            add_period(&mut verdict.periods, (last.0, last.1, label));
        }
        verdict.uptime = verdict.times.ratio();
        verdict.availability = verdict.status_times.ratio();
        verdict.outages = self.outages(&pieces, start, end);
        verdict.failures = verdict.outages.iter().filter(|o| !o.began_before).count() as i64;
        verdict.longest_outage = verdict.outages.iter().map(|o| o.duration).max();
        self.judge_consistency(&mut verdict, &pieces, start, end);
        self.judge_communication(&mut verdict, start, end);
        verdict
    }

    /// The pieces of a stretch that belongs to a window with this end.
    fn pieces(&self, start: i64, end: i64, window_end: i64) -> Vec<Piece> {
        let device = self.device;
        let mut cuts = vec![start, end];
        for beat in self.beats {
            cuts.extend([*beat, beat + device.live_for(), beat + device.interval]);
        }
        if let Some((beats, liveness)) = self.observer {
            cuts.extend(beats.iter().flat_map(|b| [*b, b + liveness]));
        }
        cuts.push(self.down_from(None));
        for beat in self.beats {
            cuts.push(self.down_from(Some(*beat)));
        }
        for since in device.statuses.keys() {
            cuts.extend([*since, since + device.status_ttl.unwrap_or(0)]);
        }
        cuts.extend(self.maintenance().flat_map(|(start, end)| [Some(start), end]).flatten());
        cuts.extend(device.commissioned.into_iter().chain(device.decommissioned));
        cuts.retain(|c| (start..=end).contains(c));
        cuts.sort_unstable();
        cuts.dedup();
        let lost = self.lost(start, end);
        // A device that has not said a word by the end of the window is shown by its beats.
        let speaks = device.statuses.range(..window_end).next().is_some();
        let piece = |pair: &[i64]| {
            let at = pair[0];
            let said = self.said(at).unwrap_or("unknown");
            let class = self.class(at);
            let told = if self.untold(at) { "unknown" } else { said };
            let by_status = match told {
                // One that said that it is in maintenance is not required, whether somebody observes it or not.
                _ if class == Class::Excluded || said == "maintenance" => Class::Excluded,
                "unknown" => Class::Unknown,
                "online" => Class::Up,
                "degraded" if device.degraded_counts_up => Class::Up,
                _ => Class::Down,
            };
            let label = match class {
                Class::Excluded => "excluded",
                _ if speaks => told,
                Class::Unknown => "unknown",
                Class::Up => "online",
                Class::Down => "offline",
            };
            let lost = lost.iter().any(|l| l.0 <= at && at < l.1);
            Piece {
                start: at,
                end: pair[1],
                class,
                by_status,
                label,
                lost,
            }
        };
        cuts.windows(2).map(piece).collect()
    }

    fn beats_in(&self, start: i64, end: i64) -> Vec<i64> {
        self.beats
            .iter()
            .copied()
            .filter(|b| (start..end).contains(b))
            .collect()
    }

    /// The last time in `times` before the window, at most max(liveness, 1.5 T) back.
    fn carried_in(&self, times: impl Iterator<Item = i64>, start: i64) -> Option<i64> {
        let last = times.filter(|t| *t < start).max()?;
        let near = start - last <= self.device.live_for() || 2 * (start - last) <= 3 * self.device.interval;
        near.then_some(last)
    }

    /// Where expected reports did not come.
    fn lost(&self, start: i64, end: i64) -> Vec<(i64, i64)> {
        let t = self.device.interval;
        let mut lost = Vec::new();
        let mut before = self.carried_in(self.beats.iter().copied(), start);
        for next in self.beats_in(start, end).into_iter().chain([end]) {
            match before {
                None => lost.push((start, next)),
                Some(b) if 2 * (next - b) >= 3 * t => lost.push((b + t, next)),
                Some(_) => {}
            }
            before = Some(next);
        }
        lost
    }

    fn outages(&self, pieces: &[Piece], start: i64, end: i64) -> Vec<Outage> {
        let judged: Vec<&Piece> = pieces
            .iter()
            .filter(|p| matches!(p.class, Class::Up | Class::Down))
            .collect();
        let mut found = Vec::new();
        let mut i = 0;
        while i < judged.len() {
            if judged[i].class == Class::Up {
                i += 1;
                continue;
            }
            let run = judged[i..].iter().take_while(|p| p.class == Class::Down).count();
            let (first, last) = (judged[i], judged[i + run - 1]);
            let up_follows = i + run < judged.len();
            // It lasts to the end, or to when somebody looked for the last time.
            let ongoing = !up_follows && (last.end == end || Some(last.end) == self.seen_until());
            let live_until_start =
                first.start == start && self.beats.iter().any(|b| b + self.device.live_for() == start);
            found.push(Outage {
                started_at: first.start,
                ended_at: (!ongoing).then_some(last.end),
                duration: judged[i..i + run].iter().map(|p| p.end - p.start).sum(),
                ongoing,
                began_before: i == 0 && !live_until_start,
                last_beat: self.beats.iter().copied().filter(|b| *b < first.start).max(),
            });
            i += run;
        }
        found
    }

    fn judge_consistency(&self, verdict: &mut Verdict, pieces: &[Piece], start: i64, end: i64) {
        let t = self.device.interval;
        let judged: Vec<&Piece> = pieces
            .iter()
            .filter(|p| matches!(p.class, Class::Up | Class::Down))
            .collect();
        let eligible = (verdict.times.up + verdict.times.down) as f64;
        if eligible > 0.0 {
            let lost: i64 = judged.iter().filter(|p| p.lost).map(|p| p.end - p.start).sum();
            let changes = judged.windows(2).filter(|pair| pair[0].class != pair[1].class).count();
            verdict.completeness = Some(1.0 - lost as f64 / eligible);
            verdict.stability = Some(1.0 - (changes as f64 * t as f64 / eligible).min(1.0));
        }
        let gaps: Vec<i64> = self
            .beats_in(start, end)
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        let is_on_time = |g: i64| 4 * g >= t && 2 * g < 3 * t;
        let on_time: Vec<f64> = gaps
            .iter()
            .copied()
            .filter(|g| is_on_time(*g))
            .map(|g| g as f64)
            .collect();
        if on_time.len() >= 3 {
            let n = on_time.len() as f64;
            let mean = on_time.iter().sum::<f64>() / n;
            let deviation = (on_time.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
            let r = deviation / mean;
            verdict.regularity = Some(((1.0 - r) / (1.0 + r)).clamp(0.0, 1.0));
        }
        let neighbours = gaps
            .windows(2)
            .filter(|pair| is_on_time(pair[0]) && is_on_time(pair[1]));
        let differences: Vec<f64> = neighbours.map(|pair| (pair[1] - pair[0]).abs() as f64 / 1e6).collect();
        if !differences.is_empty() {
            verdict.jitter = Some(differences.iter().sum::<f64>() / differences.len() as f64);
        }
        for pair in self.beats_in(start, end).windows(2) {
            let due = (1..)
                .map(|k| pair[0] + k * t)
                .take_while(|due| 2 * (pair[1] - due) >= t);
            verdict.missed += due
                .filter(|due| matches!(self.class(*due), Class::Up | Class::Down))
                .count() as i64;
        }
        let parts: Vec<f64> = [verdict.completeness, verdict.regularity, verdict.stability]
            .into_iter()
            .flatten()
            .collect();
        if !parts.is_empty() {
            verdict.consistency = Some(parts.iter().product::<f64>().powf(1.0 / parts.len() as f64));
        }
    }

    fn judge_communication(&self, verdict: &mut Verdict, start: i64, end: i64) {
        let of = |metric: &'static str| {
            let samples = self.device.samples.range((metric, start)..(metric, end));
            samples.map(|(key, value)| (key.1, *value)).collect::<Vec<(i64, f64)>>()
        };
        verdict.responses = of("response_time").into_iter().map(|s| s.1).collect();
        verdict.responses.sort_by(f64::total_cmp);
        let errors = of("error");
        verdict.attempts = errors.len() as i64;
        verdict.failed = errors.iter().filter(|e| e.1 != 0.0).count() as i64;
        let bytes: f64 = if self.world.bytes_is_counter {
            let counted = self
                .device
                .samples
                .range(("bytes", i64::MIN)..("bytes", start))
                .map(|s| s.0.1);
            let before = counted.max().map(|at| self.device.samples[&("bytes", at)]);
            let values: Vec<f64> = before.into_iter().chain(of("bytes").into_iter().map(|s| s.1)).collect();
            let increase = |pair: &[f64]| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] };
            values.windows(2).map(increase).sum()
        } else {
            of("bytes").into_iter().map(|s| s.1).sum()
        };
        let times = verdict.times;
        let required = (times.up + times.down + times.unknown) as f64 / 1e6;
        if required > 0.0 {
            verdict.bytes_per_second = Some(bytes / required);
            verdict.messages_per_second = Some(self.beats_in(start, end).len() as f64 / required);
        }
    }
}

impl Verdict {
    pub(crate) fn mtbf(&self) -> Option<f64> {
        (self.failures > 0).then(|| self.times.up as f64 / self.failures as f64)
    }

    pub(crate) fn mttr(&self) -> Option<f64> {
        (self.failures > 0).then(|| self.times.down as f64 / self.failures as f64)
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.responses.len();
        (n > 0).then(|| self.responses.iter().sum::<f64>() / n as f64)
    }

    /// The value at rank q(n − 1), rounded down.
    pub(crate) fn percentile(&self, q: f64) -> Option<f64> {
        let last = self.responses.len().checked_sub(1)?;
        Some(self.responses[(q * last as f64).floor() as usize])
    }

    /// Twice the Apdex score's numerator, exactly and at most (values up to a bin's width above a limit may be counted
    /// in), and its denominator.
    pub(crate) fn apdex_counts(&self, target: f64) -> (f64, f64, f64) {
        let total = self.responses.len() as f64 + self.failed as f64;
        let up_to = |limit: f64| self.responses.iter().filter(|ms| **ms <= limit).count() as f64;
        let counts = |widen: f64| up_to(target * widen) + up_to(4.0 * target * widen);
        (counts(1.0), counts(1.01 / 0.99 * (1.0 + 1e-9)), total)
    }

    /// The Apdex score, at least and at most.
    pub(crate) fn apdex(&self, target: f64) -> Option<(f64, f64)> {
        let (least, most, total) = self.apdex_counts(target);
        (total > 0.0).then(|| (least / 2.0 / total, most / 2.0 / total))
    }

    pub(crate) fn error_rate(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.failed as f64 / self.attempts as f64)
    }

    /// Wilson's interval as the roots of the quadratic it comes from: (p̂ − p)² = z² p (1 − p)/n.
    pub(crate) fn wilson(&self) -> Option<(f64, f64)> {
        if self.attempts == 0 {
            return None;
        }
        let (n, p, z) = (
            self.attempts as f64,
            self.failed as f64 / self.attempts as f64,
            1.959_963_984_540_054_f64,
        );
        let (a, b, c) = (1.0 + z * z / n, -(2.0 * p + z * z / n), p * p);
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        Some((((-b - root) / (2.0 * a)).max(0.0), ((-b + root) / (2.0 * a)).min(1.0)))
    }
}
