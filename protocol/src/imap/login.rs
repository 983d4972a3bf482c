//! LOGIN toward the provider: user name and password in quotes, or as literals where quotes cannot hold them. A literal leaves
//! when the provider has asked for it, and not before.

use crate::dialogue::Output;
use crate::sasl::{Sent, quoted};
use crate::secret::Secret;

/// The command up to its end, or to the first literal, for which we wait then.
pub(super) fn begin(tag: &str, user_name: &str, password: &Secret<String>, output: &mut Output) -> Sent {
    output.write(format!("{tag} LOGIN ").as_bytes());
    if write_argument(user_name, output) { write_password(password, output) } else { Sent::Command }
}

/// Sends the literal that the provider waits for, and what stands behind it. `None` where it has had everything.
pub(super) fn go_on(
    sent: &Sent,
    user_name: &str,
    password: &Secret<String>,
    output: &mut Output,
) -> Option<Sent> {
    match sent {
        Sent::Command => {
            output.write(user_name.as_bytes());
            Some(write_password(password, output))
        }
        Sent::UserName => {
            output.write(password.expose().as_bytes());
            output.line("");
            Some(Sent::Password)
        }
        Sent::Password | Sent::Token | Sent::Acknowledgement(_) => None,
    }
}

fn write_password(password: &Secret<String>, output: &mut Output) -> Sent {
    output.write(b" ");
    if write_argument(password.expose(), output) {
        output.line("");
        Sent::Password
    } else {
        Sent::UserName
    }
}

/// Writes an argument in quotes where it can stand there (RFC 3501, section 4.3: seven bits), else announces it as a literal
/// and gives false.
fn write_argument(argument: &str, output: &mut Output) -> bool {
    if argument.is_ascii() {
        output.write(&quoted(argument));
    } else {
        output.line(&format!("{{{}}}", argument.len()));
    }
    argument.is_ascii()
}
