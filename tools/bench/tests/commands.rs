//! The commands that need no peers.

use serde_json::Value;

use super::{json, report, run, texts};

fn all_figures(report: &Value) -> Vec<&Value> {
    let lines = report["lines"].as_array().unwrap();
    lines.iter().flat_map(|line| line["figures"].as_array().unwrap()).collect()
}

#[test]
fn fanout_reports_its_yardsticks_and_targets() {
    let report = report(&["fanout", "--time", "1s"]);
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0 && report["rounds"].as_u64().unwrap() > 0);
    let names = texts(&report["lines"], "name");
    for name in ["drop-oldest, 1000 readers", "conflate", "drop-newest", "rtrb", "ArrayQueue", "std mpsc"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert!(all_figures(&report).iter().all(|figure| figure["median"].as_f64().unwrap() > 0.0));
    assert_eq!(report["targets"].as_array().unwrap().len(), 8);
}

#[test]
fn formats_reports_size_and_time_of_every_type_in_every_format() {
    let report = report(&["formats", "--time", "1s"]);
    // Like every other report, it contains its origin.
    assert!(["version", "commit"].iter().all(|key| report[key].is_string()) && report["machine"]["cores"].is_u64());
    let rows = report["rows"].as_array().unwrap();
    for data_type in ["ticker", "trade", "orderbook", "candle.1s"] {
        let of_type: Vec<_> = rows.iter().filter(|row| row["type"] == data_type).collect();
        let formats: Vec<_> = of_type.iter().map(|row| row["format"].as_str().unwrap()).collect();
        assert_eq!(formats, ["DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"], "{data_type}");
        let of = |key: &str| -> Vec<f64> { of_type.iter().map(|row| row[key].as_f64().unwrap()).collect() };
        let (bytes, messages) = (of("bytes"), of("messages"));
        assert!(bytes[1] < 0.8 * bytes[0] && messages[0] > 100.0 && messages[1..] == [messages[0]; 3], "{data_type}");
        assert!((bytes[2] - bytes[0] - 2.0).abs() < 0.02 && (bytes[3] - bytes[1] - 2.0).abs() < 0.02, "{data_type}");
        assert!(of("read_ns").iter().chain(&of("megabytes_per_hour")).all(|number| *number > 0.0));
    }
}

#[test]
fn isolation_reports_the_others_with_and_without_offenders() {
    let report = report(&["isolation", "--time", "1s"]);
    assert_eq!(texts(&report["lines"], "name"), ["alone", "beside offenders"]);
    let notes: Vec<_> = report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    for (note, start) in notes.iter().zip(["panics: quarantined,", "fails: quarantined,", "blocks: "]) {
        assert!(note.starts_with(&format!("offender {start}")), "{note}");
    }
    assert_eq!(notes.len(), 3);
}

#[test]
fn e2e_measures_every_traffic_and_compares_with_an_earlier_report() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("before.json");
    let report = report(&["e2e", "--time", "1ms"]);
    let names = texts(&report["lines"], "name");
    for name in ["ticker, plain", "book of 15, TLS", "mix, TLS", "park", "spin", "spin then park", "bare socket, spin"]
    {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert!(texts(&report["lines"], "table").contains(&"one by one, plain"));
    assert!(!report["commit"].as_str().unwrap().is_empty());

    // The figures of the report, made a thousand times better.
    let faster = |mut report: Value| {
        for line in report["lines"].as_array_mut().unwrap() {
            for figure in line["figures"].as_array_mut().unwrap() {
                let factor = if figure["better"] == "less" { 1e-3 } else { 1e3 };
                for round in ["min", "median", "max"] {
                    figure[round] = (figure[round].as_f64().unwrap() * factor).into();
                }
            }
        }
        report
    };
    std::fs::write(&baseline, faster(report).to_string()).unwrap();
    let output = run(&["e2e", "--time", "1ms", "--json", "--baseline", baseline.to_str().unwrap()]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("saturated, ticker, plain: frames/s"), "{}", output.stderr);

    let mut other = json(&std::fs::read_to_string(&baseline).unwrap());
    other["command"] = "hoga bench fanout".into();
    std::fs::write(&baseline, other.to_string()).unwrap();
    // The error must come before the measurement, which takes a minute.
    let output = run(&["e2e", "--baseline", baseline.to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
    assert!(output.stderr.contains("is of hoga bench fanout"), "{}", output.stderr);

    std::fs::write(&baseline, "{}").unwrap();
    let output = run(&["e2e", "--baseline", baseline.to_str().unwrap()]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("before.json is not a report of --json"), "{}", output.stderr);
}

/// Returns the maximum of the figure `name` in each line of the tables whose names end in `table_ends`.
fn figures(report: &Value, table_ends: &str, name: &str) -> Vec<f64> {
    let lines = report["lines"].as_array().unwrap().iter();
    let lines = lines.filter(|line| line["table"].as_str().unwrap().ends_with(table_ends));
    let figure = |line: &Value| {
        let figures = line["figures"].as_array().unwrap();
        figures.iter().find(|figure| figure["name"] == name).map(|figure| figure["max"].as_f64().unwrap())
    };
    lines.filter_map(figure).collect()
}

#[test]
fn load_accounts_for_every_message_and_feeds_with_room_lose_none() {
    let args = ["--streams", "50", "--connections", "1,2", "--rate", "1,10", "--feeds", "20", "--demands", "20"];
    // The feeds have room for longer than the turns last, so a slow machine loses no message.
    let report = report(&[&["load", "--time", "0s", "--pause", "60s"], &args[..]].concat());
    let names = texts(&report["lines"], "table");
    for table in ["memory", "setup", "50 streams, 1 connection", "50 streams, 2 connections: updates"] {
        assert!(names.contains(&table), "{table} is missing in {names:?}");
    }
    assert_eq!(figures(&report, ": updates", "lost"), [0.0; 4]);
    assert_eq!(figures(&report, ": updates", "mismatch"), [0.0; 4]);
    assert!(figures(&report, ": updates", "delivered").iter().all(|delivered| *delivered > 0.0));
    assert_eq!(figures(&report, "setup", "disconnects"), [0.0; 2]);
}

#[test]
fn models_compares_polling_with_wake_ups_and_callbacks() {
    let report = report(&["models", "--time", "0s"]);
    let names = texts(&report["lines"], "name");
    for name in ["pull, every 1ms", "ring, every 100µs", "ring, when woken", "callback"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    let seen = figures(&report, " k/s", "seen");
    assert_eq!(seen.len(), 12);
    // A model may see nothing if other processes used its whole turn of 20 ms. That must not happen to all models.
    assert!(seen.iter().all(|seen| (0.0..=100.0).contains(seen)) && seen.iter().any(|seen| *seen > 0.0), "{seen:?}");
    assert_eq!(report["targets"].as_array().unwrap().len(), 8);
}

#[test]
fn invalid_arguments_are_usage_errors() {
    for args in [
        &[][..],
        &["nothing"],
        &["fanout", "--quick", "--time", "1s"],
        &["load", "--feeds", "0"],
        &["load", "--pause", "1y"],
    ] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn every_help_has_an_example_and_the_exit_codes() {
    let help = run(&["--help"]).stdout;
    let commands = commands(&help);
    for command in ["e2e", "fanout", "formats", "isolation", "load", "models", "peers", "stages", "saturate"] {
        assert!(commands.contains(&command), "{command} is missing in {commands:?}");
    }
    for command in [""].into_iter().chain(commands) {
        let args: Vec<_> = command.split_terminator(' ').chain(["--help"]).collect();
        let output = run(&args);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        for part in ["Example: hoga bench", "\nExit codes:\n  0    ", "\n  130  "] {
            assert!(output.stdout.contains(part), "{args:?}: {}", output.stdout);
        }
        // The notes of a command without `--check` do not describe it.
        let (options, notes) = output.stdout.split_once("\nExample: ").unwrap();
        assert!(command.is_empty() || !notes.contains("--check") || options.contains("--check"), "{args:?}: {notes}");
    }
}

/// Returns the commands that a help lists, without `help`.
fn commands(help: &str) -> Vec<&str> {
    let list = help.split_once("\nCommands:\n").unwrap().1.split("\n\n").next().unwrap();
    let lines = list.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    lines.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect()
}

#[test]
fn saturate_prints_costs_with_units() {
    let output = run(&["saturate", "ticker", "plain", "2000"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let parts: Vec<_> = output.stdout.trim_end().split(", ").collect();
    let [cost, rate, missed] = parts[..] else { panic!("{parts:?}") };
    for (part, unit) in [(cost, "ns of CPU per frame"), (rate, "frames/s"), (missed, "% of frames missed")] {
        let (number, words) = part.split_once(' ').unwrap();
        assert!(number.parse::<f64>().is_ok() && words == unit, "{part}");
    }
}

/// The smallest run that finds enough faults to say something.
#[test]
fn health_finds_the_faults_of_an_hour_and_suspects_no_other_stream() {
    let report = report(&["health", "--hours", "1", "--markets", "30"]);
    let figures = all_figures(&report);
    let sum =
        |name| -> f64 { figures.iter().filter(|f| f["name"] == name).map(|f| f["median"].as_f64().unwrap()).sum() };
    assert!(sum("found") >= 20.0 && sum("missed") <= 0.05 * sum("found"), "{report}");
    assert_eq!(report["targets"].as_array().unwrap().len(), 3);
    // The only market that trades has no fault in this hour, and a run in which nothing was found misses its goals.
    assert_eq!(run(&["health", "--markets", "2", "--seed", "38"]).code, Some(1));
}
