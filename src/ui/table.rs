//! Tables for users: no lines, two spaces between columns.

use comfy_table::{ContentArrangement, Table, presets};

use crate::sanitize::escape_line;

/// A table whose rows are one line each, whatever text is in their cells.
#[derive(Debug)]
pub struct TextTable(Table);

impl TextTable {
    /// Creates a table without rows.
    pub(crate) fn new(headers: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headers);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn add_row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.map(|cell| escape_line(&cell)));
    }

    /// Returns the headers and rows.
    pub(crate) fn to_lines(&self) -> Vec<String> {
        self.0.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line() {
        let mut table = TextTable::new(&["A", "B"]);
        table.add_row(["x\n2  works".to_owned(), "y".to_owned()]);
        assert_eq!(table.to_lines(), ["A            B", r"x\n2  works  y"]);
    }
}
