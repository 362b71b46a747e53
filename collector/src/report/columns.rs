//! Aligned columns of plain text.

/// Rows under a heading, indented by two spaces: the first `text` columns flush left, the others flush right, but for the
/// last one if `ends_in_text`, which may be long. The heading has as many cells as each row.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Number of leading columns that hold text.
    pub text: usize,
    /// Whether the last column holds text, too.
    pub ends_in_text: bool,
}

impl Columns {
    /// Lines without spaces at their ends, each with a line feed.
    pub fn render(self, rows: &[Vec<String>]) -> String {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut page = String::new();
        for row in rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_text = column < self.text || (self.ends_in_text && column + 1 == columns);
                line.push_str("  ");
                line.push_str(&match is_text {
                    true => format!("{cell:<width$}"),
                    false => format!("{cell:>width$}"),
                });
            }
            page.push_str(line.trim_end());
            page.push('\n');
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
        let row = |row: &&[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
        cells.iter().map(row).collect()
    }

    #[test]
    fn text_is_flush_left_and_numbers_are_flush_right() {
        let shown = Columns {
            text: 1,
            ends_in_text: false,
        }
        .render(&rows(&[&["state", "count"], &["mutex", "7"], &["network", "1,234"]]));
        assert_eq!(shown, "  state    count\n  mutex        7\n  network  1,234\n");
    }

    #[test]
    fn a_long_last_column_widens_no_other_line() {
        let shown = Columns {
            text: 0,
            ends_in_text: true,
        }
        .render(&rows(&[&["12", "main.main"], &["3", "f"]]));
        assert_eq!(shown, "  12  main.main\n   3  f\n");
    }
}
