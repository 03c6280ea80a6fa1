//! How the model looks on a terminal of any size.

use leasehold_api::leases::Waiter;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};

use super::model::{self, Model};
use crate::commands::slots::holder_name;
use crate::commands::who::who;
use crate::duration;
use crate::output::plain;
use crate::time;

const NUMBER: Constraint = Constraint::Length(11);
const BAR: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let parts =
        [Constraint::Length(1), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)];
    let [head, limits, detail, foot] = Layout::vertical(parts).areas(frame.area());
    draw_head(frame, head, model);
    draw_limits(frame, limits, model);
    draw_detail(frame, detail, model);
    frame.render_widget("up/down select   space stop   q end", foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let line = match (&model.trouble, model.is_stopped) {
        (Some(trouble), _) => Line::styled(plain(trouble), Style::new().fg(Color::Red)),
        (None, true) => Line::styled("stopped", Style::new().fg(Color::Yellow)),
        (None, false) => {
            let full = model.rows.iter().filter(|row| row.fullness() >= 1.0).count();
            let waiting: usize = model.rows.iter().filter_map(|row| row.waiting).sum();
            let limits = model.rows.len();
            let url = plain(&model.url);
            Line::from(format!("{url}   limits {limits}, full {full}, waiting {waiting}"))
        }
    };
    frame.render_widget(line, area);
}

fn draw_limits(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = model.rows.iter().map(|row| {
        let limit = &row.limit;
        let taken = format!("{}/{}", limit.active_slots, limit.limit);
        let waiting = row.waiting.map_or_else(String::new, |count| count.to_string());
        let decay = match limit.slot_decay_per_second {
            decay if decay > 0.0 => format!("{decay}/s"),
            _ => String::new(),
        };
        let name = plain(&limit.name).into_owned();
        let style =
            if limit.active { colour_of(row) } else { Style::new().add_modifier(Modifier::DIM) };
        Row::new([name, taken, bar(row), waiting, decay]).style(style)
    });
    let widths = [
        Constraint::Fill(1),
        NUMBER,
        Constraint::Length(BAR as u16),
        Constraint::Length(7),
        NUMBER,
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(["LIMIT", "TAKEN", "", "WAITING", "DRAINS"]).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(Some(model.at));
    frame.render_stateful_widget(table, area, &mut state);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn colour_of(row: &model::Row) -> Style {
    match row.fullness() {
        full if full >= 1.0 && row.waiting.unwrap_or(0) > 0 => Style::new().fg(Color::Red),
        full if full >= 1.0 => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

/// How full it is. A look without colours sees it too.
fn bar(row: &model::Row) -> String {
    if !row.limit.active {
        return "inactive".to_owned();
    }
    let full = (row.fullness().min(1.0) * BAR as f64).round() as usize;
    format!("{}{}", "#".repeat(full), ".".repeat(BAR - full))
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let [held, waiting] =
        Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(area);
    let Some(detail) = &model.detail else {
        let none = if model.rows.is_empty() { "no limits yet: `leasehold gcl create`" } else { "" };
        frame.render_widget(Paragraph::new(none).block(titled("")), area);
        return;
    };
    let holders = detail.holders.iter().map(|holder| {
        let since = holder.created.map(time::ago).unwrap_or_default();
        let who = format!("{}x {}", holder.slots, plain(&holder_name(holder)));
        Line::from(vec![Span::raw(format!("{since:<12} ")), Span::raw(who)])
    });
    let title = format!("{} is held by", plain(&detail.name));
    let list = Paragraph::new(holders.collect::<Vec<_>>()).block(titled(&title));
    frame.render_widget(list, held);
    let waiters: Vec<_> = detail.waiters.iter().map(waiter).collect();
    frame.render_widget(Paragraph::new(waiters).block(titled("waiting for it")), waiting);
}

fn waiter(waiter: &Waiter) -> Line<'static> {
    let who = who(waiter.holder.as_ref(), waiter.origin.as_ref());
    let age = std::time::Duration::try_from_secs_f64(waiter.age_seconds).unwrap_or_default();
    let stuck = if waiter.stuck.is_empty() { "" } else { " (in vain)" };
    let place = waiter.position;
    Line::from(format!("{place:>3} {:<8}{}{stuck}", duration::show(age), plain(&who)))
}

fn titled(title: &str) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(Line::styled(title.to_owned(), bold()))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;
    use crate::commands::top::model::{Detail, Row};

    const ID: &str = "e132a953-0824-4c81-b5d7-61c3ef6c3bb0";

    fn row(name: &str, taken: u64, waiting: Option<usize>) -> Row {
        let limit = json!({
            "id": ID, "created": null, "updated": null, "active": taken < 9, "name": name,
            "limit": 2, "active_slots": taken, "slot_decay_per_second": 0.5,
        });
        let limit = serde_json::from_value(limit).unwrap_or_else(|error| panic!("{error}"));
        Row { limit, waiting }
    }

    fn shown(model: &Model) -> String {
        let backend = TestBackend::new(80, 16);
        let mut terminal = Terminal::new(backend).unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = terminal.draw(|frame| draw(frame, model)) {
            panic!("{error}");
        }
        terminal.backend().to_string()
    }

    #[test]
    fn names_from_outside_do_nothing_to_the_terminal_and_all_fits() {
        let mut model = Model::new("http://127.0.0.1:4200/api");
        model.rows = vec![row("db\u{1b}[2J", 2, Some(3)), row("off", 9, None)];
        let holder = json!({
            "id": ID, "slots": 2, "holder": {"type": "process", "id": "web-1:4242"}, "labels": {},
            "origin": null, "created": "2026-11-20T21:02:56.121815Z", "deadline": null,
            "fencing_token": 7, "limits": [], "without_lease": null,
        });
        let holder = serde_json::from_value(holder).unwrap_or_else(|error| panic!("{error}"));
        let name = "db".to_owned();
        model.detail = Some(Detail { name, holders: vec![holder], waiters: Vec::new() });
        let text = shown(&model);
        assert!(text.contains("limits 2, full 1, waiting 3"), "{text}");
        assert!(text.contains(r"db\u{1b}[2J") && text.contains("##########"), "{text}");
        assert!(text.contains("inactive") && text.contains("2x process web-1:4242"), "{text}");
        model.trouble = Some("cannot reach it".to_owned());
        assert!(shown(&model).contains("cannot reach it"));
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_on() {
        let model = Model::new("http://127.0.0.1:4200/api");
        for (width, height) in [(1, 1), (3, 2), (20, 5), (300, 100)] {
            let backend = TestBackend::new(width, height);
            let mut terminal = Terminal::new(backend).unwrap_or_else(|error| panic!("{error}"));
            assert!(terminal.draw(|frame| draw(frame, &model)).is_ok());
        }
    }
}
