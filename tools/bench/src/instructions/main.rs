//! Counts the instructions of hoga's frame path, and fails if a piece takes more of them than the baseline allows.

#![forbid(unsafe_code)]

mod base;
mod baseline;
mod counter;
mod drift;
mod rows;
mod setting;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use baseline::{Baseline, Comparison, Counts};
use counter::Counter;
use hoga_bench::counting::cpu_features;

const USAGE: &str = "\
Counts the instructions of hoga's frame path under valgrind and compares them with a baseline.

usage: cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions -- COMMAND

  check              fails if a row takes over 3 % more instructions than in the baseline. If the
                     baseline was counted with another compiler or valgrind, for example, its commit
                     is built and counted here, and the rows are compared with those counts
  check --base REV   compares with the commit REV instead
  counts             prints the counts as JSON
  lower              makes smaller counts the baseline
  raise ROW...       makes the counts of these rows the baseline, larger or smaller
  raise all          replaces the whole baseline, with the versions found here
  drift              prints docs/drift.md: what becomes of messages that differ from the documented
                     form, and what they cost
  drift check        fails if results differ from those in docs/drift.md, or if costs are higher

With --baseline FILE before the command, FILE is used instead of benches/instructions.json.

Exit codes: 0 good; 1 a row or a drifted message takes too many instructions; 2 nothing was compared, stderr has the reason";

/// The command that runs this program, before its arguments.
const RUN: &str = "cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions --";
/// The profile that is counted, from the workspace's Cargo.toml.
const PROFILE: &str = "instructions";

/// An error other than a failed comparison.
type Failure = String;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("hoga-instructions: {why}");
            ExitCode::from(2)
        }
    }
}

/// Returns false if a row takes too many instructions.
fn run(args: &[String]) -> Result<bool, Failure> {
    let (file, args) = match args {
        [option, file, rest @ ..] if option == "--baseline" => (PathBuf::from(file), rest),
        _ => (root().join("benches/instructions.json"), args),
    };
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["check"] => check(&file),
        ["check", "--base", commit] => compare_with(commit, &Counter::new()?),
        ["counts"] => print_counts(),
        ["lower"] => lower(&file),
        ["raise", "all"] => raise_all(&file),
        ["drift"] => print_drift(),
        ["drift", "check"] => check_drift(),
        ["raise", rows @ ..] if !rows.is_empty() => raise(&file, rows),
        // Only for the processes that this program starts under valgrind.
        ["row", name] => count_row(name),
        ["drift-cases"] => {
            drift::count_cases();
            Ok(true)
        }
        ["features"] => {
            println!("{}", cpu_features());
            Ok(true)
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn check(file: &Path) -> Result<bool, Failure> {
    let baseline = Baseline::read(file).map_err(|e| format!("{e}\nTo create a baseline: {RUN} raise all"))?;
    let counter = Counter::new()?;
    let differences = counter.setting.differences(&baseline.taken_with);
    if differences.is_empty() {
        return Ok(verdict(&Comparison::new(&baseline.instructions, &counter.count_all()?), &counter));
    }
    eprintln!("The baseline is NOT COMPARABLE here:\n  {}", differences.join("\n  "));
    let commit =
        base::commit_of(&root(), file).map_err(|e| format!("the commit of the baseline was not found: {e}"))?;
    eprintln!("So the commit of the baseline is counted here, too.");
    compare_with(&commit, &counter)
}

fn compare_with(commit: &str, counter: &Counter) -> Result<bool, Failure> {
    let now = counter.count_all()?;
    let base = base::count(&root(), commit, &counter.folder.join("base"))?;
    Ok(verdict(&Comparison::new(&base, &now), counter))
}

/// Prints the result. Returns false if a row takes too many instructions.
fn verdict(comparison: &Comparison, counter: &Counter) -> bool {
    let quoted = |rows: &[String]| rows.iter().map(|row| format!(" \"{row}\"")).collect::<String>();
    let Comparison { table, grown, shrunk, new, gone } = comparison;
    print!("{table}");
    if !shrunk.is_empty() {
        println!("{} rows take fewer instructions than before. To make that the baseline: {RUN} lower", shrunk.len());
    }
    if !gone.is_empty() {
        eprintln!("FAILED: no longer counted:{}. To replace the baseline: {RUN} raise all", quoted(gone));
    }
    if !new.is_empty() {
        eprintln!("FAILED: {} rows are not in the baseline. To add them: {RUN} raise{}", new.len(), quoted(new));
    }
    if !grown.is_empty() {
        eprintln!("FAILED: {} rows take over 3 % more instructions than before.", grown.len());
        eprintln!("To see where: callgrind_annotate {}/ROW.out", counter.folder.display());
        eprintln!("If the change is worth it, raise the baseline and give the reason in the commit message:");
        eprintln!("{RUN} raise{}", quoted(grown));
    }
    comparison.is_good()
}

fn print_counts() -> Result<bool, Failure> {
    let counts = Counter::new()?.count_all()?;
    println!("{}", serde_json::to_string_pretty(&counts).expect("all keys are strings"));
    Ok(true)
}

fn lower(file: &Path) -> Result<bool, Failure> {
    change(file, |baseline, now| {
        println!("lowered: {}", baseline.lower(now));
        Ok(())
    })
}

fn raise(file: &Path, rows: &[&str]) -> Result<bool, Failure> {
    let rows: Vec<_> = rows.iter().map(|row| (*row).to_owned()).collect();
    change(file, |baseline, now| baseline.raise(now, &rows))
}

fn change(file: &Path, change: impl FnOnce(&mut Baseline, &Counts) -> Result<(), Failure>) -> Result<bool, Failure> {
    let (mut baseline, counter) = (Baseline::read(file)?, Counter::new()?);
    let differences = counter.setting.differences(&baseline.taken_with);
    if !differences.is_empty() {
        let differences = differences.join("\n  ");
        return Err(format!("other versions need a whole new baseline, `{RUN} raise all`:\n  {differences}"));
    }
    change(&mut baseline, &counter.count_all()?)?;
    baseline.write(file)?;
    Ok(true)
}

fn raise_all(file: &Path) -> Result<bool, Failure> {
    let counter = Counter::new()?;
    Baseline { instructions: counter.count_all()?, taken_with: counter.setting }.write(file)?;
    Ok(true)
}

fn print_drift() -> Result<bool, Failure> {
    print!("{}", drift::document(&Counter::new()?)?);
    Ok(true)
}

fn check_drift() -> Result<bool, Failure> {
    let file = root().join("docs/drift.md");
    let before = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let worse = drift::worse(&before, &drift::document(&Counter::new()?)?);
    if worse.is_empty() {
        return Ok(true);
    }
    eprintln!("FAILED: docs/drift.md has other results, or lower costs:\n{}", worse.join("\n"));
    eprintln!("To generate it: {RUN} drift > docs/drift.md");
    Ok(false)
}

fn count_row(name: &str) -> Result<bool, Failure> {
    let row = rows::all().into_iter().find(|row| row.name() == name);
    row.ok_or_else(|| format!("there is no row \"{name}\""))?.count();
    Ok(true)
}

/// Returns the root of the workspace that this program was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in tools/bench").to_owned()
}
