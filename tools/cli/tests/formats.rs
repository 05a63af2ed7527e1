//! `hoga formats`: finds messages in recordings of any kind, compares and converts them, and counts everything else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::common::{Output, json, run};
use hoga_testing::fixtures;
use serde_json::Value;
use tempfile::TempDir;

const TRADE: &str = r#"{"type":"trade","code":"KRW-BTC","timestamp":1618678262712,"trade_date":"2021-04-17","trade_time":"16:51:02","trade_timestamp":1618678262000,"trade_price":127.0,"trade_volume":4.6E-7,"ask_bid":"BID","prev_closing_price":123.00000000,"change":"RISE","change_price":4.00000000,"sequential_id":1618678262000003,"stream_type":"REALTIME"}"#;
const SHORT: &str = r#"{"ty":"trade","cd":"KRW-BTC","tms":1618678262712,"td":"2021-04-17","ttm":"16:51:02","ttms":1618678262000,"tp":127.0,"tv":4.6E-7,"ab":"BID","pcp":123.00000000,"c":"RISE","cp":4.00000000,"sid":1618678262000003,"st":"REALTIME"}"#;

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("recording");
    fs::write(&path, text).unwrap();
    path
}

fn formats(path: &Path, args: &[&str]) -> Output {
    run(&[&["formats", path.to_str().unwrap()], args].concat())
}

fn report(path: &Path) -> Value {
    let output = formats(path, &["--json", "--time", "0s", "--rate", "1000"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    json(output.stdout.trim_end())
}

#[test]
fn a_recording_is_compared_in_all_formats_and_its_other_lines_are_counted() {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "# a day\n\n{TRADE}\n1618678263.010785\t{SHORT}\n1618678263.01: b'[{TRADE}]'\n\
         {{\"sent_ns\":1,\"conn\":2,\"frame\":{SHORT}}}\n{{\"status\":\"UP\"}}\n\
         [{{\"ticket\":\"t\"}},{{\"type\":\"trade\",\"codes\":[\"KRW-BTC\"]}}]\n{{\"cut\":\n[1]\nnoise\n"
    );
    let report = report(&file(&folder, &text));
    assert_eq!((&report["lines"], &report["messages"]), (&Value::from(11), &Value::from(4)));
    assert_eq!(report["from"], json(r#"{"DEFAULT":1,"JSON_LIST":1,"SIMPLE":2}"#));
    let others = r#"{"JSON of something else":1,"comment":1,"cut":1,"empty":1,"no JSON":1,"request":1,"status":1}"#;
    assert_eq!(report["other_lines"], json(others));

    let rows = report["rows"].as_array().unwrap();
    let of = |key: &str| -> Vec<f64> { rows.iter().map(|row| row[key].as_f64().unwrap()).collect() };
    let (long, short) = (TRADE.len() as f64, SHORT.len() as f64);
    assert_eq!(of("bytes"), [long, short, long + 2.0, short + 2.0]);
    assert_eq!(of("messages"), [4.0; 4]);
    assert_eq!(of("megabytes_per_hour")[0], (long * 360.0).round() / 100.0);
    assert!(of("read_ns").iter().all(|ns| *ns > 0.0));
    let names: Vec<_> =
        rows.iter().map(|row| (row["type"].as_str().unwrap(), row["format"].as_str().unwrap())).collect();
    let expected = ["DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"].map(|format| ("trade", format));
    assert_eq!(names, expected);
}

#[test]
fn an_unreadable_message_does_not_hide_the_figures_of_the_others() {
    let folder = TempDir::new().unwrap();
    let report = report(&file(&folder, &format!("{TRADE}\n{{\"type\":\"trade\",\"code\":\"KRW-BTC\"}}\n{TRADE}\n")));
    let row = &report["rows"][0];
    assert_eq!((&row["type"], &row["messages"], &row["unread"]), (&"trade".into(), &3.into(), &1.into()));
    assert!(row["read_ns"].as_f64().unwrap() > 0.0);
}

#[test]
fn converting_messages_and_converting_back_restores_them() {
    let folder = TempDir::new().unwrap();
    let status = r#"{"status":"UP"}"#;
    let path = file(&folder, &format!("{TRADE}\n{status}\n# x\n[{TRADE},{TRADE}]\n"));
    let there = formats(&path, &["--convert", "simple_list"]);
    assert_eq!(there.code, Some(0));
    assert_eq!(there.stdout, format!("[{SHORT}]\n{status}\n[{SHORT},{SHORT}]\n"));
    assert!(there.stderr.contains("1 comment"), "{}", there.stderr);
    let back = formats(&file(&folder, &there.stdout), &["--convert", "default"]);
    assert_eq!(
        back.stdout,
        format!("{TRADE}\n{status}\n{TRADE}\n{TRADE}\n"),
        "without lists, each message has its own line"
    );
}

#[test]
fn stdin_is_read_and_types_without_a_struct_have_only_sizes() {
    let mut hoga = Command::new(env!("CARGO_BIN_EXE_hoga"))
        .args(["formats", "-", "--json", "--time", "0s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    hoga.stdin.take().unwrap().write_all(br#"{"type":"myOrder","avg_price":1,"is_new":2}"#).unwrap();
    let report = json(String::from_utf8(hoga.wait_with_output().unwrap().stdout).unwrap().trim_end());
    assert_eq!(report["unknown_keys"], 1);
    assert_eq!((&report["rows"][1]["bytes"], report["rows"][1].get("read_ns")), (&Value::from(34), None));
}

#[test]
fn a_file_without_messages_is_refused_with_its_contents() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("recording");
    let name = path.display();
    let kinds = ["JSON of something else (first at @:3)", "comment (first at @:1)", "empty (first at @:2)"];
    let kinds = kinds.map(|kind| kind.replace('@', &name.to_string()));
    let something_else = format!("no message of the exchange in 3 lines: 1 {}", kinds.join(", 1 "));
    for (text, why) in [("", "the file is empty"), ("# x\n\n{}\n", &something_else)] {
        for command in [&["formats", "--time", "0s"][..], &["exchange", "--plain", "--replay"]] {
            let output = run(&[command, &[file(&folder, text).to_str().unwrap()]].concat());
            assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{command:?}");
            assert!(output.stderr.ends_with(&format!("{name}: {why}\n")), "{command:?}: {}", output.stderr);
        }
    }
    let missing = formats(&folder.path().join("none"), &[]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("none: No such file"), "{}", missing.stderr);
    for args in [&["formats"][..], &["formats", "x", "--rate", "0"], &["formats", "x", "--json", "--convert", "simple"]]
    {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}

/// A recorder writes the time before each payload.
#[test]
fn payloads_are_found_in_the_recorders_own_files() {
    let folder = TempDir::new().unwrap();
    let lines = fixtures::lines("data.SIMPLE.jsonl");
    let expected: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let written: [fn(&String) -> String; 2] =
        [|line| format!("1793848455.010785\t{line}\n"), |line| format!("1793848455.01: b'{line}'\n")];
    for write in written {
        let text: String = lines.iter().map(write).collect();
        let output = formats(&file(&folder, &text), &["--convert", "simple"]);
        assert_eq!((output.code, output.stdout == expected), (Some(0), true), "{}", output.stderr);
    }

    let Some(folder) = fixtures::captures() else { return };
    let expected = fs::read_to_string(folder.join("cryptofeed/upbit-2021-04-17.SIMPLE.trade+orderbook.jsonl")).unwrap();
    for name in ["UPBIT.ws.62.0", "upbit-2021-04-17.SIMPLE.trade+orderbook.recvtime.tsv"] {
        let output = formats(&folder.join("cryptofeed").join(name), &["--convert", "simple"]);
        assert_eq!((output.code, output.stdout == expected), (Some(0), true), "{name}: {}", output.stderr);
    }
}
