//! A page of an answer: lines that are complete, so that `--watch` can draw it again in place.

use std::io::{IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Paint, Style, is_unsafe, plain, plain_json};

/// The width of a terminal that does not say how wide it is.
const WIDTH: u16 = 80;
/// The height of one that does not say how high it is.
const HEIGHT: u16 = 24;
/// Between two columns.
const GAP: u16 = 2;

/// Lines of an answer, ready to be printed.
#[derive(Debug)]
pub(crate) struct Page {
    lines: Vec<String>,
    paint: Paint,
    /// `None` where lines are read by programs: a row is a line there, however long.
    width: Option<u16>,
}

impl Page {
    pub(crate) fn new() -> Self {
        let width = std::io::stdout().is_terminal().then(|| {
            terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0).max(WIDTH / 2)
        });
        Self { lines: Vec::new(), paint: Paint::detect(), width }
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: &str) {
        self.styled(&[(Style::Plain, text)]);
    }

    /// A line in several styles.
    pub(crate) fn styled(&mut self, parts: &[(Style, &str)]) {
        let shown = parts.iter().map(|(style, text)| self.paint.wrap(*style, &plain(text)));
        self.lines.push(shown.collect());
    }

    /// What something is, behind a name for it.
    pub(crate) fn labelled(&mut self, label: &str, text: &str) {
        self.beside(Style::Strong, label, 20, text);
    }

    /// A text behind a word that judges it.
    pub(crate) fn marked(&mut self, style: Style, mark: &str, text: &str) {
        self.beside(style, mark, 9, text);
    }

    /// A text beside a label. On a terminal it is broken between words.
    fn beside(&mut self, style: Style, label: &str, indent: usize, text: &str) {
        let label = format!("{:<indent$}", plain(label));
        let text = plain(text);
        let lines = match self.width {
            Some(width) => super::broken(&text, usize::from(width).saturating_sub(indent)),
            None => vec![text.as_ref()],
        };
        for (number, line) in lines.into_iter().enumerate() {
            let label = if number == 0 { &label } else { &" ".repeat(indent) };
            self.lines.push(format!("{}{line}", self.paint.wrap(style, label)));
        }
    }

    /// A paragraph. On a terminal it is broken between words, and the lines after the first are
    /// indented.
    pub(crate) fn paragraph(&mut self, style: Style, indent: usize, text: &str) {
        let text = plain(text);
        let lines = match self.width {
            Some(width) => super::broken(&text, usize::from(width).saturating_sub(indent)),
            None => vec![text.as_ref()],
        };
        for (number, line) in lines.into_iter().enumerate() {
            let indent = if number == 0 { "" } else { &" ".repeat(indent) };
            self.lines.push(format!("{indent}{}", self.paint.wrap(style, line)));
        }
    }

    /// Rows below the names of their columns. On a terminal the cells of the columns that give way
    /// are broken to fit its width.
    pub(crate) fn table<const N: usize>(
        &mut self,
        head: [&str; N],
        rows: &[[String; N]],
        give_way: &[usize],
    ) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head);
        match self.width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.saturating_add(GAP)),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for row in rows {
            table.add_row(row.iter().map(|cell| plain(cell).into_owned()));
        }
        for (number, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if !give_way.contains(&number) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for (number, line) in table.lines().enumerate() {
            let style = if number == 0 { Style::Strong } else { Style::Plain };
            self.lines.push(self.paint.wrap(style, line.trim_end()));
        }
    }

    /// A value for programs, as JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        // Between strings JSON has ends of lines, which are unsafe elsewhere.
        self.lines.extend(text.lines().map(|line| plain_json(line).into_owned()));
    }

    /// A value as YAML. One with characters that a terminal acts on is written as JSON, which YAML
    /// includes.
    pub(crate) fn yaml(&mut self, value: &impl Serialize) {
        match serde_saphyr::to_string(value) {
            Ok(text) if !text.contains(|c| c != '\n' && is_unsafe(c)) => {
                self.lines.extend(text.trim_end().lines().map(str::to_owned));
            }
            _ => self.json(value),
        }
    }

    /// The page as a text.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Prints the page.
    pub(crate) fn print(&self) {
        let mut out = std::io::stdout().lock();
        for line in &self.lines {
            // A reader that has gone is no failure.
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }

    /// Prints the page in the place of the one before, as far as it fits the terminal. Without one
    /// it follows that page.
    pub(crate) fn redraw(&self) {
        if self.width.is_none() {
            return self.print();
        }
        let height = terminal_size::terminal_size().map_or(HEIGHT, |(_, height)| height.0);
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "{}", self.drawn(usize::from(height).max(3)));
        let _ = out.flush();
    }

    /// What draws the page over another one. The last line stays free, for what comes after it.
    fn drawn(&self, height: usize) -> String {
        let fits = height - 1;
        let (shown, more) = match self.lines.len().checked_sub(fits) {
            None | Some(0) => (self.lines.len(), None),
            Some(cut) => (fits - 1, Some(format!("… and {} more lines", cut + 1))),
        };
        let lines = self.lines[..shown].iter().chain(&more);
        let text: String = lines.flat_map(|line| [line.as_str(), "\x1b[K\n"]).collect();
        format!("\x1b[H{text}\x1b[J")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: Option<u16>) -> Page {
        Page { lines: Vec::new(), paint: Paint { on: false, is_terminal: false }, width }
    }

    fn rows() -> Vec<[String; 3]> {
        let name = "a-long-name ".repeat(12);
        vec![
            ["database".to_owned(), "True".to_owned(), "5".to_owned()],
            [name.trim_end().to_owned(), "False".to_owned(), "7".to_owned()],
        ]
    }

    #[test]
    fn a_table_fits_the_terminal_and_a_row_for_programs_is_a_line() {
        let mut shown = page(Some(80));
        shown.table(["Name", "Active", "Limit"], &rows(), &[0]);
        assert!(shown.lines.iter().all(|line| line.chars().count() <= 80), "{:?}", shown.lines);
        assert!(shown.lines.len() > 3);
        let mut piped = page(None);
        piped.table(["Name", "Active", "Limit"], &rows(), &[0]);
        assert_eq!(piped.lines.len(), 3);
        assert_eq!(
            piped.lines[1].split_whitespace().collect::<Vec<_>>(),
            ["database", "True", "5"]
        );
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_in_a_cell_or_in_yaml() {
        let mut shown = page(Some(80));
        let evil = "\x1b[2J\n\u{202e}x".to_owned();
        shown.table(["Name"], &[[evil.clone()]], &[0]);
        shown.yaml(&[&evil]);
        shown.json(&[&evil]);
        assert!(!shown.lines.concat().contains(is_unsafe), "{:?}", shown.lines);
    }

    #[test]
    fn a_page_that_is_drawn_again_fits_the_terminal() {
        let mut shown = page(Some(80));
        for number in 0..9 {
            shown.line(&number.to_string());
        }
        assert_eq!(shown.drawn(10).matches('\n').count(), 9);
        let drawn = shown.drawn(5);
        assert_eq!(drawn.matches('\n').count(), 4);
        assert!(drawn.contains("2\x1b[K\n… and 6 more lines"), "{drawn:?}");
    }

    #[test]
    fn yaml_is_read_as_what_was_written() {
        let value = serde_json::json!([{"name": "no", "limit": 5, "tag": "a: b", "at": "1e3"}]);
        let mut shown = page(None);
        shown.yaml(&value);
        let text = shown.lines.join("\n");
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
    }
}
