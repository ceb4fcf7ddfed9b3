//! `resend`: rows that the store has refused, once more.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::pipeline::dead_letters::{self, Content};
use crate::runtime::shutdown::Shutdown;
use crate::settings::{Resend, Settings};
use crate::sink::ingest::{Ingest, Receipt};
use crate::sink::registry;
use std::io::Write;

pub(crate) async fn run(settings: &Settings, wanted: &Resend) -> Result<(), Error> {
    let mut shutdown = Shutdown::on_signals()?;
    let common = &settings.common;
    let Content { rows, strangers } = dead_letters::read(&wanted.file)?;
    for (line, problem) in &strangers {
        tracing::error!(file = %wanted.file.display(), line, problem, "is no dead letter and is passed over");
    }
    let target = Target::from_settings(settings)?;
    let client = target.connect_within(common.wait, &mut shutdown).await?;
    registry::ensure(&client, &target, false).await?;
    let ingest = Ingest::open(client).await?;
    let mut all = Batch::default();
    rows.into_iter().for_each(|row| all.append(row));
    let (sent, mut receipt) = (all.len(), Receipt::default());
    for batch in all.split(common.batch as usize) {
        receipt.add(ingest.write_again(&batch).await?);
    }
    print(&receipt);
    let Receipt {
        stored,
        duplicates,
        conflicts,
        refused,
        ..
    } = receipt;
    tracing::info!(sent, stored, duplicates, conflicts, refused, "sent again");
    match refused as usize + strangers.len() {
        0 => Ok(()),
        still => Err(Error::StillRefused {
            file: wanted.file.clone(),
            still,
        }),
    }
}

/// Those that are refused again, as they would stand in the file.
fn print(receipt: &Receipt) {
    let mut out = std::io::stdout().lock();
    for letter in &receipt.letters {
        // A reader that went away (`| head`) has seen enough.
        if writeln!(out, "{}", letter.line()).is_err() {
            return;
        }
    }
}
