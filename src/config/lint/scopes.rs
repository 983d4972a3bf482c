//! L08 to L11, L17: scopes that Microsoft refuses, that bring a token for the wrong service, or that do not fit the protocols.

use gatepost_protocol::Protocol;
use url::Url;

use super::super::complaint::Finding;
use super::super::edit::Value;
use super::super::microsoft::{self, Cloud};
use super::super::provider::GrantType;
use super::super::section::Field;

/// What each protocol needs where a person consents.
const OF_PROTOCOL: [(Protocol, &str); 3] = [
    (Protocol::Smtp, "SMTP.Send"),
    (Protocol::Pop3, "POP.AccessAsUser.All"),
    (Protocol::Imap, "IMAP.AccessAsUser.All"),
];

const OFFLINE: &str = "offline_access";
const GRAPH: &str = "https://graph.microsoft.com/";

/// Complains about the scopes of a provider. `list` is where they stand.
pub(in crate::config) fn judge(
    list: &Field<'_>,
    token_endpoint: &Url,
    grant: GrantType,
    offered: &[Protocol],
) {
    let Some(cloud) = microsoft::cloud(token_endpoint) else { return };
    match grant {
        GrantType::ClientCredentials => of_application(list, cloud),
        GrantType::AuthorizationCode | GrantType::Password => of_person(list, cloud, grant, offered),
        GrantType::ServiceAccount => {}
    }
}

fn of_application(list: &Field<'_>, cloud: &Cloud) {
    let right = format!("{}/.default", cloud.for_applications);
    for (member, scope) in members(list) {
        if scope.starts_with(GRAPH) {
            member.complain(of_another_service(scope, &right));
        }
    }
    let single = |(_, scope): &(Field<'_>, &str)| !scope.starts_with(GRAPH) && !scope.ends_with("/.default");
    if let Some((member, scope)) = members(list).into_iter().find(single) {
        let text = format!("`{scope}` does not go with client_credentials; write `[{right}]` alone");
        let field = if members(list).len() == 1 { member } else { list.clone() };
        let value = match field.node.scalar() {
            Some(_) => Value::Text(right),
            None => Value::List(vec![right]),
        };
        field.complain(Finding::coded("L11", text).right(Some(value)));
    }
}

fn of_person(list: &Field<'_>, cloud: &Cloud, grant: GrantType, offered: &[Protocol]) {
    let scopes: Vec<&str> = members(list).iter().map(|(_, scope)| *scope).collect();
    for (member, scope) in members(list) {
        if let Some(finding) = of_mail(scope, cloud, grant) {
            member.complain(finding);
        }
    }
    if !scopes.contains(&OFFLINE) {
        let mut right: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        right.push(OFFLINE.to_owned());
        let text = format!("lacks `{OFFLINE}`, without which Microsoft gives no refresh token; add it");
        list.complain(Finding::from(text).right(Some(Value::List(right))));
    }
    // `.default` stands for whatever the application was registered with.
    if !scopes.iter().any(|scope| scope.ends_with("/.default")) {
        fit(list, cloud, offered);
    }
}

/// One scope by itself.
fn of_mail(scope: &str, cloud: &Cloud, grant: GrantType) -> Option<Finding> {
    let Cloud { for_people, .. } = cloud;
    if let Some((_, bare)) = OF_PROTOCOL.iter().find(|(_, bare)| scope.eq_ignore_ascii_case(bare)) {
        let right = format!("{for_people}/{bare}");
        let text = format!("`{scope}` alone means Microsoft Graph; write `{right}`");
        return Some(Finding::coded("L10", text).right(Some(Value::Text(right))));
    }
    if scope.starts_with(GRAPH) {
        return Some(of_another_service(scope, &format!("{for_people}/SMTP.Send")));
    }
    let text = format!(
        "`{scope}` is for an application that an admin trusts; with the grant {} write the scopes of the protocols, like \
         `{for_people}/SMTP.Send`, and `{OFFLINE}`",
        grant.name()
    );
    scope.ends_with("/.default").then(|| Finding::coded("L08", text))
}

fn of_another_service(scope: &str, right: &str) -> Finding {
    let text = format!(
        "`{scope}` brings a token that no mail server takes; leave it out, and write `{right}` where it is missing"
    );
    Finding::coded("L09", text)
}

/// Scopes and protocols. What a preset brings is for all protocols, whichever are used.
fn fit(list: &Field<'_>, cloud: &Cloud, offered: &[Protocol]) {
    for (protocol, scope) in OF_PROTOCOL {
        let key = protocol.name();
        let written = members(list).into_iter().find(|(_, written)| is_for(written, scope));
        match (offered.contains(&protocol), written) {
            (true, None) => {
                let text = format!(
                    "the scope {}/{scope} is missing for `{key}`; add it, or write `{key}: none`",
                    cloud.for_people
                );
                list.complain(Finding::coded("L17", text));
            }
            (false, Some((member, written))) if member.node.is_written() => {
                let text = format!(
                    "`{written}` is for `{key}`, which the provider has not; leave it out, or write `{key}`"
                );
                member.complain(Finding::coded("L17", text));
            }
            _ => {}
        }
    }
}

fn is_for(written: &str, scope: &str) -> bool {
    written.to_ascii_lowercase().ends_with(&scope.to_ascii_lowercase())
}

fn members<'a>(list: &Field<'a>) -> Vec<(Field<'a>, &'a str)> {
    let scope = |field: Field<'a>| Some((field.clone(), field.node.scalar()?.trim()));
    list.list().into_iter().filter_map(scope).collect()
}
