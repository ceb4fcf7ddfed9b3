//! A device's report: every KPI of its slots, from its evidence.

use std::cell::OnceCell;

use crate::cadence::{Consistency, Expectation};
use crate::classes::{Class, ClassTimes, Exemptions, Timeline};
use crate::error::{KpiError, Result};
use crate::evidence::{Communication, Evidence};
use crate::heartbeats::default_liveness;
use crate::interrupts::interruptible;
use crate::outages::{Availability, Outage, failures, outages};
use crate::rates::{error_rate, wilson_interval};
use crate::response::{ApdexCounts, ResponseSketch};
use crate::runs::{Judged, Runs};
use crate::silence::Hearing;
use crate::spans::Spans;
use crate::status::{StatusHistory, StatusRules, StatusTimeline};
use crate::time::{Duration, Instant, Window, check_duration, seconds};

/// What is known of a device beside its evidence.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSettings {
    /// How its beats are judged.
    pub expect: Expectation,
    /// Its response-time target in milliseconds.
    pub response_target: Option<f64>,
    /// How its status samples are read.
    pub status: StatusRules,
}

impl DeviceSettings {
    /// Validates settings; liveness defaults to three expected intervals.
    pub fn new(
        interval: Duration,
        liveness: Option<Duration>,
        response_target: Option<f64>,
        status: StatusRules,
    ) -> Result<Self> {
        check_duration("expected_interval", interval)?;
        let liveness = liveness.map_or_else(|| default_liveness(interval), Ok)?;
        check_duration("liveness", liveness)?;
        status.ttl.map_or(Ok(0), |ttl| check_duration("status_ttl", ttl))?;
        Ok(Self {
            expect: Expectation { interval, liveness },
            response_target,
            status,
        })
    }
}

/// What is known of a device and its collector beyond the time that the evidence is of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around {
    /// The last beat before all of the evidence; none where there is none, or one in the evidence proves as much.
    pub beat_before: Option<Instant>,
    /// The last beat of the collector, where that is alive: nobody has looked yet from then on.
    pub seen_until: Option<Instant>,
}

/// All that a report is made from, for one device.
#[derive(Debug)]
pub struct Dossier {
    /// The beats in order, without those that are in runs.
    beats: Vec<Instant>,
    /// Beats of periods that were calculated, in the order of time.
    runs: Vec<Runs>,
    /// What else was gathered, in slots; none where there was no sample at all.
    evidence: Option<Evidence>,
    /// The byte counter's last sample before each slot, once it is asked for.
    counters: OnceCell<Vec<Option<(Instant, f64)>>>,
    /// Status samples, the last one before the window among them.
    pub statuses: StatusHistory,
    /// Time that does not count.
    pub exempt: Exemptions,
    /// When the device could be heard.
    hearing: Hearing,
    /// Of the time that does not count, that of which no status sample tells either.
    untold: OnceCell<Exemptions>,
    /// What is known from before the evidence, and after it.
    pub around: Around,
    /// How to judge.
    pub settings: DeviceSettings,
}

impl Dossier {
    /// Puts together what is known of a device. Runs of beats must have been made for these settings.
    pub fn new(
        mut evidence: Option<Evidence>,
        statuses: StatusTimeline,
        exempt: Exemptions,
        settings: DeviceSettings,
    ) -> Result<Self> {
        let (beats, runs) = evidence.as_mut().map(Evidence::take_beats).unwrap_or_default();
        if runs.iter().any(|r| r.expect() != settings.expect) {
            return Err(KpiError::parameter(
                "evidence has runs of beats that were made for another expected_interval or liveness",
                "Gather it anew: iot_kpi.evidence_of() takes calculated periods for the settings that a device has.",
            ));
        }
        Ok(Self {
            beats,
            runs,
            evidence,
            counters: OnceCell::new(),
            statuses: statuses.history(),
            hearing: Hearing::of(&exempt),
            untold: OnceCell::new(),
            exempt,
            settings,
            around: Around::default(),
        })
    }

    /// The four classes of a window, by heartbeats.
    pub fn timeline(&self, window: Window) -> Timeline {
        self.judge(window).timeline
    }

    fn judge(&self, window: Window) -> Judged {
        let (before, beats) = self.beats_of(window);
        beats.judge(window, before, &self.exempt, &self.hearing)
    }

    /// All beats of a window, which no period that was calculated may cross, and the last one before it.
    fn beats_of(&self, window: Window) -> (Option<Instant>, Runs) {
        let first = self.beats.partition_point(|b| *b < window.start);
        let after = first + self.beats[first..].partition_point(|b| *b < window.end);
        let mut last_before = self.beats[..first].last().copied().max(self.around.beat_before);
        let mut rest = &self.beats[first..after];
        let mut all = Runs::new(self.settings.expect);
        let (before, not_before) = self.periods_before(window.start);
        last_before = last_before.max(before.last().and_then(|runs| Some(runs.bounds()?.1)));
        for runs in not_before {
            let Some((begin, _)) = runs.bounds().filter(|b| b.0 < window.end) else {
                break;
            };
            let (earlier, later) = rest.split_at(rest.partition_point(|b| *b < begin));
            all.add(earlier);
            all.append(runs);
            rest = later;
        }
        all.add(rest);
        (last_before, all)
    }

    /// The runs of periods that have a beat before the instant, and those of the others.
    fn periods_before(&self, t: Instant) -> (&[Runs], &[Runs]) {
        self.runs
            .split_at(self.runs.partition_point(|runs| runs.bounds().is_some_and(|b| b.0 < t)))
    }

    /// The outages of a window, by heartbeats, each with the last beat before it.
    pub fn outages(&self, window: Window, min_outage: Duration) -> Vec<Outage> {
        let Judged { live, timeline } = self.judge(window);
        let mut found = outages(&timeline, &live, min_outage);
        for outage in interruptible(&mut found) {
            outage.last_beat = self.last_beat_before(outage.started_at);
        }
        // One that lasted until somebody looked for the last time goes on, as far as anybody knows.
        let is_down = timeline
            .judged()
            .next_back()
            .is_some_and(|stretch| stretch.class == Class::Down);
        if let Some(last) = found.last_mut().filter(|_| is_down)
            && last.ended_at.is_some_and(|end| Some(end) == self.around.seen_until)
        {
            (last.ended_at, last.ongoing) = (None, true);
        }
        found
    }

    /// The last beat before an instant at which the device is not alive.
    fn last_beat_before(&self, t: Instant) -> Option<Instant> {
        let before = self.beats.partition_point(|b| *b < t);
        let single = before
            .checked_sub(1)
            .map(|i| self.beats[i])
            .max(self.around.beat_before);
        single.max(self.periods_before(t).0.last().and_then(|runs| runs.last_before(t)))
    }

    /// The time of a window in which no beat proves the device alive.
    pub fn silent(&self, window: Window) -> Spans {
        let (before, beats) = self.beats_of(window);
        beats.live(before).gaps(window)
    }

    /// The time of a window that does not lie between two of these beats, no further apart than a liveness: what of it is
    /// unobserved, where they are a collector's.
    pub fn unobserved(&self, window: Window) -> Spans {
        let (before, beats) = self.beats_of(Window {
            start: window.start,
            end: Instant::MAX,
        });
        beats.observed(before).gaps(window)
    }

    /// Whether a beat proves the device alive at an instant.
    fn live_at(&self, t: Instant) -> bool {
        let (before, beats) = self.beats_of(Window {
            start: t,
            end: t.saturating_add(1),
        });
        beats.live(before).contains(t)
    }

    /// The class at an instant up to which the beats are known. One of which nobody has looked yet is judged as the last one
    /// was at which somebody did.
    pub fn class_at(&self, t: Instant) -> Class {
        let at = |t: Instant| {
            let end = t.saturating_add(1);
            self.timeline(Window { start: t, end }).stretches()[0].class
        };
        match self.around.seen_until.filter(|seen| *seen <= t) {
            Some(seen) if at(t) == Class::Unknown => match at(seen.saturating_sub(1)) {
                class @ (Class::Up | Class::Down) => class,
                _ => Class::Unknown,
            },
            _ => at(t),
        }
    }

    /// What does not count for the status: in time that nobody observed a device may have told it all the same.
    pub fn untold(&self) -> &Exemptions {
        self.untold.get_or_init(|| Exemptions {
            excluded: self.exempt.excluded.clone(),
            unknown: self.statuses.untold(&self.exempt.unknown),
        })
    }

    /// The report of a slot; `slot` is its number in the evidence.
    pub fn report(&self, slot: usize, window: Window) -> SlotReport<'_> {
        SlotReport {
            dossier: self,
            slot,
            window,
            communication: self.evidence.as_ref().and_then(|e| e.slot(slot)),
            beats: OnceCell::new(),
            class_at_end: OnceCell::new(),
            consistency: OnceCell::new(),
            status_times: OnceCell::new(),
        }
    }

    /// The byte counter's last sample before a slot.
    fn counter_before(&self, slot: usize) -> Option<(Instant, f64)> {
        let evidence = self.evidence.as_ref()?;
        let counters = self.counters.get_or_init(|| evidence.counters_before());
        counters.get(slot).copied().flatten()
    }
}

/// The KPIs of one device in one slot. Each is computed when it is asked for, and what several are made from only once.
#[derive(Debug)]
pub struct SlotReport<'a> {
    dossier: &'a Dossier,
    slot: usize,
    window: Window,
    communication: Option<&'a Communication>,
    beats: OnceCell<Beats>,
    class_at_end: OnceCell<Class>,
    consistency: OnceCell<Consistency>,
    status_times: OnceCell<ClassTimes>,
}

/// What the beats of a slot tell.
#[derive(Debug)]
struct Beats {
    before: Option<Instant>,
    runs: Runs,
    timeline: Timeline,
    availability: Availability,
}

impl SlotReport<'_> {
    /// The slot.
    pub fn window(&self) -> Window {
        self.window
    }

    fn beats(&self) -> &Beats {
        self.beats.get_or_init(|| {
            let Dossier { exempt, hearing, .. } = self.dossier;
            let (before, runs) = self.dossier.beats_of(self.window);
            let Judged { live, timeline } = runs.judge(self.window, before, exempt, hearing);
            let found = outages(&timeline, &live, 0);
            let availability = Availability {
                times: timeline.times(),
                failures: failures(&found),
                longest_outage: found.iter().map(|o| o.duration).max(),
            };
            Beats {
                before,
                runs,
                timeline,
                availability,
            }
        })
    }

    /// The four classes by heartbeats, and the outages.
    pub fn heartbeats(&self) -> &Availability {
        &self.beats().availability
    }

    /// How consistently the device was active.
    pub fn consistency(&self) -> &Consistency {
        self.consistency.get_or_init(|| {
            let Beats {
                before, runs, timeline, ..
            } = self.beats();
            runs.consistency(self.window, *before, timeline)
        })
    }

    /// The four classes by status.
    pub fn status_times(&self) -> &ClassTimes {
        let Dossier { statuses, settings, .. } = self.dossier;
        self.status_times.get_or_init(|| {
            let exempt = self.dossier.untold().clip(self.window);
            statuses.times(self.window, settings.status, &exempt)
        })
    }

    /// The class at the end of the slot.
    pub fn class_at_end(&self) -> Class {
        *self.class_at_end.get_or_init(|| self.dossier.class_at(self.window.end))
    }

    /// Whether the device is alive at the end of the slot, required or not.
    pub fn live(&self) -> bool {
        match self.class_at_end() {
            Class::Up => true,
            Class::Excluded => self.dossier.live_at(self.window.end),
            Class::Down | Class::Unknown => false,
        }
    }

    /// `up / (up + down)` by heartbeats.
    pub fn uptime(&self) -> Option<f64> {
        self.heartbeats().times.ratio()
    }

    /// `up / (up + down)` by status.
    pub fn availability(&self) -> Option<f64> {
        self.status_times().ratio()
    }

    /// Response times; none where there is none.
    pub fn responses(&self) -> Option<&ResponseSketch> {
        self.communication.map(|c| &c.responses)
    }

    /// A percentile of the response times.
    pub fn percentile(&self, q: f64) -> Result<Option<f64>> {
        self.responses().map_or(Ok(None), |r| r.percentile(q))
    }

    /// Counts behind the Apdex score, where there is a target.
    pub fn apdex(&self) -> Result<Option<ApdexCounts>> {
        let Some(target) = self.dossier.settings.response_target else {
            return Ok(None);
        };
        match self.responses() {
            Some(responses) => responses.apdex_counts(target, self.failed()),
            None => ResponseSketch::default().apdex_counts(target, 0),
        }
        .map(Some)
    }

    /// Communications tried.
    pub fn attempts(&self) -> u64 {
        self.communication.map_or(0, |c| c.attempts)
    }

    /// Communications failed.
    pub fn failed(&self) -> u64 {
        self.communication.map_or(0, |c| c.failed)
    }

    /// Share of communications that failed.
    pub fn error_rate(&self) -> Result<Option<f64>> {
        error_rate(self.failed(), self.attempts())
    }

    /// Its 95 % interval.
    pub fn error_interval(&self) -> Result<Option<(f64, f64)>> {
        wilson_interval(self.failed(), self.attempts())
    }

    /// Bytes transferred; none where they are beyond the largest float. A counter's first increase counts from its last sample
    /// before the slot, however long before: so slots add up to the whole.
    pub fn bytes(&self) -> Option<f64> {
        let Some(communication) = self.communication else {
            return Some(0.0);
        };
        communication.bytes.total_since(self.dossier.counter_before(self.slot))
    }

    /// Distinct reports that came.
    pub fn messages(&self) -> u64 {
        self.beats().runs.beats()
    }

    /// Bytes a second of required time; none where they, or this, are beyond the largest float.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.per_required_second(self.bytes()?)
    }

    /// Reports a second of required time.
    pub fn messages_per_second(&self) -> Option<f64> {
        self.per_required_second(self.messages() as f64)
    }

    fn per_required_second(&self, amount: f64) -> Option<f64> {
        let required = self.heartbeats().times.required();
        let rate = amount / seconds(required);
        (required > 0 && rate.is_finite()).then_some(rate)
    }
}

#[cfg(test)]
mod tests;
