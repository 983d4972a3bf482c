//! In which of three ways a person consents, and why: in a browser here, by a code on any other device, or in a browser
//! elsewhere whose last address is pasted.

use crate::config::provider::OAuthClient;

/// A way of consenting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A browser on this machine comes back to us; it is opened, or only told the address.
    Browser {
        /// Whether we open it.
        open: bool,
    },
    /// A code, typed on any device.
    DeviceCode,
    /// The address at which a browser anywhere ended.
    Paste,
}

/// What was asked for by name.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
#[group(multiple = false)]
pub(super) struct Named {
    /// Consent on any other device, with a code that is shown here
    #[arg(long)]
    device: bool,
    /// Read the address that the browser ends at from standard input: for a machine without a browser
    #[arg(long)]
    paste: bool,
    /// Print the address for a browser on this machine without opening one
    #[arg(long)]
    no_browser: bool,
}

impl Named {
    /// Whether one was named.
    pub(super) fn is_any(self) -> bool {
        self.device || self.paste || self.no_browser
    }
}

/// The way, and why it was chosen where nobody named it.
pub(super) fn choose(named: Named, has_display: bool, client: &OAuthClient) -> (Way, Option<String>) {
    match named {
        Named { device: true, .. } => (Way::DeviceCode, None),
        Named { paste: true, .. } => (Way::Paste, None),
        // A browser on this machine would not come back to us either.
        _ if client.redirect_uri.is_some() => {
            let why = format!(
                "Connecting by a pasted address, because provider {} sends the browser to an https address, which Gatepost \
                 cannot answer on this machine.",
                client.provider
            );
            (Way::Paste, Some(why))
        }
        Named { no_browser: true, .. } => (Way::Browser { open: false }, None),
        _ if has_display => (
            Way::Browser { open: true },
            Some("Opening your browser, because this machine has one.".to_owned()),
        ),
        _ if client.device_authorization_endpoint.is_some() => {
            let why = "Connecting by a code, because no browser can be opened here (there is no display).";
            (Way::DeviceCode, Some(why.to_owned()))
        }
        _ => {
            let why = format!(
                "Connecting by a pasted address, because no browser can be opened here (there is no display), and provider \
                 {} has no device_authorization_endpoint.",
                client.provider
            );
            (Way::Paste, Some(why))
        }
    }
}

/// Whether a browser that we open would be seen by whoever typed the command.
pub(super) fn has_display() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        !is_set("SSH_CONNECTION")
    } else {
        is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::client;

    #[test]
    fn the_best_way_is_taken_unless_another_is_named() {
        let with_codes = client();
        let mut without = client();
        without.device_authorization_endpoint = None;
        let mut https = client();
        https.redirect_uri = Some("https://127.0.0.1".to_owned());
        let nothing = Named::default();
        let device = Named { device: true, ..nothing };
        let paste = Named { paste: true, ..nothing };
        let no_browser = Named { no_browser: true, ..nothing };
        for (named, has_display, client, way, why) in [
            (nothing, true, &with_codes, Way::Browser { open: true }, "this machine has one"),
            (nothing, false, &with_codes, Way::DeviceCode, "no display"),
            (nothing, false, &without, Way::Paste, "provider example has no device_authorization_endpoint"),
            (device, true, &without, Way::DeviceCode, ""),
            (paste, true, &with_codes, Way::Paste, ""),
            (no_browser, false, &with_codes, Way::Browser { open: false }, ""),
            (nothing, true, &https, Way::Paste, "sends the browser to an https address"),
            (no_browser, true, &https, Way::Paste, "sends the browser to an https address"),
            (nothing, false, &https, Way::Paste, "sends the browser to an https address"),
            (device, true, &https, Way::DeviceCode, ""),
        ] {
            let (chosen, told) = choose(named, has_display, client);
            assert_eq!(chosen, way, "{named:?}, display {has_display}");
            assert!(told.unwrap_or_default().contains(why), "{named:?}, display {has_display}");
        }
    }
}
