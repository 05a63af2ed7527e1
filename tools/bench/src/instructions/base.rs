//! Builds and counts the commit that a baseline belongs to, if the versions here differ from those of the baseline.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::PROFILE;
use crate::baseline::Counts;

/// Returns the commit that last changed the baseline in `file`.
pub fn commit_of(root: &Path, file: &Path) -> Result<String, String> {
    if git(root, &["rev-parse", "--is-shallow-repository"])? == "true" {
        return Err("this clone is shallow: run `git fetch --unshallow` to get the commit of the baseline".to_owned());
    }
    let file = file.display().to_string();
    let commit = git(root, &["log", "-1", "--format=%H", "--", &file])?;
    if commit.is_empty() { Err(format!("no commit contains {file}")) } else { Ok(commit) }
}

/// Builds this program at a commit and runs it to count, all inside `folder`.
pub fn count(root: &Path, commit: &str, folder: &Path) -> Result<Counts, String> {
    let commit = git(root, &["rev-parse", "--verify", "--quiet", &format!("{commit}^{{commit}}")])
        .map_err(|_| format!("there is no commit \"{commit}\""))?;
    let source = folder.join("source");
    // The folder may contain the source of another commit.
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).map_err(|e| format!("{}: {e}", source.display()))?;
    extract(root, &commit, &source)?;
    eprintln!("building {commit} in {}", folder.display());
    let target = folder.join("target");
    let mut build = Command::new("cargo");
    build.args(["build", "--profile", PROFILE, "--locked", "--package", env!("CARGO_PKG_NAME")]);
    build.args(["--no-default-features", "--bin", env!("CARGO_BIN_NAME")]);
    build.arg("--target-dir").arg(&target).current_dir(&source);
    match build.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("{commit} could not be built: cargo ended with {status}")),
        Err(e) => return Err(format!("cargo could not be started: {e}")),
    }
    let output = Command::new(target.join(PROFILE).join(env!("CARGO_BIN_NAME")))
        .arg("counts")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("the program of {commit} could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("the program of {commit} ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("the program of {commit} printed no counts: {e}"))
}

fn git(root: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output();
    let output = output.map_err(|e| format!("git could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("git {}: {}", args[0], String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn extract(root: &Path, commit: &str, folder: &Path) -> Result<(), String> {
    let failed = |e: &dyn std::fmt::Display| format!("{commit} could not be extracted: {e}");
    let mut archive = Command::new("git");
    archive.arg("-C").arg(root).args(["archive", "--format=tar", commit]).stdout(Stdio::piped());
    let mut archive = archive.spawn().map_err(|e| failed(&e))?;
    let tar = archive.stdout.take().expect("stdout is piped");
    // Files get the time of their extraction: with the time of the commit, cargo would reuse what it built for another
    // commit.
    let unpacked = Command::new("tar").arg("-xm").arg("-C").arg(folder).stdin(tar).status().map_err(|e| failed(&e))?;
    let archived = archive.wait().map_err(|e| failed(&e))?;
    if archived.success() && unpacked.success() { Ok(()) } else { Err(failed(&"git archive or tar failed")) }
}
