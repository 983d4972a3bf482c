//! [`Patience`]: what one connection may get wrong before it is ended, the same in every protocol.

use crate::failure::AuthFailure;

/// Beyond this many lines that are no commands it is not a mail program that speaks.
const MAX_BAD_COMMANDS: u32 = 10;

/// After this many logins that failed for another reason than a wrong password, which has a limit of its own, the connection
/// ends: each may have cost a login at the provider.
const MAX_FAILED_LOGINS: u32 = 10;

/// Counts what goes wrong on one connection.
#[derive(Debug)]
pub(crate) struct Patience {
    wrong_passwords_left: u32,
    bad_commands: u32,
    failed_logins: u32,
}

impl Patience {
    /// The last of so many wrong passwords ends the connection.
    pub(crate) fn new(wrong_passwords: u32) -> Self {
        Self { wrong_passwords_left: wrong_passwords, bad_commands: 0, failed_logins: 0 }
    }

    /// A login failed. True when that was one too many.
    pub(crate) fn ends_after_failure(&mut self, failure: &AuthFailure) -> bool {
        if *failure == AuthFailure::WrongCredentials {
            self.wrong_passwords_left = self.wrong_passwords_left.saturating_sub(1);
        } else {
            self.failed_logins += 1;
        }
        self.wrong_passwords_left == 0 || self.failed_logins >= MAX_FAILED_LOGINS
    }

    /// A line was no command. True when that was one too many.
    pub(crate) fn ends_after_bad_command(&mut self) -> bool {
        self.bad_commands += 1;
        self.bad_commands >= MAX_BAD_COMMANDS
    }
}
