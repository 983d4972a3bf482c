//! What an admin has granted and switched off, and what it makes of a login. The rules themselves are the dialect's.

use gatepost_protocol::Protocol;

use super::dialect::{Login, SwitchedOff, Unpermitted};
use super::grants::Bearer;
use super::{CLIENT_ID, Sandbox, World};

/// Who may do what with whose mailbox.
#[derive(Default)]
pub(super) struct Permissions {
    granted: Vec<Permission>,
    switched: Vec<Switch>,
}

struct Permission {
    right: Right,
    mailbox: String,
    who: String,
    /// How often it is still looked for in vain.
    on_its_way: u32,
}

/// What one may be granted at somebody else's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    FullAccess,
    SendAs,
}

/// A protocol switched off or on. The newest one counts.
struct Switch {
    protocol: Protocol,
    /// `None`: for the tenant.
    mailbox: Option<String>,
    on: bool,
}

/// What a server makes of a token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Welcome,
    Refused(&'static str),
    /// What needs the mailbox is answered with this.
    WithoutMailbox(&'static str),
}

impl Sandbox {
    /// Lets somebody open a mailbox: a person, or the application as [`CLIENT_ID`]. Counts once the personality's
    /// `propagation` is over.
    pub fn grant_full_access(&self, mailbox: &str, who: &str) {
        self.grant(Right::FullAccess, mailbox, who);
    }

    /// Lets somebody send as a mailbox.
    pub fn grant_send_as(&self, mailbox: &str, who: &str) {
        self.grant(Right::SendAs, mailbox, who);
    }

    /// Refuses logins for a mailbox by this protocol from now on.
    pub fn switch_off(&self, protocol: Protocol, mailbox: &str) {
        self.switch(protocol, Some(mailbox), false);
    }

    /// Takes them again, even where the tenant has the protocol switched off.
    pub fn switch_on(&self, protocol: Protocol, mailbox: &str) {
        self.switch(protocol, Some(mailbox), true);
    }

    /// Refuses logins by this protocol for every mailbox that does not have it switched on.
    pub fn switch_off_for_tenant(&self, protocol: Protocol) {
        self.switch(protocol, None, false);
    }

    fn grant(&self, right: Right, mailbox: &str, who: &str) {
        let mut world = self.shared.world();
        let on_its_way = world.personality.propagation;
        let (mailbox, who) = (mailbox.to_owned(), who.to_owned());
        world.permissions.granted.push(Permission { right, mailbox, who, on_its_way });
    }

    fn switch(&self, protocol: Protocol, mailbox: Option<&str>, on: bool) {
        let switch = Switch { protocol, mailbox: mailbox.map(str::to_owned), on };
        self.shared.world().permissions.switched.push(switch);
    }
}

impl World {
    /// What a login with this token for this mailbox comes to.
    pub(super) fn judge(&mut self, protocol: Protocol, rules: &Login, mailbox: &str, token: &str) -> Verdict {
        let Some(bearer) = self.grants.bearer(token) else { return Verdict::Refused(rules.refused) };
        let resources = self.personality.dialect.resources;
        let resource = self.grants.resource(token).unwrap_or_default();
        if !resources.is_empty() && !resource.is_empty() && !resources.contains(&resource) {
            return Verdict::Refused(rules.refused);
        }
        let may_open = |permissions: &mut Permissions, who| permissions.has(Right::FullAccess, mailbox, who);
        let permitted = match &bearer {
            Bearer::Person(person) => {
                person.eq_ignore_ascii_case(mailbox)
                    || rules.delegates && may_open(&mut self.permissions, person)
            }
            Bearer::Application => may_open(&mut self.permissions, CLIENT_ID),
        };
        let otherwise = match bearer {
            Bearer::Person(_) => rules.stranger,
            Bearer::Application => rules.application,
        };
        if !permitted && matches!(otherwise, Unpermitted::Refused) {
            return Verdict::Refused(rules.refused);
        }
        if let Some(words) = self.permissions.switched_off(protocol, mailbox, &rules.switched_off) {
            return Verdict::Refused(words);
        }
        match otherwise {
            Unpermitted::WithoutMailbox(words) if !permitted => Verdict::WithoutMailbox(words),
            _ => Verdict::Welcome,
        }
    }
}

impl Permissions {
    /// Whether somebody has this right by now. A permission that is still on its way is a step nearer after this.
    pub(super) fn has(&mut self, right: Right, mailbox: &str, who: &str) -> bool {
        let found = self.granted.iter_mut().find(|granted| {
            granted.right == right
                && granted.mailbox.eq_ignore_ascii_case(mailbox)
                && granted.who.eq_ignore_ascii_case(who)
        });
        let Some(permission) = found else { return false };
        let counts = permission.on_its_way == 0;
        permission.on_its_way = permission.on_its_way.saturating_sub(1);
        counts
    }

    /// What is said where the protocol is switched off. A mailbox's own switch wins over the tenant's.
    fn switched_off(&self, protocol: Protocol, mailbox: &str, words: &SwitchedOff) -> Option<&'static str> {
        let newest = |whose: Option<&str>| {
            let same = |of: &Option<String>| match (of.as_deref(), whose) {
                (Some(of), Some(whose)) => of.eq_ignore_ascii_case(whose),
                (of, whose) => of.is_none() && whose.is_none(),
            };
            self.switched.iter().rfind(|switch| switch.protocol == protocol && same(&switch.mailbox))
        };
        match (newest(Some(mailbox)), newest(None)) {
            (Some(own), _) => (!own.on).then_some(words.mailbox),
            (None, Some(tenant)) => (!tenant.on).then_some(words.tenant),
            (None, None) => None,
        }
    }
}
