//! Tables for users: no lines, two spaces between columns.

use comfy_table::{ContentArrangement, Table, presets};

pub(crate) fn new_table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
