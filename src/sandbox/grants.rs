//! The authorization server's memory, without HTTP: codes, refresh tokens and access tokens, and the rules of RFC 6749,
//! RFC 7636 (PKCE) and RFC 9700 section 4.14 (rotation: a refresh token used twice ends its whole family).

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::personality::Personality;
use super::readable_token::{self, Claims};

/// What a consent gave, until its code is redeemed.
#[derive(Clone, Debug)]
pub(super) struct Consent {
    pub(super) mailbox: String,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: String,
    pub(super) scope: String,
    /// Whether a refresh token comes of it too.
    pub(super) refreshable: bool,
}

/// Whose an access token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    Application,
    Person(String),
}

/// What the token endpoint gives.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: u64,
    pub(super) scope: String,
    /// Whose it is; `None` for the application itself.
    pub(super) mailbox: Option<String>,
}

/// The error codes of RFC 6749 section 5.2 that depend on what was issued before, with a description.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidGrant(pub(super) &'static str);

/// Everything issued, and to whom.
pub(super) struct Grants {
    random: RandomText,
    codes: HashMap<String, Code>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    revoked_families: HashSet<u64>,
    last_family: u64,
}

struct Code {
    consent: Consent,
    family: u64,
    redeemed: bool,
}

struct RefreshToken {
    mailbox: String,
    scope: String,
    family: u64,
    rotated: bool,
}

struct AccessToken {
    bearer: Bearer,
    scope: String,
    family: u64,
    expires_at: Instant,
}

impl Grants {
    /// Nothing issued yet. All codes and tokens to come are drawn from the seed.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            random: RandomText { seed, block: 0 },
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: HashMap::new(),
            revoked_families: HashSet::new(),
            last_family: 0,
        }
    }

    /// A new code for a consent.
    pub(super) fn consented(&mut self, consent: Consent) -> String {
        let code = self.random.text(43);
        let family = self.new_family();
        self.codes.insert(code.clone(), Code { consent, family, redeemed: false });
        code
    }

    /// Redeems a code, once. A code that comes twice has been stolen from somebody: what it gave ends too
    /// (RFC 6749 section 4.1.2).
    pub(super) fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
        personality: &Personality,
    ) -> Result<Issued, InvalidGrant> {
        let Some(code) = self.codes.get_mut(code) else { return Err(InvalidGrant("unknown code")) };
        if code.redeemed {
            self.revoked_families.insert(code.family);
            return Err(InvalidGrant("the code was used before"));
        }
        code.redeemed = true;
        if code.consent.redirect_uri != redirect_uri {
            return Err(InvalidGrant("redirect_uri differs from the authorization request"));
        }
        if code.consent.code_challenge != challenge(code_verifier) {
            return Err(InvalidGrant("code_verifier does not fit the code_challenge"));
        }
        let (Consent { mailbox, scope, refreshable, .. }, family) = (code.consent.clone(), code.family);
        let refresh_token = refreshable.then(|| self.new_refresh_token(&mailbox, &scope, family));
        Ok(self.issue(Some(mailbox), scope, family, refresh_token, personality))
    }

    /// What a person consented to on the device page.
    pub(super) fn device(&mut self, mailbox: String, scope: String, personality: &Personality) -> Issued {
        let family = self.new_family();
        let refreshable =
            personality.asks_for_refresh_token(|name| if name == "scope" { &scope } else { "" });
        let refresh_token = refreshable.then(|| self.new_refresh_token(&mailbox, &scope, family));
        self.issue(Some(mailbox), scope, family, refresh_token, personality)
    }

    /// A token of a mailbox whose organisation has allowed it. Nobody consented, so nobody is named.
    pub(super) fn delegated(&mut self, mailbox: String, scope: String, personality: &Personality) -> Issued {
        let family = self.new_family();
        Issued { mailbox: None, ..self.issue(Some(mailbox), scope, family, None, personality) }
    }

    /// Text that nobody can guess.
    pub(super) fn random(&mut self, length: usize) -> String {
        self.random.text(length)
    }

    /// A new access token for a refresh token, and with rotation a new refresh token.
    pub(super) fn refresh(
        &mut self,
        refresh_token: &str,
        personality: &Personality,
    ) -> Result<Issued, InvalidGrant> {
        let Some(old) = self.refresh_tokens.get_mut(refresh_token) else {
            return Err(InvalidGrant("unknown refresh token"));
        };
        let (mailbox, scope, family) = (old.mailbox.clone(), old.scope.clone(), old.family);
        if old.rotated {
            self.revoked_families.insert(family);
            return Err(InvalidGrant("the refresh token was used before; its family is revoked"));
        }
        old.rotated = personality.rotation;
        if self.revoked_families.contains(&family) {
            return Err(InvalidGrant("the grant is revoked"));
        }
        let refresh_token = personality.rotation.then(|| self.new_refresh_token(&mailbox, &scope, family));
        Ok(self.issue(Some(mailbox), scope, family, refresh_token, personality))
    }

    /// A token for the application itself.
    pub(super) fn client_credentials(&mut self, scope: String, personality: &Personality) -> Issued {
        let family = self.new_family();
        self.issue(None, scope, family, None, personality)
    }

    /// Whose this access token is, while it is good.
    pub(super) fn bearer(&self, token: &str) -> Option<Bearer> {
        let access = self.access_tokens.get(token)?;
        let ended = access.expires_at <= Instant::now() || self.revoked_families.contains(&access.family);
        (!ended).then(|| access.bearer.clone())
    }

    /// What this access token is for, where its scopes say so.
    pub(super) fn resource(&self, token: &str) -> Option<&str> {
        readable_token::resource(&self.access_tokens.get(token)?.scope)
    }

    /// Ends every access token before its time, and nothing else.
    pub(super) fn forget_access_tokens(&mut self) {
        self.access_tokens.clear();
    }

    /// Ends everything that the mailbox's owner ever consented to.
    pub(super) fn revoke(&mut self, mailbox: &str) {
        let owned = |owner: &str| owner.eq_ignore_ascii_case(mailbox);
        let families =
            self.refresh_tokens.values().filter(|token| owned(&token.mailbox)).map(|token| token.family);
        self.revoked_families.extend(families);
        self.access_tokens
            .retain(|_, token| !matches!(&token.bearer, Bearer::Person(person) if owned(person)));
    }

    /// Ends what came of the same consent as this token; an access token ends alone. One that is unknown ends nothing.
    pub(super) fn revoke_token(&mut self, token: &str) {
        if let Some(RefreshToken { family, .. }) = self.refresh_tokens.get(token) {
            self.revoked_families.insert(*family);
        }
        self.access_tokens.remove(token);
    }

    /// Whose consent gave this token, while it is good.
    pub(super) fn owner(&self, token: &str) -> Option<String> {
        let refresh = self.refresh_tokens.get(token);
        let live = refresh.filter(|token| !token.rotated && !self.revoked_families.contains(&token.family));
        match (live, self.bearer(token)) {
            (Some(token), _) => Some(token.mailbox.clone()),
            (None, Some(Bearer::Person(mailbox))) => Some(mailbox),
            (None, Some(Bearer::Application) | None) => None,
        }
    }

    fn new_family(&mut self) -> u64 {
        self.last_family += 1;
        self.last_family
    }

    fn new_refresh_token(&mut self, mailbox: &str, scope: &str, family: u64) -> String {
        let token = self.random.text(64);
        let (mailbox, scope) = (mailbox.to_owned(), scope.to_owned());
        self.refresh_tokens.insert(token.clone(), RefreshToken { mailbox, scope, family, rotated: false });
        token
    }

    fn issue(
        &mut self,
        mailbox: Option<String>,
        scope: String,
        family: u64,
        refresh_token: Option<String>,
        personality: &Personality,
    ) -> Issued {
        let expires_at = Instant::now() + personality.token_lifetime;
        let claims =
            Claims { mailbox: mailbox.as_deref(), scope: &scope, lifetime: personality.token_lifetime };
        let readable = if personality.readable_tokens { claims.encoded() } else { String::new() };
        let rest = personality.token_length.checked_sub(readable.len());
        let rest = rest.unwrap_or(readable_token::SIGNATURE_LENGTH);
        let access_token = readable + &self.random.text(rest);
        let bearer = mailbox.clone().map_or(Bearer::Application, Bearer::Person);
        let access = AccessToken { bearer, scope: scope.clone(), family, expires_at };
        self.access_tokens.insert(access_token.clone(), access);
        let expires_in = personality.token_lifetime.as_secs();
        Issued { access_token, refresh_token, expires_in, scope, mailbox }
    }
}

/// `BASE64URL(SHA256(code_verifier))`, RFC 7636 section 4.6.
pub(super) fn challenge(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, code_verifier.as_bytes()))
}

/// Text that nobody can guess without the seed, in the alphabet of base64url.
struct RandomText {
    seed: [u8; 32],
    block: u64,
}

impl RandomText {
    fn text(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 43);
        while text.len() < length {
            self.block += 1;
            let block = [self.seed.as_slice(), &self.block.to_be_bytes()].concat();
            URL_SAFE_NO_PAD.encode_string(digest::digest(&digest::SHA256, &block), &mut text);
        }
        text.truncate(length);
        text
    }
}

#[cfg(test)]
// A test says what went wrong by panicking.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Bearer, Consent, Grants, InvalidGrant, challenge};
    use crate::sandbox::Personality;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const REDIRECT: &str = "http://localhost:1/";

    fn consented(grants: &mut Grants) -> String {
        grants.consented(Consent {
            mailbox: "ada@example.com".to_owned(),
            redirect_uri: REDIRECT.to_owned(),
            code_challenge: challenge(VERIFIER),
            scope: "mail".to_owned(),
            refreshable: true,
        })
    }

    fn ada() -> Bearer {
        Bearer::Person("ada@example.com".to_owned())
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        assert_eq!(challenge(VERIFIER), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_code_is_redeemed_once_and_the_second_time_ends_what_the_first_gave() {
        let (mut grants, personality) = (Grants::new([7; 32]), Personality::default());
        let code = consented(&mut grants);
        let issued = grants.redeem(&code, REDIRECT, VERIFIER, &personality).unwrap();
        assert_eq!(grants.bearer(&issued.access_token), Some(ada()));
        assert!(grants.redeem(&code, REDIRECT, VERIFIER, &personality).is_err());
        assert_eq!(grants.bearer(&issued.access_token), None);
    }

    #[test]
    fn a_wrong_verifier_or_redirect_is_refused() {
        for (redirect, verifier) in [(REDIRECT, "wrong"), ("http://localhost:2/", VERIFIER)] {
            let mut grants = Grants::new([7; 32]);
            let code = consented(&mut grants);
            assert!(grants.redeem(&code, redirect, verifier, &Personality::default()).is_err());
        }
    }

    #[test]
    fn a_refresh_token_used_twice_ends_its_family() {
        let (mut grants, personality) = (Grants::new([7; 32]), Personality::default());
        let code = consented(&mut grants);
        let first = grants.redeem(&code, REDIRECT, VERIFIER, &personality).unwrap().refresh_token.unwrap();
        let second = grants.refresh(&first, &personality).unwrap();
        assert_eq!(grants.bearer(&second.access_token), Some(ada()));
        assert_eq!(
            grants.refresh(&first, &personality).unwrap_err(),
            InvalidGrant("the refresh token was used before; its family is revoked")
        );
        assert_eq!(grants.bearer(&second.access_token), None);
        assert!(grants.refresh(&second.refresh_token.unwrap(), &personality).is_err());
    }

    #[test]
    fn without_rotation_a_refresh_token_stays() {
        let (mut grants, personality) =
            (Grants::new([7; 32]), Personality { rotation: false, ..Personality::default() });
        let code = consented(&mut grants);
        let token = grants.redeem(&code, REDIRECT, VERIFIER, &personality).unwrap().refresh_token.unwrap();
        for _ in 0..2 {
            assert!(grants.refresh(&token, &personality).unwrap().refresh_token.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_access_token_ends_at_its_time() {
        let (mut grants, personality) = (Grants::new([7; 32]), Personality::default());
        let token = grants.client_credentials(String::new(), &personality).access_token;
        assert_eq!(grants.bearer(&token), Some(Bearer::Application));
        tokio::time::advance(personality.token_lifetime).await;
        assert_eq!(grants.bearer(&token), None);
    }
}
