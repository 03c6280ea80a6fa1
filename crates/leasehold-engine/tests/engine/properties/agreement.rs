//! The engine agrees with a naive model, with itself, and with what a journal loads.

use leasehold_engine::{Command, Gone, LeaseId, Ledger, LimitPatch, LimitRef, Outcome, Query};
use leasehold_journal::{Journal, MemoryJournal};
use proptest::prelude::*;

use super::model::Model;
use super::story::{START, by_all, by_all_with_notes, limits, opening, story};
use super::{in_words, picture};

proptest! {
    #[test]
    fn the_ledger_agrees_with_a_naive_model(events in story(by_all_with_notes())) {
        let mut ledger = opening();
        let mut model = Model::new(START);
        for command in limits() {
            model.step(&command, START);
        }
        for event in events {
            let now = event.pace.time(&ledger);
            let expected = model.step(&event.command, now.as_micros());
            let outcome = ledger.step(event.command.clone(), now).outcome;
            prop_assert_eq!(in_words(&outcome), expected, "{:?} at {:?}", event.command, now);
            prop_assert_eq!(picture(&mut ledger), model.picture(), "after {:?}", event.command);
        }
    }

    #[test]
    fn the_same_commands_make_the_same_ledger(events in story(by_all_with_notes())) {
        let (mut one, mut two) = (opening(), opening());
        for event in events {
            let now = event.pace.time(&one);
            let step = one.step(event.command.clone(), now);
            let again = two.step(event.command, now);
            prop_assert_eq!(step.outcome, again.outcome);
            prop_assert_eq!(step.expired, again.expired);
        }
        prop_assert_eq!(one.take_changes(), two.take_changes());
        prop_assert_eq!(one.snapshot(), two.snapshot());
    }

    #[test]
    fn saving_and_loading_changes_nothing_at_any_point(
        events in story(by_all()),
        loads in any::<u64>(),
    ) {
        let (mut kept, mut loaded) = (opening(), opening());
        let mut journal = MemoryJournal::default();
        for (nth, event) in events.into_iter().enumerate() {
            let now = event.pace.time(&kept);
            let outcome = kept.step(event.command.clone(), now).outcome;
            prop_assert_eq!(outcome, loaded.step(event.command, now).outcome);
            prop_assert_eq!(kept.snapshot(), loaded.snapshot());
            // Often a commit, and now and then a restart after it.
            if loads & (1 << (nth % 64)) != 0 {
                journal.commit(&loaded.take_changes()).unwrap();
                prop_assert_eq!(journal.load().unwrap(), kept.snapshot());
            }
            if loads & (1 << (nth * 7 % 64)) != 0 {
                journal.commit(&loaded.take_changes()).unwrap();
                loaded = Ledger::restore(journal.load().unwrap(), loaded.now());
                prop_assert_eq!(picture(&mut loaded), picture(&mut kept));
            }
        }
    }

    #[test]
    fn looking_waiting_and_editing_without_changes_change_nothing(
        events in story(by_all()),
        noise in any::<u64>(),
        late in 0..2_000_000_i64,
    ) {
        let (mut quiet, mut noisy) = (opening(), opening());
        for (nth, event) in events.into_iter().enumerate() {
            let now = event.pace.time(&quiet);
            if noise & (1 << (nth % 64)) != 0 {
                let before = quiet.now().as_micros();
                // Somewhere between the last event and this one.
                let gap = (now.as_micros() - before).max(1);
                let between = leasehold_engine::Timestamp::from_micros(before + late % gap);
                let limit = LimitRef::Name("r".into());
                let patch = LimitPatch::default();
                noisy.step(Command::Tick, between);
                noisy.step(Command::Read(Query::Lease(LeaseId(1))), between);
                noisy.step(Command::UpdateLimit { limit, patch }, between);
                let gone = noisy.step(Command::Release { lease: LeaseId(99) }, between).outcome;
                prop_assert_eq!(gone, Outcome::Ended(Err(Gone(None))));
            }
            let expected = quiet.step(event.command.clone(), now).outcome;
            let outcome = noisy.step(event.command.clone(), now).outcome;
            prop_assert_eq!(in_words(&outcome), in_words(&expected), "{:?}", event.command);
            prop_assert_eq!(picture(&mut noisy), picture(&mut quiet));
        }
    }
}
