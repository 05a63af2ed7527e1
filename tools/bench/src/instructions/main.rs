//! Counts the instructions of hoga's data path, and fails if something takes more of them than it did.

#![forbid(unsafe_code)]

mod base;
mod baseline;
mod counter;
mod rows;
mod setting;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baseline::{Baseline, Comparison, Counts};
use counter::Counter;
use hoga_bench::counting::cpu_features;

const USAGE: &str = "\
Counts the instructions of hoga's data path under valgrind and compares them with a baseline.

usage: cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions -- COMMAND

  check              fails if something takes over 3 % more instructions than in the baseline. Where the
                     baseline was taken with other versions: than in the commit that the baseline is of,
                     which is built for that
  check --base REV   the same against a commit
  counts             prints the counts as JSON
  lower              makes smaller counts the baseline
  raise ROW...       makes the counts of these rows the baseline, whatever they are
  raise all          takes the whole baseline anew, with the versions found here

--baseline FILE before the command names another baseline than benches/instructions.json.

Exit codes: 0 good; 1 something takes too many instructions; 2 nothing was compared, and stderr says why";

/// What a user writes to run this, before the command.
const RUN: &str = "cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions --";
/// The profile that is counted, in the workspace's Cargo.toml.
const PROFILE: &str = "instructions";

/// What went wrong, other than a comparison.
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

/// False if something takes too many instructions.
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
        ["raise", rows @ ..] if !rows.is_empty() => raise(&file, rows),
        // For the processes that are counted.
        ["row", name] => count_row(name),
        ["features"] => {
            println!("{}", cpu_features());
            Ok(true)
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn check(file: &Path) -> Result<bool, Failure> {
    let baseline = Baseline::read(file).map_err(|e| format!("{e}\nTo take one anew: {RUN} raise all"))?;
    let counter = Counter::new()?;
    let differences = counter.setting.differences(&baseline.taken_with);
    if differences.is_empty() {
        return Ok(verdict(&Comparison::new(&baseline.instructions, &counter.count_all()?), &counter));
    }
    eprintln!("NOT COMPARABLE with the baseline itself:\n  {}", differences.join("\n  "));
    let commit = base::commit_of(&root(), file).map_err(|e| format!("nor with the commit that it is of: {e}"))?;
    eprintln!("So its commit is counted here, too.");
    compare_with(&commit, &counter)
}

fn compare_with(commit: &str, counter: &Counter) -> Result<bool, Failure> {
    let now = counter.count_all()?;
    let base = base::count(&root(), commit, &counter.folder.join("base"))?;
    Ok(verdict(&Comparison::new(&base, &now), counter))
}

/// Prints the result; false if something takes too many instructions.
fn verdict(comparison: &Comparison, counter: &Counter) -> bool {
    let quoted = |rows: &[String]| rows.iter().map(|row| format!(" \"{row}\"")).collect::<String>();
    let Comparison { table, grown, shrunk, new, gone } = comparison;
    print!("{table}");
    if !shrunk.is_empty() {
        println!("{} take fewer than before. To hold them to that: {RUN} lower", shrunk.len());
    }
    if !gone.is_empty() {
        eprintln!("FAILED: not counted any more:{}. To take the baseline anew: {RUN} raise all", quoted(gone));
    }
    if !new.is_empty() {
        eprintln!("FAILED: {} not in the baseline. To add them: {RUN} raise{}", new.len(), quoted(new));
    }
    if !grown.is_empty() {
        eprintln!("FAILED: {} take over 3 % more instructions than before.", grown.len());
        eprintln!("To see where: callgrind_annotate {}/ROW.out", counter.folder.display());
        eprintln!("If it is worth that, raise the baseline and say why in the commit message:");
        eprintln!("{RUN} raise{}", quoted(grown));
    }
    comparison.is_good()
}

fn print_counts() -> Result<bool, Failure> {
    let counts = Counter::new()?.count_all()?;
    println!("{}", serde_json::to_string_pretty(&counts).expect("keys are texts"));
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
        return Err(format!("the baseline can only be taken anew as a whole, `{RUN} raise all`:\n  {differences}"));
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

fn count_row(name: &str) -> Result<bool, Failure> {
    let row = rows::all().into_iter().find(|row| row.name() == name);
    row.ok_or_else(|| format!("nothing is counted under the name \"{name}\""))?.count();
    Ok(true)
}

/// Of the workspace that this was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is in tools/bench").to_owned()
}
