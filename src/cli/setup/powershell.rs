//! The PowerShell script that gives an application its mailboxes in Exchange Online. Pure text: the script stands in
//! `microsoft365.ps1`, and what is put into it is put between single quotes, where PowerShell reads nothing but quotes.

use gatepost_protocol::Protocol;

use super::mailboxes::Mailboxes;

const TEMPLATE: &str = include_str!("microsoft365.ps1");

/// The application that is given the mailboxes.
#[derive(Debug)]
pub(super) struct Application {
    /// The directory (tenant) id, or a domain of it.
    pub(super) tenant: String,
    /// Its application (client) id.
    pub(super) client_id: String,
    /// The object id of its enterprise application; the script asks where it is `None`.
    pub(super) object_id: Option<String>,
    /// What Exchange's module calls the national cloud; `None` is the worldwide one.
    pub(super) environment: Option<&'static str>,
}

/// The finished script. With characters beyond ASCII it begins with a byte order mark, because Windows PowerShell takes a file
/// without one for the system's own code page.
pub(super) fn script(application: &Application, mailboxes: &Mailboxes, protocols: &[Protocol]) -> String {
    let Application { tenant, client_id, object_id, environment } = application;
    let environment =
        environment.map(|name| format!(" -ExchangeEnvironmentName {}", quoted(name))).unwrap_or_default();
    let line = |text: &str| format!("        {text}\n");
    let switches: Vec<_> = protocols.iter().map(|protocol| line(switch(*protocol))).collect();
    let named: Vec<_> = mailboxes.named.iter().map(|mailbox| line(&quoted(mailbox))).collect();
    // The mailboxes come last: nothing that stands in one of them is taken for a place to be filled.
    let text = TEMPLATE
        .replace("{{tenant}}", &quoted(tenant))
        .replace("{{app_id}}", &quoted(client_id))
        .replace("{{object_id}}", &quoted(object_id.as_deref().unwrap_or_default()))
        .replace("{{switches}}\n", &switches.concat())
        .replace("{{environment}}", &environment)
        .replace("{{domain}}", &mailboxes.domain.as_deref().map(of_domain).unwrap_or_default())
        .replace("{{mailboxes}}\n", &named.concat());
    if text.is_ascii() { text } else { format!("\u{feff}{text}") }
}

/// The lines that find the mailboxes of a domain.
fn of_domain(domain: &str) -> String {
    format!(
        "
    # All mailboxes of the domain that there are today, shared ones too; run this again for new ones.
    $Domain = {}
    $Mailboxes += @(
        Get-Mailbox -ResultSize Unlimited -RecipientTypeDetails @('UserMailbox', 'SharedMailbox') |
            ForEach-Object {{ \"$($_.PrimarySmtpAddress)\" }} |
            Where-Object {{ $_.ToLowerInvariant().EndsWith($Domain) }}
    )
    $Mailboxes = @($Mailboxes | Sort-Object -Unique)
",
        quoted(&format!("@{}", domain.to_lowercase()))
    )
}

fn switch(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "SmtpClientAuthenticationDisabled = $false",
        Protocol::Pop3 => "PopEnabled = $true",
        Protocol::Imap => "ImapEnabled = $true",
    }
}

/// A string that PowerShell takes as it stands. It ends one at each of five characters (the typographic quotes count as the
/// plain one), and takes any of them twice for itself.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        quoted.push(character);
        if matches!(character, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(character);
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Application {
        Application {
            tenant: "contoso.example".to_owned(),
            client_id: "11111111-1111-1111-1111-111111111111".to_owned(),
            object_id: None,
            environment: None,
        }
    }

    fn mailboxes(named: &[&str]) -> Mailboxes {
        Mailboxes { named: named.iter().map(|&name| name.to_owned()).collect(), domain: None }
    }

    #[test]
    fn no_name_ends_the_string_that_it_stands_in() {
        for (text, expected) in [
            ("scan@contoso.example", "'scan@contoso.example'"),
            ("o'brien@contoso.example", "'o''brien@contoso.example'"),
            ("';Remove-Mailbox", "''';Remove-Mailbox'"),
            ("''", "''''''"),
            ("o\u{2019}brien", "'o\u{2019}\u{2019}brien'"),
            ("\u{2018}\u{201a}\u{201b}", "'\u{2018}\u{2018}\u{201a}\u{201a}\u{201b}\u{201b}'"),
            ("$(Get-Date)`n\"", "'$(Get-Date)`n\"'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn what_stands_in_a_name_is_never_filled_in() {
        let text = script(&application(), &mailboxes(&["{{app_id}}{{domain}}@contoso.example"]), &[]);
        assert!(text.contains("        '{{app_id}}{{domain}}@contoso.example'\n    )\n"), "{text}");
        assert_eq!(text.matches("{{").count(), 2, "no other place is left over");
    }

    #[test]
    fn only_a_script_beyond_ascii_has_a_byte_order_mark() {
        for (mailbox, marked) in [("jörg@contoso.example", true), ("joerg@contoso.example", false)] {
            let text = script(&application(), &mailboxes(&[mailbox]), &[Protocol::Smtp]);
            assert_eq!(text.starts_with('\u{feff}'), marked, "{mailbox}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_switched_on() {
        for protocol in Protocol::ALL {
            let text = script(&application(), &mailboxes(&[]), &[protocol]);
            for other in Protocol::ALL {
                assert_eq!(text.contains(switch(other)), other == protocol, "{protocol} {other}");
            }
        }
    }

    #[test]
    fn a_national_cloud_is_named() {
        let china = Application { environment: Some("O365China"), ..application() };
        let text = script(&china, &mailboxes(&[]), &[]);
        assert!(text.contains("-ShowBanner:$false -ExchangeEnvironmentName 'O365China'\n"), "{text}");
    }
}
