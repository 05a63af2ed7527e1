//! `hoga bench`: each report is there and says what it is of. What the figures are, no test says.

mod common;

use common::{json, run};
use serde_json::Value;

fn report(bench: &str) -> Value {
    let output = run(&["bench", bench, "--time", "1s", "--json"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    json(output.stdout.trim_end())
}

/// The values of one field, in order.
fn texts<'a>(objects: &'a Value, key: &str) -> Vec<&'a str> {
    objects.as_array().unwrap().iter().map(|object| object[key].as_str().unwrap()).collect()
}

#[test]
fn fanout_compares_with_its_yardsticks_and_names_its_targets() {
    let report = report("fanout");
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0 && report["rounds"].as_u64().unwrap() > 0);
    let names = texts(&report["rows"], "name");
    for name in ["drop-oldest, 1000 readers", "conflate", "drop-newest", "rtrb", "ArrayQueue", "std mpsc"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert!(report["rows"].as_array().unwrap().iter().all(|row| row["median_ns"].as_f64().unwrap() > 0.0));
    assert_eq!(report["targets"].as_array().unwrap().len(), 8);
}

#[test]
fn isolation_shows_the_others_side_by_side_and_names_the_offenders() {
    let report = report("isolation");
    let names = texts(&report["rows"], "name");
    assert!(names.contains(&"alone") && names.contains(&"beside offenders"), "{names:?}");
    let offenders = &report["offenders"];
    assert_eq!(texts(offenders, "name"), ["panics", "fails", "blocks"]);
    assert_eq!(texts(offenders, "state")[..2], ["quarantined"; 2]);
    assert!(report["ratios"].as_array().unwrap().iter().all(|ratio| ratio["ratio"].as_f64().unwrap() > 0.0));
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for args in [&["bench"][..], &["bench", "nothing"], &["bench", "fanout", "--quick", "--time", "1s"]] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}
