//! Files of limits, read: single ones, those of folders, and the standard input.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file::{File, Wanted, merge};
use crate::exit::{Exit, Failure};

/// A folder in a folder, and so on: links may lead back.
const DEPTH_MAX: usize = 16;

/// The limits that all of these name.
pub(super) fn all(paths: &[PathBuf]) -> Result<BTreeMap<String, Wanted>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| unreadable(Path::new("the standard input"), &error))?;
            files.extend(parse("the standard input", &text)?);
            continue;
        }
        for path in expand(path)? {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            files.extend(parse(&path.display().to_string(), &text)?);
        }
    }
    merge(files).map_err(|why| Failure::new(Exit::Data, why))
}

/// The files that a path means: itself, or those in the folder that it is.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(path, 0, &mut found)?;
    if found.is_empty() {
        let message = format!("{} has no file that ends in .yaml, .yml or .json", path.display());
        return Err(Failure::new(Exit::Data, message));
    }
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unreadable(folder, &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX {
                walk(&path, depth + 1, found)?;
            }
        } else if matches!(ending, "yaml" | "yml" | "json") {
            found.push(path);
        }
    }
    Ok(())
}

/// The documents of a file, each with the file's name.
fn parse(name: &str, text: &str) -> Result<Vec<(String, File)>, Failure> {
    let documents: Vec<File> = serde_saphyr::from_multiple(text).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Failure::new(Exit::Data, format!("{name}: {why}"))
    })?;
    Ok(documents.into_iter().map(|file| (name.to_owned(), file)).collect())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Io, format!("failed to read {}: {error}", path.display()))
}
