//! `docs/recovery.md` is the engine's own table.

use std::fs;

use crate::source::top;

const PAGE: &str = "docs/recovery.md";

#[test]
fn the_page_about_recovery_is_the_table_that_the_engine_uses() {
    let path = top().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (text, _) = page.split_once("| cause |").expect("the page has a table");
    let now = format!("{text}{}", hoga::session::recovery_table());
    if std::env::var_os("HOGA_UPDATE_API").is_some() {
        fs::write(&path, &now).unwrap();
    } else {
        assert!(page == now, "{PAGE} is outdated; run HOGA_UPDATE_API=1 cargo test --workspace --test tidy");
    }
}
