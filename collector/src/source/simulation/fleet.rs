//! The simulated devices, and where they are.

use crate::pipeline::batch::Name;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A temperature sensor.
    Temperature,
    /// A humidity monitor.
    Humidity,
    /// A motion detector.
    Motion,
    /// An air quality monitor.
    AirQuality,
    /// A smart camera.
    Camera,
}

/// Every kind, in the order in which a fleet is filled.
pub const KINDS: [Kind; 5] = [
    Kind::Temperature,
    Kind::Humidity,
    Kind::Motion,
    Kind::AirQuality,
    Kind::Camera,
];

impl Kind {
    /// `device_type` in the database.
    pub fn device_type(self) -> &'static str {
        match self {
            Kind::Temperature => "temperature",
            Kind::Humidity => "humidity",
            Kind::Motion => "motion",
            Kind::AirQuality => "air_quality",
            Kind::Camera => "camera",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Temperature => "TEMP",
            Kind::Humidity => "HUMID",
            Kind::Motion => "MOTION",
            Kind::AirQuality => "AIR",
            Kind::Camera => "CAM",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Temperature => "Temperature Sensor",
            Kind::Humidity => "Humidity Monitor",
            Kind::Motion => "Motion Detector",
            Kind::AirQuality => "Air Quality Monitor",
            Kind::Camera => "Smart Camera",
        }
    }

    /// The building of the first device of its kind, as a letter's number, and the spot in every building.
    fn site(self) -> (u8, &'static str) {
        match self {
            Kind::Temperature => (0, "Floor 1"),
            Kind::Humidity => (0, "Floor 2"),
            Kind::Motion => (1, "Entrance"),
            Kind::AirQuality => (0, "Lobby"),
            Kind::Camera => (1, "Parking"),
        }
    }
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// As it names itself: `TEMP_001`.
    pub id: Name,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub location: String,
}

impl Device {
    fn numbered(kind: Kind, number: usize) -> Self {
        let (building, spot) = kind.site();
        let letter = char::from(b'A' + ((usize::from(building) + number - 1) % 26) as u8);
        let title = kind.title();
        Device {
            id: format!("{}_{number:03}", kind.prefix()).into(),
            name: if number == 1 {
                title.to_owned()
            } else {
                format!("{title} {number}")
            },
            kind,
            location: format!("Building {letter} - {spot}"),
        }
    }
}

/// The simulated devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// In the order of their numbers.
    pub devices: Vec<Device>,
}

impl Fleet {
    /// A fleet of `count` devices: the five kinds in turn, numbered on.
    pub fn new(count: usize) -> Self {
        Self::after(0, count)
    }

    /// As [`Fleet::new`], without the first `skipped`.
    pub fn after(skipped: usize, count: usize) -> Self {
        let devices = (skipped..skipped + count).map(|i| Device::numbered(KINDS[i % KINDS.len()], i / KINDS.len() + 1));
        Fleet {
            devices: devices.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_devices_and_their_places() {
        let fleet = Fleet::new(5);
        let seen: Vec<_> = fleet
            .devices
            .iter()
            .map(|d| (&*d.id, &*d.name, d.kind.device_type(), &*d.location))
            .collect();
        assert_eq!(
            seen,
            [
                ("TEMP_001", "Temperature Sensor", "temperature", "Building A - Floor 1"),
                ("HUMID_001", "Humidity Monitor", "humidity", "Building A - Floor 2"),
                ("MOTION_001", "Motion Detector", "motion", "Building B - Entrance"),
                ("AIR_001", "Air Quality Monitor", "air_quality", "Building A - Lobby"),
                ("CAM_001", "Smart Camera", "camera", "Building B - Parking"),
            ]
        );
    }

    #[test]
    fn a_larger_fleet_numbers_on_without_twins() {
        let fleet = Fleet::new(10_000);
        let ids: std::collections::HashSet<_> = fleet.devices.iter().map(|d| d.id.clone()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_eq!(&*fleet.devices[5].id, "TEMP_002");
        assert_eq!(&*fleet.devices[9_999].id, "CAM_2000");
        assert_eq!(fleet.devices[..5], Fleet::new(5).devices);
        assert_eq!(fleet.devices[14..21], Fleet::after(14, 7).devices);
    }
}
