//! Prints `docs/tables.md`: `cargo run -p spandrel-tests --example tables-doc > docs/tables.md`.

fn main() {
    print!("{}", spandrel_tests::tables_doc::render());
}
