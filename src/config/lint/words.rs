//! L20, L22, L24: sentences of manuals that people copy into comments and names. They are not wrong in themselves, so they get a
//! note.

use super::super::complaint::{Complaints, Finding};

/// What is in a text that is worth a note.
struct Sign {
    code: &'static str,
    /// One of each must be in the same comment, as whole words.
    words: &'static [&'static [&'static str]],
    text: &'static str,
}

const SIGNS: [Sign; 3] = [
    Sign {
        code: "L20",
        words: &[
            &["security defaults", "sicherheitsstandards", "sicherheitsstandardwerte"],
            &[
                "off",
                "disable",
                "disabled",
                "deactivate",
                "deactivated",
                "turn off",
                "aus",
                "ausschalten",
                "ausgeschaltet",
                "abschalten",
                "abgeschaltet",
                "deaktivieren",
                "deaktiviert",
            ],
        ],
        text: "Gatepost logs in with OAuth, for which nobody should begin by switching security defaults off; leave them on, and see \
               what `gatepost test` says",
    },
    Sign {
        code: "L22",
        words: &[&["microsoft extra id", "ms extra id", "azure ad", "azure active directory", "azuread"]],
        text: "the product is called Microsoft Entra ID; look for that name in the admin center",
    },
    Sign {
        code: "L24",
        words: &[
            &[
                "mandatory",
                "required",
                "compulsory",
                "pflicht",
                "verpflichtend",
                "zwingend",
                "vorgeschrieben",
            ],
            &["since 2023", "from 2023", "seit 2023", "ab 2023"],
        ],
        text: "there is no single date: it depends on the provider and the protocol, and passwords for SMTP at Exchange Online end \
               later than 2023",
    },
];

/// Complains about what stands in the text of the file: in a value, or in a comment of one or more lines.
pub(in crate::config) fn judge(text: &str, complaints: &Complaints) {
    let pieces = pieces(text);
    for sign in &SIGNS {
        for piece in &pieces {
            let plain = plain(&piece.text);
            if sign.words.iter().all(|any| any.iter().any(|phrase| has(&plain, phrase))) {
                complaints.add(Some(piece.line_of(sign)), "", Finding::coded(sign.code, sign.text), None);
            }
        }
    }
}

/// A sentence in the comment lines that follow one another, or in a line with a value.
struct Piece {
    line: u64,
    text: String,
}

impl Piece {
    /// The line on which the first of its phrases stands.
    fn line_of(&self, sign: &Sign) -> u64 {
        let phrases = sign.words.first().copied().unwrap_or_default();
        let is_on = |line: &str| phrases.iter().any(|phrase| has(&plain(line), phrase));
        let offset = self.text.lines().position(is_on).unwrap_or_default();
        self.line + offset as u64
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut in_comment = false;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.trim_start().strip_prefix('#');
        match (comment, pieces.last_mut()) {
            (Some(comment), Some(piece)) if in_comment => {
                piece.text.push('\n');
                piece.text.push_str(comment);
            }
            _ => pieces.push(Piece { line: number, text: comment.unwrap_or(line).to_owned() }),
        }
        in_comment = comment.is_some();
    }
    pieces.iter().flat_map(sentences).collect()
}

/// What is said in one sentence belongs together.
fn sentences(piece: &Piece) -> Vec<Piece> {
    let mut line = piece.line;
    let mut sentences = Vec::new();
    for sentence in piece.text.replace(".\n", ". \n").split(". ") {
        sentences.push(Piece { line, text: sentence.to_owned() });
        line += sentence.matches('\n').count() as u64;
    }
    sentences
}

/// Words in lower case with a blank between them and at both ends.
fn plain(text: &str) -> String {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    format!(" {} ", words.join(" "))
}

fn has(plain: &str, phrase: &str) -> bool {
    plain.contains(&format!(" {phrase} "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(text: &str) -> Vec<(u64, &'static str)> {
        let complaints = Complaints::new(Path::new("gatepost.yaml"));
        judge(text, &complaints);
        let found = complaints.into_sorted();
        found.iter().filter_map(|complaint| Some((complaint.line?, complaint.code?))).collect()
    }

    #[test]
    fn sentences_of_manuals_get_a_note_at_their_line() {
        for (text, expected) in [
            ("a: 1\n# Turn the \"Security Defaults\" off first.\n", &[(2, "L20")][..]),
            ("# The admin has\n# disabled the security\n# defaults.\n", &[(1, "L20")]),
            ("# Sicherheitsstandards deaktivieren\n", &[(1, "L20")]),
            ("# See\n# Microsoft Extra ID > Overview\n", &[(2, "L22")]),
            ("label: Azure AD\n", &[(1, "L22")]),
            ("a: 1 # from Azure Active Directory\n", &[(1, "L22")]),
            ("# OAuth is mandatory since 2023 for Office 365, Outlook, GMail\n", &[(1, "L24")]),
            ("# Seit 2023 ist OAuth 2.0\n# verpflichtend.\n", &[(2, "L24")]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn words_that_mean_something_else_get_none() {
        for text in [
            "# Security defaults stay on.\n",
            "# Security defaults.\na: off\n",
            "# Microsoft Entra ID\n",
            "# The extra id of the scanner\n",
            "# Azure, address\n",
            "# In use since 2023. The tenant is required.\n# 2024\n",
            "# mandatory since 2024\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
