//! What an account is told whose token or password is good, and whom the mail server refuses all the same.

use super::judgement::Case;
use super::state::{State, Verdict};
use crate::diagnosis::{Diagnosis, by_id, find};
use crate::store::upstream_logins::{RefusedLogin, UpstreamLogins};

/// More of a fix than this is read where all of it stands.
const LONGEST_FIX: usize = 100;

/// What is known of what the server said.
pub fn diagnosis(logins: &UpstreamLogins) -> Option<&'static Diagnosis> {
    let refused = logins.refused.as_ref()?;
    let noted = refused.diagnosis.as_deref().and_then(by_id);
    // The table may have learned its words since.
    noted.or_else(|| find(logins.protocol.into(), &refused.said))
}

impl Case<'_> {
    /// `logins` are those by the protocols that devices can use here. `None` where none is refused.
    pub(super) fn of_logins(&self, logins: &[UpstreamLogins]) -> Option<Verdict> {
        let mut reasons = Vec::new();
        let mut fixes = Vec::new();
        for one in logins {
            let Some(refused) = &one.refused else { continue };
            let row = diagnosis(one);
            reasons.push(format!("{}: {}", one.protocol, in_words(row, refused)));
            let fix = row.map_or_else(
                || "Gatepost does not know this answer yet; please report it".to_owned(),
                |row| in_short(row, &self.account.address),
            );
            if !fixes.contains(&fix) {
                fixes.push(fix);
            }
        }
        if reasons.is_empty() {
            return None;
        }
        let works = logins.iter().filter(|one| one.refused.is_none() && one.let_in_at.is_some());
        reasons.extend(works.map(|one| format!("{} works", one.protocol)));
        let step = format!("{}; then: {}", fixes.join("; "), self.test());
        Some(Verdict::new(State::Refused, reasons.join("; "), step))
    }
}

fn in_words(row: Option<&Diagnosis>, RefusedLogin { said, .. }: &RefusedLogin) -> String {
    match row {
        Some(row) => format!("{} ({}): {said}", row.title, row.id),
        None => format!("the mail server refuses the login: {said}"),
    }
}

/// The first sentence, and where the rest stands.
fn in_short(row: &Diagnosis, mailbox: &str) -> String {
    let fix = row.fix_for(mailbox);
    let sentence = fix.split_once(". ").map_or(fix.as_str(), |(first, _)| first).trim_end_matches('.');
    let clause = match sentence.split_once([':', ';']) {
        Some((clause, _)) if sentence.len() > LONGEST_FIX => clause,
        _ => sentence,
    };
    format!("{clause} (all of it: `gatepost explain {}`)", row.id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::UNIX_EPOCH;

    use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

    use super::*;
    use crate::account::{Account, AccountId};

    fn refused(protocol: Protocol, said: &str, diagnosis: Option<&str>) -> UpstreamLogins {
        let (said, diagnosis) = (said.to_owned(), diagnosis.map(str::to_owned));
        let refused = Some(RefusedLogin { at: UNIX_EPOCH, said, diagnosis });
        UpstreamLogins { protocol, let_in_at: Some(UNIX_EPOCH), refused_since: Some(UNIX_EPOCH), refused }
    }

    fn let_in(protocol: Protocol) -> UpstreamLogins {
        UpstreamLogins { protocol, let_in_at: Some(UNIX_EPOCH), refused_since: None, refused: None }
    }

    const TENANT: &str =
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.";

    #[test]
    fn a_refused_login_names_protocol_row_words_and_step() {
        let account = Account {
            id: AccountId(1),
            address: "ann@example.com".to_owned(),
            provider: "example".to_owned(),
            smtp_user_name: None,
            pop3_user_name: None,
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: false,
        };
        let case = Case { account: &account, typed: "ann@example.com", lender: None, now: UNIX_EPOCH };
        let off = format!("SMTP: SMTP AUTH is switched off for the whole organisation (D02): {TENANT}");
        let admin = "The admin switches it on for this mailbox alone (all of it: `gatepost explain D02`)";
        let unknown = "Gatepost does not know this answer yet; please report it";
        let test = "; then: gatepost test ann@example.com";
        for (logins, expected) in [
            (vec![], None),
            (vec![let_in(Smtp), let_in(Imap)], None),
            (vec![refused(Smtp, TENANT, Some("D02"))], Some((off.clone(), format!("{admin}{test}")))),
            // As it was noted before the table had the row.
            (
                vec![refused(Smtp, TENANT, None), let_in(Pop3)],
                Some((format!("{off}; POP3 works"), format!("{admin}{test}"))),
            ),
            (
                vec![refused(Smtp, TENANT, Some("D02")), refused(Imap, "NO zzz", Some("D9999"))],
                Some((
                    format!("{off}; IMAP: the mail server refuses the login: NO zzz"),
                    format!("{admin}; {unknown}{test}"),
                )),
            ),
        ] {
            let verdict = case.of_logins(&logins);
            let expected = expected.map(|(reason, step)| Verdict::new(State::Refused, reason, step));
            assert_eq!(verdict, expected, "{logins:?}");
        }
    }
}
