//! What `scopes:` says: a list, or in the presets a list for each grant.

use super::file::Value;
use super::oauth_client::{GRANTS, GrantType};
use super::section::Field;

/// The scopes of a grant: a list, or (in the presets) a list for each grant.
pub(super) fn list_of_scopes<'a>(field: &Field<'a>, grant: GrantType) -> Option<Field<'a>> {
    match field.node.value {
        Value::Mapping(_) => scopes_of_grant(field, grant),
        _ => Some(field.clone()),
    }
}

/// The scopes in it. `None` only after a complaint.
pub(super) fn read_scopes(list: &Field<'_>) -> Option<Vec<String>> {
    let scopes = list.texts();
    for scope in scopes.iter().filter(|scope| scope.contains([' ', '\t', ','])) {
        list.complain(format!("`{scope}` is more than one scope; write each on its own, without commas"));
    }
    if list.node.is_empty_list() {
        list.complain("has no scope in it; write those that the provider documents for mail");
    }
    // An empty list was complained about, here or member by member: nothing more is to be said about it.
    Some(scopes).filter(|scopes| !scopes.is_empty())
}

fn scopes_of_grant<'a>(field: &Field<'a>, grant: GrantType) -> Option<Field<'a>> {
    let mut section = field.section()?;
    let lists = GRANTS.map(|(name, grant)| (grant, section.take(name)));
    section.finish();
    let list_of = |wanted| lists.iter().find(|(of, _)| *of == wanted).and_then(|(_, list)| list.clone());
    // What a person may have is the same, however the person says so.
    let of_person = || list_of(GrantType::AuthorizationCode).filter(|_| grant.needs_person());
    let chosen = list_of(grant).or_else(of_person);
    if chosen.is_none() {
        field.complain(format!("none is known for the grant {}; write `scopes:` with a list", grant.name()));
    }
    chosen
}
