//! Tables, for terminals and for Markdown.

/// How wide a table may be.
pub(crate) const COLUMNS_MAX: usize = 80;

/// A title, a head, rows, and notes that explain them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    title: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&'static str]) -> Self {
        Self { title: title.into(), head: head.to_vec(), ..Self::default() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// For a terminal: words on the left of their columns, numbers on the right.
    pub(crate) fn text(&self) -> String {
        let widths: Vec<_> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let mut text = format!("{}\n", self.title);
        let head: Vec<_> = self.head.iter().copied().map(str::to_owned).collect();
        let lines = if self.rows.is_empty() { None } else { Some(&head) };
        for cells in lines.into_iter().chain(&self.rows) {
            let mut line = String::from(" ");
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                if self.is_number(column) {
                    line.push_str(&format!(" {cell:>width$}"));
                } else {
                    line.push_str(&format!(" {cell:<width$}"));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for note in &self.notes {
            text.push_str(&wrapped(note));
        }
        text
    }

    /// For docs/benchmarks.md.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        if !self.rows.is_empty() {
            let rules: Vec<_> = (0..self.head.len())
                .map(|column| if self.is_number(column) { "---:" } else { "---" })
                .collect();
            let head = self.head.join(" | ");
            text.push_str(&format!("| {head} |\n| {} |\n", rules.join(" | ")));
            for row in &self.rows {
                text.push_str(&format!("| {} |\n", row.join(" | ")));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count());
        cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
    }

    fn is_number(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.all(|cell| {
            cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || "-<>≤≥".contains(c))
        })
    }
}

/// A note in indented lines of a terminal's width.
fn wrapped(note: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("  ");
    for word in note.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX && line.trim() != "" {
            text.push_str(line.trim_end());
            text.push('\n');
            line = String::from("  ");
        }
        line.push_str(word);
        line.push(' ');
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

/// A whole number with its thousands separated.
pub(crate) fn whole(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < -0.5 { format!("-{text}") } else { text }
}

/// A time or a ratio, with three significant digits.
pub(crate) fn fine(number: f64) -> String {
    match number {
        _ if !number.is_finite() => "-".to_owned(),
        _ if number.abs() >= 100.0 => whole(number),
        _ if number.abs() >= 10.0 => format!("{number:.1}"),
        _ if number.abs() >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Cycles", &["system", "cycles/s"]);
        table.row(["echo".to_owned(), whole(12_345.6)]);
        table.row(["Leasehold".to_owned(), whole(999.0)]);
        table.note("word ".repeat(20));
        table
    }

    #[test]
    fn words_align_left_and_numbers_right() {
        let text = table().text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Cycles");
        assert_eq!(lines[1], "  system    cycles/s");
        assert_eq!(lines[2], "  echo        12,346");
        assert_eq!(lines[3], "  Leasehold      999");
        assert_eq!(lines.len(), 6, "the note takes two lines");
        assert!(lines.iter().all(|line| line.len() <= COLUMNS_MAX));
    }

    #[test]
    fn markdown_has_a_head_and_its_rule() {
        let text = table().markdown();
        assert!(text.starts_with("### Cycles\n\n| system | cycles/s |\n| --- | ---: |\n| echo |"));
    }

    #[test]
    fn numbers_have_their_significant_digits() {
        assert_eq!(whole(0.0), "0");
        assert_eq!(whole(1_000_000.0), "1,000,000");
        assert_eq!(whole(-1_234.0), "-1,234");
        assert_eq!(fine(0.1234), "0.123");
        assert_eq!(fine(1.236), "1.24");
        assert_eq!(fine(12.34), "12.3");
        assert_eq!(fine(1_234.5), "1,234");
        assert_eq!(fine(f64::NAN), "-");
    }
}
