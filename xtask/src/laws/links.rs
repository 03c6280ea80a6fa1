//! A law: a link in the documentation leads to a file that is there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Breach;
use crate::environment::root;

/// Checks the relative links of all Markdown files in the root and in `docs`.
pub(super) fn check() -> Result<Vec<Breach>> {
    let mut broken = Vec::new();
    for folder in ["", "docs"] {
        let directory = root().join(folder);
        for page in pages(&directory)? {
            let text = fs::read_to_string(&page)
                .with_context(|| format!("cannot read {}", page.display()))?;
            for link in links(&text).filter(|link| !directory.join(link).exists()) {
                broken.push(Breach {
                    law: "links",
                    place: page.display().to_string(),
                    why: format!("the link to `{link}` leads nowhere"),
                });
            }
        }
    }
    Ok(broken)
}

fn pages(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut pages: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    Ok(pages)
}

/// The files that a page links to, without their anchors. Links to other hosts and within the page
/// are left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.split('#').next().unwrap_or(link))
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_are_left_out() {
        let text = "[a](docs/a.md#top), [b](https://host/b.md), [c](#here), `f[0](x, y)` [d](d.md)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "d.md"]);
    }
}
