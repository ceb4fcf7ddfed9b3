//! A device's report: every KPI of one slot, from its evidence.

use crate::cadence::{Consistency, Expectation};
use crate::classes::{ClassTimes, Exemptions, Timeline};
use crate::error::{KpiError, Result};
use crate::evidence::Evidence;
use crate::heartbeats::default_liveness;
use crate::outages::{Availability, Outage, failures, outages};
use crate::rates::{error_rate, wilson_interval};
use crate::response::{ApdexCounts, ResponseSketch};
use crate::runs::{Judged, Runs, carry_in};
use crate::spans::Spans;
use crate::status::{StatusRules, StatusTimeline};
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

/// All that a report is made from, for one device.
#[derive(Debug)]
pub struct Dossier {
    /// The beats in order, without those that the evidence has in runs.
    pub beats: Vec<Instant>,
    /// What was gathered in slots; none where there was no sample at all.
    pub evidence: Option<Evidence>,
    /// Status samples, the last one before the window among them.
    pub statuses: StatusTimeline,
    /// Time that does not count.
    pub exempt: Exemptions,
    /// How to judge.
    pub settings: DeviceSettings,
}

/// The KPIs of one device in one slot.
#[derive(Debug, Clone)]
pub struct DeviceReport {
    /// The slot.
    pub window: Window,
    /// The four classes by heartbeats, and the outages.
    pub heartbeats: Availability,
    /// The four classes by status.
    pub status_times: ClassTimes,
    /// Whether a beat proves the device alive at the end of the slot.
    pub live: bool,
    /// Whether the device had to work at the end of the slot.
    pub required: bool,
    /// How consistently it was active.
    pub consistency: Consistency,
    /// Response times.
    pub responses: ResponseSketch,
    /// Counts behind the Apdex score, where there is a target.
    pub apdex: Option<ApdexCounts>,
    /// Communications tried.
    pub attempts: u64,
    /// Communications failed.
    pub failed: u64,
    /// Bytes transferred.
    pub bytes: Option<f64>,
    /// Distinct reports that came.
    pub messages: u64,
}

impl Dossier {
    /// Puts together what is known of a device. Runs of beats must have been made for these settings.
    pub fn new(
        evidence: Option<Evidence>,
        statuses: StatusTimeline,
        exempt: Exemptions,
        settings: DeviceSettings,
    ) -> Result<Self> {
        let runs = evidence.iter().flat_map(|e| e.runs());
        if runs.into_iter().any(|r| r.expect() != settings.expect) {
            return Err(KpiError::parameter(
                "evidence has runs of beats that were made for another expected_interval or liveness",
                "Gather it anew: iot_kpi.evidence_of() takes calculated periods for the settings that a device has.",
            ));
        }
        Ok(Self {
            beats: evidence.as_ref().map(|e| e.beats.to_vec()).unwrap_or_default(),
            evidence,
            statuses,
            exempt,
            settings,
        })
    }

    /// The four classes of a window, by heartbeats.
    pub fn timeline(&self, window: Window) -> Timeline {
        let (carry_in, beats) = self.beats_of(window);
        beats.judge(window, carry_in, &self.exempt).timeline
    }

    /// All beats of a window, which no period that was calculated may cross, and the last one before it.
    fn beats_of(&self, window: Window) -> (Option<Instant>, Runs) {
        let first = self.beats.partition_point(|b| *b < window.start);
        let after = first + self.beats[first..].partition_point(|b| *b < window.end);
        let mut last_before = self.beats[..first].last().copied();
        let mut rest = &self.beats[first..after];
        let mut all = Runs::new(self.settings.expect);
        let (before, not_before) = self.periods_before(window.start);
        last_before = last_before.max(before.last().and_then(|runs| Some(runs.bounds()?.1)));
        for runs in not_before {
            let Some((begin, _)) = runs.bounds().filter(|b| b.0 < window.end) else {
                break;
            };
            let (earlier, later) = rest.split_at(rest.partition_point(|b| *b < begin));
            earlier.iter().for_each(|b| all.beat(*b));
            all.append(runs);
            rest = later;
        }
        rest.iter().for_each(|b| all.beat(*b));
        (carry_in(last_before, window, self.settings.expect), all)
    }

    /// The runs of periods that have a beat before the instant, and those of the others.
    fn periods_before(&self, t: Instant) -> (&[Runs], &[Runs]) {
        let all = self.evidence.as_ref().map_or(&[][..], |e| e.runs());
        all.split_at(all.partition_point(|runs| runs.bounds().is_some_and(|b| b.0 < t)))
    }

    /// The outages of a window, by heartbeats, each with the last beat before it.
    pub fn outages(&self, window: Window, min_outage: Duration) -> Vec<Outage> {
        let (carry_in, beats) = self.beats_of(window);
        let Judged { live, timeline, .. } = beats.judge(window, carry_in, &self.exempt);
        let mut found = outages(&timeline, &live, min_outage);
        for outage in &mut found {
            outage.last_beat = self.last_beat_before(outage.started_at);
        }
        found
    }

    /// The last beat before an instant at which the device is not alive.
    fn last_beat_before(&self, t: Instant) -> Option<Instant> {
        let before = self.beats.partition_point(|b| *b < t);
        let single = before.checked_sub(1).map(|i| self.beats[i]);
        single.max(self.periods_before(t).0.last().and_then(|runs| runs.last_before(t)))
    }

    /// The time of a window in which no beat proves the device alive.
    pub fn silent(&self, window: Window) -> Spans {
        let (carry_in, beats) = self.beats_of(window);
        beats.live(carry_in).gaps(window)
    }

    /// Whether a beat proves the device alive at the instant.
    pub fn live_at(&self, t: Instant) -> bool {
        let after = self.beats.partition_point(|b| *b <= t);
        let single = after > 0 && t < self.beats[after - 1].saturating_add(self.settings.expect.liveness);
        let (until, _) = self.periods_before(t.saturating_add(1));
        single || until.last().is_some_and(|runs| runs.live_at(t))
    }

    /// The report of a slot; `slot` is its number in the evidence.
    pub fn report(&self, slot: usize, window: Window) -> Result<DeviceReport> {
        let (carry_in, beats) = self.beats_of(window);
        let Judged {
            live,
            timeline,
            consistency,
        } = beats.judge(window, carry_in, &self.exempt);
        let found = outages(&timeline, &live, 0);
        let communication = self.evidence.as_ref().and_then(|e| e.slots().get(slot));
        let responses = communication.map(|c| c.responses.clone()).unwrap_or_default();
        let (attempts, failed) = communication.map_or((0, 0), |c| (c.attempts, c.failed));
        let apdex = self
            .settings
            .response_target
            .map(|target| responses.apdex_counts(target, failed))
            .transpose()?;
        let counted_since = window.start.saturating_sub(self.settings.expect.look_back());
        Ok(DeviceReport {
            window,
            heartbeats: Availability {
                times: timeline.times(),
                failures: failures(&found),
                longest_outage: found.iter().map(|o| o.duration).max(),
            },
            status_times: self.statuses.times(window, self.settings.status, &self.exempt),
            live: self.live_at(window.end),
            required: !self.exempt.excluded.contains(window.end),
            consistency,
            responses,
            apdex,
            attempts,
            failed,
            bytes: self
                .evidence
                .as_ref()
                .map_or(Ok(None), |e| e.bytes_in(slot, counted_since))?,
            messages: beats.beats(),
        })
    }
}

impl DeviceReport {
    /// `up / (up + down)` by heartbeats.
    pub fn uptime(&self) -> Option<f64> {
        self.heartbeats.times.ratio()
    }

    /// `up / (up + down)` by status.
    pub fn availability(&self) -> Option<f64> {
        self.status_times.ratio()
    }

    /// Share of communications that failed.
    pub fn error_rate(&self) -> Result<Option<f64>> {
        error_rate(self.failed, self.attempts)
    }

    /// Its 95 % interval.
    pub fn error_interval(&self) -> Result<Option<(f64, f64)>> {
        wilson_interval(self.failed, self.attempts)
    }

    /// Bytes a second of required time.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.per_required_second(self.bytes.unwrap_or(0.0))
    }

    /// Reports a second of required time.
    pub fn messages_per_second(&self) -> Option<f64> {
        self.per_required_second(self.messages as f64)
    }

    fn per_required_second(&self, amount: f64) -> Option<f64> {
        let required = self.heartbeats.times.required();
        (required > 0).then(|| amount / seconds(required))
    }
}
