//! What Microsoft's token endpoint says: an OAuth error, and behind the number of its own what people need to open a ticket.

use super::TokenFault;

/// The application, the tenant and the person in these texts.
const APPLICATION: &str = "11111111-2222-4333-8444-555555555555";
const TENANT: &str = "66666666-7777-4888-9999-000000000000";

impl TokenFault {
    /// AADSTS50173: the person's password was changed, or an admin ended the sessions.
    pub fn entra_revoked() -> Self {
        Self::entra(
            400,
            "invalid_grant",
            50173,
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed \
             or reset their password. The grant was issued on '2026-11-01T08:00:00.0000000Z' and the TokensValidFrom date \
             (before which tokens are not valid) for this user is '2026-11-20T08:00:00.0000000Z'.",
        )
    }

    /// AADSTS50076: a second factor is wanted.
    pub fn entra_second_factor() -> Self {
        Self::entra(
            400,
            "invalid_grant",
            50076,
            "Due to a configuration change made by your administrator, or because you moved to a new location, you must use \
             multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'.",
        )
    }

    /// AADSTS53003: Conditional Access.
    pub fn entra_conditional_access() -> Self {
        Self::entra(
            400,
            "invalid_grant",
            53003,
            "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        )
    }

    /// AADSTS65001: nobody consented to these scopes.
    pub fn entra_no_consent() -> Self {
        let words = format!(
            "The user or administrator has not consented to use the application with ID '{APPLICATION}' named 'Gatepost'. Send \
             an interactive authorization request for this user and resource."
        );
        Self::entra(400, "invalid_grant", 65001, &words)
    }

    /// AADSTS700016: the client id is not one of this tenant.
    pub fn entra_unknown_application() -> Self {
        let words = format!(
            "Application with identifier '{APPLICATION}' was not found in the directory '{TENANT}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the tenant. \
             You may have sent your authentication request to the wrong tenant."
        );
        Self::entra(400, "unauthorized_client", 700_016, &words)
    }

    /// AADSTS7000215: the secret is wrong.
    pub fn entra_wrong_secret() -> Self {
        let words = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the \
             client secret ID, for a secret added to app '{APPLICATION}'."
        );
        Self::entra(401, "invalid_client", 7_000_215, &words)
    }

    /// AADSTS7000222: the secret has expired.
    pub fn entra_expired_secret() -> Self {
        let words = format!(
            "The provided client secret keys for app '{APPLICATION}' are expired. Visit the Azure portal to create new keys for \
             your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: \
             https://aka.ms/certCreds."
        );
        Self::entra(401, "invalid_client", 7_000_222, &words)
    }

    /// AADSTS7000218: there is no secret.
    pub fn entra_missing_secret() -> Self {
        Self::entra(
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )
    }

    /// AADSTS700082: the consent was not used for 90 days.
    pub fn entra_unused() -> Self {
        Self::entra(
            400,
            "invalid_grant",
            700_082,
            "The refresh token has expired due to inactivity. The token was issued on 2026-08-01T08:00:00.0000000Z and was \
             inactive for 90.00:00:00.",
        )
    }

    /// AADSTS90002: there is no such tenant.
    pub fn entra_unknown_tenant() -> Self {
        let words = format!(
            "Tenant '{TENANT}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
             cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the \
             tenant."
        );
        Self::entra(400, "invalid_request", 90002, &words)
    }

    /// AADSTS50196: the same was asked too often.
    pub fn entra_loop() -> Self {
        Self::entra(
            400,
            "invalid_grant",
            50196,
            "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
        )
    }

    /// AADSTS90055: too much is asked by the whole tenant.
    pub fn entra_throttled() -> Self {
        Self::entra(
            429,
            "temporarily_unavailable",
            90055,
            "TenantThrottlingError - There are too many incoming requests. This exception is thrown for blocked tenants.",
        )
    }

    /// A body as Entra writes it.
    pub fn entra(status: u16, error: &str, number: u32, words: &str) -> Self {
        const TIMESTAMP: &str = "2026-11-21 08:00:00Z";
        const TRACE: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c00";
        const CORRELATION: &str = "5f4e3d2c-1b0a-4f9e-8d7c-6b5a4f3e2d1c";
        let body = serde_json::json!({
            "error": error,
            "error_description": format!(
                "AADSTS{number}: {words} Trace ID: {TRACE} Correlation ID: {CORRELATION} Timestamp: {TIMESTAMP}"
            ),
            "error_codes": [number],
            "timestamp": TIMESTAMP,
            "trace_id": TRACE,
            "correlation_id": CORRELATION,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        });
        Self::json(status, &body)
    }
}
