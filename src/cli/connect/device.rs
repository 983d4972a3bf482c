//! Consent by device code: what the person is shown, as text and as a QR code, and the wait for them.

use std::io::stdout;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::super::table::print;
use super::super::{Failure, progress, style};
use crate::config::provider::OAuthClient;
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::device_code::DeviceAuthorization;
use crate::store::grants::NewTokens;

/// Shows a code, and waits until it was used.
pub(super) async fn elsewhere(
    client: &OAuthClient,
    destination: &Destination<'_>,
) -> Result<Result<NewTokens, ConsentError>, Failure> {
    let begun = progress::shown("asking for a code", DeviceAuthorization::begin(client)).await;
    let authorization = match begun {
        Ok(authorization) => authorization,
        Err(error) => return Ok(Err(error)),
    };
    // Nobody can point a camera at a file.
    let columns = style::columns(stdout());
    print(&in_words(destination.expected(), &authorization, columns))?;
    let consented =
        progress::counted_down("waiting for the consent", authorization.expires_at(), authorization.tokens());
    Ok(match consented.await {
        Ok(tokens) => destination.commit(tokens).await,
        Err(error) => Err(error),
    })
}

fn in_words(who: &str, authorization: &DeviceAuthorization<'_>, columns: Option<usize>) -> String {
    let uri = authorization.verification_uri();
    let scanned = authorization.verification_uri_complete().unwrap_or(uri);
    let drawn = columns.and_then(|columns| drawn(scanned.as_str(), columns, style::is_on()));
    format!(
        "On any device with a browser, open\n\n    {uri}\n\ntype the code\n\n    {}\n\nand sign in as {who}.\n{}\n",
        authorization.user_code(),
        drawn.map(|code| format!("Or scan this:\n\n{code}")).unwrap_or_default()
    )
}

/// The QR code in half blocks, two rows of it in each line; `None` where it is wider than the terminal. Cameras want it dark
/// on light: with colour it is, and without it a dark terminal is taken for granted.
fn drawn(text: &str, columns: usize, colour: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    if !colour {
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    let picture = renderer.build();
    if picture.lines().any(|line| line.chars().count() > columns) {
        return None;
    }
    let (start, end) = if colour { ("\u{1b}[30;107m", "\u{1b}[0m") } else { ("", "") };
    let lines: Vec<_> = picture.lines().map(|line| format!("{start}{line}{end}")).collect();
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const TEXT: &str = "https://login.example/device?user_code=ABCD-EFGH";

    #[test]
    fn a_qr_code_fits_or_is_left_out() {
        let drawn_at = |columns| drawn(TEXT, columns, false);
        // Version 3 has 29 modules on each side (ISO 18004), and four of margin on both.
        assert!(drawn_at(36).is_none());
        let code = drawn_at(37).unwrap();
        assert_eq!(code.lines().count(), 37_usize.div_ceil(2));
        assert!(code.lines().all(|line| line.chars().count() == 37), "{code}");
        assert!(code.chars().all(|character| " ▄▀█\n".contains(character)), "{code}");
        // Margins are light: drawn in the terminal's own light colour, or left to the background.
        assert!(code.starts_with(&"█".repeat(37)), "{code}");
    }

    #[test]
    fn with_colour_dark_is_dark_on_every_terminal() {
        let code = drawn(TEXT, 80, true).unwrap();
        for line in code.lines() {
            let line = line.strip_prefix("\u{1b}[30;107m").unwrap().strip_suffix("\u{1b}[0m").unwrap();
            assert_eq!(line.chars().count(), 37);
        }
        assert!(code.starts_with(&format!("\u{1b}[30;107m{}\u{1b}[0m", " ".repeat(37))), "{code}");
    }
}
