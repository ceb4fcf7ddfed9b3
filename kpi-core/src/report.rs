//! A device's report: every KPI of one slot, from its evidence.

use crate::cadence::{Consistency, Expectation, Judged, WindowBeats, judge_beats};
use crate::classes::{ClassTimes, Exemptions, Timeline};
use crate::error::Result;
use crate::evidence::Evidence;
use crate::heartbeats::default_liveness;
use crate::outages::{Availability, Outage, failures, outages};
use crate::rates::{error_rate, wilson_interval};
use crate::response::{ApdexCounts, ResponseSketch};
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
    /// The beats in order.
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
    /// The four classes of a window, by heartbeats.
    pub fn timeline(&self, window: Window) -> Timeline {
        self.judge(window).timeline
    }

    fn judge(&self, window: Window) -> Judged {
        judge_beats(&self.beats, window, self.settings.expect, &self.exempt)
    }

    /// The outages of a window, by heartbeats, each with the last beat before it.
    pub fn outages(&self, window: Window, min_outage: Duration) -> Vec<Outage> {
        let Judged { live, timeline, .. } = self.judge(window);
        let mut found = outages(&timeline, &live, min_outage);
        for outage in &mut found {
            let before = self.beats.partition_point(|b| *b < outage.started_at);
            outage.last_beat = before.checked_sub(1).map(|i| self.beats[i]);
        }
        found
    }

    /// The time of a window in which no beat proves the device alive.
    pub fn silent(&self, window: Window) -> Spans {
        let expect = self.settings.expect;
        let beats = WindowBeats::cut(&self.beats, window, expect.look_back());
        beats.live(expect.liveness).gaps(window)
    }

    /// Whether a beat proves the device alive at the instant.
    pub fn live_at(&self, t: Instant) -> bool {
        let after = self.beats.partition_point(|b| *b <= t);
        after > 0 && t < self.beats[after - 1].saturating_add(self.settings.expect.liveness)
    }

    /// The report of a slot; `slot` is its number in the evidence.
    pub fn report(&self, slot: usize, window: Window) -> Result<DeviceReport> {
        let Judged {
            live,
            timeline,
            consistency,
        } = self.judge(window);
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
        let first = self.beats.partition_point(|b| *b < window.start);
        let after = self.beats.partition_point(|b| *b < window.end);
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
            messages: (after - first) as u64,
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
