//! Tables of Markdown that also read well in a terminal.

/// Pads all cells of a column to one width: the first column to the left, the others, which are numbers, to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().chain([&header]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 {
                format!(" {cell:<width$} |")
            } else {
                format!(" {cell:>width$} |")
            }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, width)| {
        let dashes = "-".repeat(width + 1);
        let end = if column == 0 { '-' } else { ':' };
        format!("{dashes}{end}|")
    });
    let rule: String = rule.collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|{rule}\n{body}", line(&header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "10.5".to_owned()],
            vec!["longer".to_owned(), "1".to_owned()],
        ];
        let expected = "\
| name   |   MB |
|--------|-----:|
| a      | 10.5 |
| longer |    1 |
";
        assert_eq!(table(&["name", "MB"], &rows), expected);
    }
}
