//! `docs/errors.md`: everything that can be explained, on a page. A person comes there from a line of the log, so each id is an
//! anchor.

use std::fmt::Write as _;

use super::entry::Entry;
use crate::diagnosis::About;

/// Above everything else.
const HEAD: &str = "\
<!-- Written by `gatepost explain --all` from config/diagnosis.yaml and config/mistakes.yaml. Change those. -->

# What went wrong, and what to do

A failure has the same id everywhere: in the line that the device hears (`… ask admin (D02)`), in the log, in `gatepost status` and in
`gatepost test`. `gatepost explain ID` says offline what stands here; so does `gatepost explain` with the text that a device or a log
has shown. MAILBOX stands for the address of the mailbox.

Gatepost's own log says more than a device: look for the line of the device's address, at the time of the error.
";

/// The page.
pub(super) fn page() -> String {
    let titles = About::ALL.into_iter().map(About::title).chain([Entry::MISTAKES]);
    let sections = titles.map(|title| (title, Entry::all().filter(|entry| entry.about() == title).collect()));
    let sections: Vec<(&str, Vec<Entry>)> = sections.collect();
    let mut page = HEAD.to_owned();
    for (title, entries) in &sections {
        let _ = writeln!(page, "\n**{title}**\n");
        for entry in entries {
            let _ = writeln!(page, "- [{}](#{}) {}", entry.id(), entry.id().to_lowercase(), entry.title());
        }
    }
    for (title, entries) in &sections {
        let _ = writeln!(page, "\n## {title}");
        for entry in entries {
            write_entry(&mut page, entry);
        }
    }
    page
}

fn write_entry(page: &mut String, entry: &Entry) {
    let anchor = entry.id().to_lowercase();
    let _ = writeln!(page, "\n<a id=\"{anchor}\"></a>\n### {}: {}\n", entry.id(), entry.title());
    let said = entry.said();
    if !said.is_empty() {
        page.push_str("```text\n");
        for line in &said {
            let _ = writeln!(page, "{line}");
        }
        page.push_str("```\n\n");
    }
    let _ = writeln!(page, "**Cause.** {}\n", entry.cause());
    let _ = writeln!(page, "**Fix.** {}\n", entry.fix());
    let _ = writeln!(page, "**Retry.** {}", entry.retry_in_words());
}
