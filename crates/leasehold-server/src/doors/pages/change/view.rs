//! How the forms of a limit look.

use leasehold_engine::LimitView;
use maud::{Markup, html};

use crate::access::gate::PAGES;
use crate::doors::pages::convert::{Faults, is_typable};
use crate::doors::pages::form::Fields;
use crate::doors::pages::visitor::Visitor;
use crate::doors::pages::{frame, list, show};

/// What the fields of a form hold, and what they held when the browser was first shown them.
pub(super) struct Shown {
    pub(super) is_tag: bool,
    pub(super) name: String,
    slots: String,
    decay: String,
    active: bool,
    was: [String; 4],
}

impl Shown {
    /// A new limit, as far as the query or the form says what it is to be.
    pub(super) fn new(fields: &Fields) -> Self {
        Self {
            is_tag: fields.text("kind") == "tag",
            name: fields.text("name").to_owned(),
            slots: fields.text("slots").to_owned(),
            decay: fields.text("decay").to_owned(),
            active: fields.text("active") != "false",
            was: Default::default(),
        }
    }

    /// A limit as it is.
    pub(super) fn of(view: &LimitView) -> Self {
        let tag = view.limit.tag();
        let name = tag.unwrap_or(&view.limit.name);
        let name = if is_typable(name) { name.to_owned() } else { String::new() };
        let rate = view.limit.decay.as_slots_per_second();
        let decay = if view.limit.decay.is_none() { String::new() } else { rate.to_string() };
        let (slots, active) = (view.limit.slots.to_string(), view.limit.active);
        let was = [name.clone(), slots.clone(), decay.clone(), active.to_string()];
        Self { is_tag: tag.is_some(), name, slots, decay, active, was }
    }

    /// A limit as a form would have it, which is shown again.
    pub(super) fn again(fields: &Fields, view: &LimitView) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            is_tag: view.limit.tag().is_some(),
            name: text("name"),
            slots: text("slots"),
            decay: text("decay"),
            active: fields.text("active") == "true",
            was: ["name_was", "slots_was", "decay_was", "active_was"].map(text),
        }
    }
}

pub(super) fn new(visitor: &Visitor, shown: &Shown, faults: &Faults) -> Markup {
    let title = if shown.is_tag { "New tag limit" } else { "New limit" };
    let back = if shown.is_tag { "/leasehold/tags" } else { PAGES };
    html! {
        div.narrow {
            h1 { (title) }
            form.fields method="post" action={ (PAGES) "/new" } {
                (frame::token(visitor))
                @if shown.is_tag { input type="hidden" name="kind" value="tag"; }
                (fields(shown, faults, false, ""))
                div.actions {
                    button.primary type="submit" { "Create" }
                    a href=(back) { "Cancel" }
                }
            }
        }
    }
}

pub(super) fn edit(visitor: &Visitor, view: &LimitView, shown: &Shown, faults: &Faults) -> Markup {
    let limit = &view.limit;
    let path = list::path(limit.id);
    let name = limit.tag().unwrap_or(&limit.name);
    let hint = if is_typable(name) { "" } else { name };
    html! {
        div.narrow {
            h1 { "Edit " (show::name(name)) }
            p.muted { "Only what you change is sent. Leases stay." }
            form.fields method="post" action={ (path) "/edit" } {
                (frame::token(visitor))
                @for (name, value) in ["name", "slots", "decay", "active"].iter().zip(&shown.was) {
                    @if !(shown.is_tag && matches!(*name, "decay")) {
                        input type="hidden" name={ (name) "_was" } value=(value);
                    }
                }
                (fields(shown, faults, true, hint))
                div.actions {
                    button.primary type="submit" { "Save" }
                    a href=(path) { "Cancel" }
                }
            }
        }
    }
}

fn fields(shown: &Shown, faults: &Faults, is_edit: bool, keeps: &str) -> Markup {
    let label = if shown.is_tag { "Tag" } else { "Name" };
    let placeholder = if keeps.is_empty() {
        String::new()
    } else {
        format!("{} (stays if empty)", show::visible(keeps))
    };
    html! {
        (field(("name", label), faults, "", |described, invalid| html! {
            input #name name="name" value=(shown.name) required[keeps.is_empty()]
                placeholder=[(!placeholder.is_empty()).then_some(&placeholder)] maxlength="1000"
                autocomplete="off" autocapitalize="none" spellcheck="false"
                aria-describedby=[described] aria-invalid=[invalid];
        }))
        (field(("slots", "Slots"), faults, "How many may hold it at once.", |described, invalid| html! {
            input.short #slots name="slots" value=(shown.slots) required inputmode="numeric"
                autocomplete="off" aria-describedby=[described] aria-invalid=[invalid];
        }))
        @if !shown.is_tag {
            (field(("decay", "Slots that drain per second"), faults,
                "For a rate limit: taken slots come back by themselves at this rate. Empty: \
                 holders give them back.",
                |described, invalid| html! {
                    input.short #decay name="decay" value=(shown.decay) inputmode="decimal"
                        autocomplete="off" aria-describedby=[described] aria-invalid=[invalid];
                }))
        }
        @if is_edit || !shown.is_tag {
            fieldset {
                legend { "Active" }
                label { input type="radio" name="active" value="true" checked[shown.active];
                    " On" }
                label { input type="radio" name="active" value="false" checked[!shown.active];
                    " Off: it refuses nothing" }
            }
        }
    }
}

/// A field with its label, what it means, and what is wrong with it.
fn field(
    (name, label): (&str, &str),
    faults: &Faults,
    hint: &str,
    input: impl FnOnce(Option<String>, Option<&'static str>) -> Markup,
) -> Markup {
    let wrong = faults.of(name);
    let about = [
        wrong.map(|_| format!("{name}-wrong")),
        (!hint.is_empty()).then(|| format!("{name}-hint")),
    ];
    let described = about.into_iter().flatten().collect::<Vec<_>>().join(" ");
    html! {
        div.field {
            label for=(name) { (label) }
            (input((!described.is_empty()).then_some(described), wrong.map(|_| "true")))
            @if let Some(wrong) = wrong {
                p.wrong id={ (name) "-wrong" } role="alert" { (wrong) }
            }
            @if !hint.is_empty() { p.hint id={ (name) "-hint" } { (hint) } }
        }
    }
}

pub(super) fn reset(visitor: &Visitor, view: &LimitView) -> Markup {
    let limit = &view.limit;
    let path = list::path(limit.id);
    let unleased = view.unleased.slots_taken();
    html! {
        div.narrow {
            h1 { "Reset " (show::name(limit.tag().unwrap_or(&limit.name))) }
            p {
                "This frees " (show::count(view.taken, "taken slot")) ". "
                "Leases are revoked, and their holders learn it at their next renewal. "
                @if unleased > 0 { (show::count(unleased, "slot")) " of them no lease holds. " }
                "A holder that works on does so beside the next one."
            }
            form.fields method="post" action={ (path) "/reset" } {
                (frame::token(visitor))
                div.field {
                    label for="reason" { "Reason, for the holders and the log" }
                    input #reason name="reason" maxlength="500" autocomplete="off";
                }
                div.actions {
                    button.danger type="submit" { "Free all slots" }
                    a href=(path) { "Cancel" }
                }
            }
        }
    }
}

pub(super) fn delete(visitor: &Visitor, view: &LimitView, wrong: Option<&str>) -> Markup {
    let limit = &view.limit;
    let path = list::path(limit.id);
    let name = limit.tag().unwrap_or(&limit.name);
    html! {
        div.narrow {
            h1 { "Delete " (show::name(name)) }
            p {
                "Clients that ask for it are no longer limited. "
                @if view.taken > 0 { "Its " (show::count(view.taken, "taken slot")) " are lost." }
                @if view.waiting > 0 {
                    " " (show::count(view.waiting as u64, "waiting request")) " run at once."
                }
            }
            form.fields method="post" action={ (path) "/delete" } {
                (frame::token(visitor))
                div.field {
                    label for="name" { "Type its name to confirm: " b { (show::name(name)) } }
                    input #name name="name" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" aria-describedby=[wrong.map(|_| "name-wrong")]
                        aria-invalid=[wrong.map(|_| "true")];
                    @if let Some(wrong) = wrong {
                        p.wrong #name-wrong role="alert" { (wrong) }
                    }
                }
                div.actions {
                    button.danger type="submit" { "Delete" }
                    a href=(path) { "Cancel" }
                }
            }
        }
    }
}
