//! [`Contents`]: all that the store knows, opened, for a backup. Row numbers stay behind: accounts know each other by address, and
//! what was sealed for a row is sealed anew wherever it is restored.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sqlx::{FromRow, SqliteConnection};
use zeroize::Zeroizing;

use super::accounts::{self, AccountId};
use super::credentials::{self, Credential};
use super::grants::{self, GrantKey};
use super::seal::Sealer;
use super::{LAST, Store, StoreError, mailbox_passwords, milliseconds};

/// A secret on its way through a backup, and the only one that can be written out. It stands there in base64, which needs no
/// escapes: text with escapes would pass through buffers that nobody wipes.
#[derive(Clone, Debug)]
pub struct Carried(pub Secret<String>);

/// All that the store knows. Times are milliseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// With everything that belongs to each.
    pub accounts: Vec<AccountContents>,
    /// The applications' own tokens, by provider.
    pub applications: BTreeMap<String, GrantContents>,
}

/// An account with what belongs to it. Fields are as in [`accounts::Account`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "they are the columns of the tables")]
pub struct AccountContents {
    pub address: String,
    pub provider: String,
    pub smtp_user_name: Option<String>,
    pub pop3_user_name: Option<String>,
    pub imap_user_name: Option<String>,
    pub owner: Option<String>,
    /// The address of the account whose grant it uses.
    pub token_account: Option<String>,
    pub disabled: bool,
    pub last_login_at: Option<i64>,
    pub credentials: Vec<CredentialContents>,
    pub grant: Option<GrantContents>,
    /// What a service account got for single mailboxes, by mailbox.
    pub mailbox_grants: BTreeMap<String, GrantContents>,
    pub password: Option<PasswordContents>,
}

/// What a device types. Fields are as in [`Credential`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "they are the columns of the table")]
pub struct CredentialContents {
    pub user_name: String,
    pub mailbox: Option<String>,
    pub password_hash: Carried,
    pub label: Option<String>,
    pub created_at: i64,
    pub last_used_at: Option<i64>,
}

/// What a provider gave, or why it gave nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "they are the columns of the table")]
pub struct GrantContents {
    pub refresh_token: Option<Carried>,
    pub access_token: Option<Carried>,
    pub record: GrantRecord,
}

/// What is known of a grant, beside its tokens.
#[derive(Clone, Debug, FromRow, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "they are the columns of the table")]
pub struct GrantRecord {
    pub expires_at: Option<i64>,
    pub scopes: String,
    pub identity: Option<String>,
    pub refused: Option<String>,
    pub issued_at: Option<i64>,
    pub used_at: Option<i64>,
    pub failed_since: Option<i64>,
    pub failed_at: Option<i64>,
    pub failure: Option<String>,
    pub failure_lasts: bool,
}

/// What opens a mailbox at a provider without OAuth.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "they are the columns of the table")]
pub struct PasswordContents {
    pub password: Carried,
    pub refused: Option<String>,
}

impl Store {
    /// All that there is, at one moment.
    pub async fn contents(&self) -> Result<Contents, StoreError> {
        let (mut transaction, sealer) = self.begin_reading().await?;
        let all = accounts::all(&mut transaction).await?;
        let mut applications = BTreeMap::new();
        for (owner, grant) in grants(&mut transaction, &sealer, None).await? {
            applications.insert(owner.strip_prefix("provider:").unwrap_or(&owner).to_owned(), grant);
        }
        let mut contents = Contents { accounts: Vec::new(), applications };
        for account in &all {
            let id = account.id;
            let token_account = all.iter().find(|other| Some(other.id) == account.token_account);
            let credentials = credentials::of(&sealer, &mut transaction, Some(id)).await?;
            let mut grants = grants(&mut transaction, &sealer, Some(id)).await?;
            contents.accounts.push(AccountContents {
                address: account.address.clone(),
                provider: account.provider.clone(),
                smtp_user_name: account.smtp_user_name.clone(),
                pop3_user_name: account.pop3_user_name.clone(),
                imap_user_name: account.imap_user_name.clone(),
                owner: account.owner.clone(),
                token_account: token_account.map(|other| other.address.clone()),
                disabled: account.disabled,
                last_login_at: last_login(&mut transaction, id).await?,
                credentials: credentials.into_iter().map(CredentialContents::from).collect(),
                grant: grants.remove(&GrantKey::Account(id).to_string()),
                mailbox_grants: by_mailbox(id, grants),
                password: password(&mut transaction, &sealer, id).await?,
            });
        }
        Ok(contents)
    }
}

/// Whether the moment is one that the store may hold: some day between 1970 and 9999.
pub fn is_moment(milliseconds: i64) -> bool {
    (0..=LAST).contains(&milliseconds)
}

impl Contents {
    /// Whether all times are such as the store may hold.
    pub fn has_moments_only(&self) -> bool {
        let own = self.applications.values().chain(self.accounts.iter().flat_map(AccountContents::grants));
        let of_grants = own.flat_map(|GrantContents { record, .. }| {
            [record.expires_at, record.issued_at, record.used_at, record.failed_since, record.failed_at]
        });
        let of_accounts = self.accounts.iter().map(|account| account.last_login_at);
        let credentials = self.accounts.iter().flat_map(|account| &account.credentials);
        let of_credentials = credentials.flat_map(|one| [Some(one.created_at), one.last_used_at]);
        of_grants.chain(of_accounts).chain(of_credentials).flatten().all(is_moment)
    }

    /// How many devices' passwords there are.
    pub fn credentials(&self) -> usize {
        self.accounts.iter().map(|account| account.credentials.len()).sum()
    }
}

impl AccountContents {
    fn grants(&self) -> impl Iterator<Item = &GrantContents> {
        self.grant.iter().chain(self.mailbox_grants.values())
    }
}

impl From<Credential> for CredentialContents {
    fn from(credential: Credential) -> Self {
        Self {
            user_name: credential.user_name,
            mailbox: credential.mailbox,
            password_hash: Carried(credential.password_hash),
            label: credential.label,
            created_at: milliseconds(credential.created_at),
            last_used_at: credential.last_used_at.map(milliseconds),
        }
    }
}

impl Serialize for Carried {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(self.0.expose())))
    }
}

impl<'de> Deserialize<'de> for Carried {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed from the text that it stands in, which is wiped.
        let text = <&str>::deserialize(deserializer)?;
        let octets = STANDARD.decode(text).map_err(|_| de::Error::custom("a secret is not base64"))?;
        let text = String::from_utf8(octets).map_err(|_| de::Error::custom("a secret is not UTF-8"))?;
        Ok(Self(Secret::new(text)))
    }
}

#[derive(FromRow)]
struct SealedGrant {
    owner: String,
    refresh_token_sealed: Option<Vec<u8>>,
    access_token_sealed: Option<Vec<u8>>,
    #[sqlx(flatten)]
    record: GrantRecord,
}

/// The grants of an account, or of no account, by owner.
async fn grants(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    account: Option<AccountId>,
) -> Result<BTreeMap<String, GrantContents>, StoreError> {
    let rows: Vec<SealedGrant> = sqlx::query_as(
        // What was forgotten has a row, but nothing in it.
        "SELECT * FROM grants
         WHERE account_id IS $1
             AND (access_token_sealed IS NOT NULL OR refresh_token_sealed IS NOT NULL OR failure IS NOT NULL)",
    )
    .bind(account.map(|AccountId(id)| id))
    .fetch_all(connection)
    .await?;
    let opened = |row: SealedGrant| {
        let open = |record, sealed: Option<Vec<u8>>| {
            sealed.map(|sealed| sealer.open(record, &sealed).map(Carried)).transpose()
        };
        let grant = GrantContents {
            refresh_token: open(grants::refresh_record(&row.owner), row.refresh_token_sealed)?,
            access_token: open(grants::access_record(&row.owner), row.access_token_sealed)?,
            record: row.record,
        };
        Ok((row.owner, grant))
    };
    rows.into_iter().map(opened).collect()
}

fn by_mailbox(id: AccountId, grants: BTreeMap<String, GrantContents>) -> BTreeMap<String, GrantContents> {
    let before = GrantKey::Mailbox(id, String::new()).to_string();
    let mailbox = |owner: String| owner.strip_prefix(&before).map(str::to_owned);
    grants.into_iter().filter_map(|(owner, grant)| Some((mailbox(owner)?, grant))).collect()
}

async fn password(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    id: AccountId,
) -> Result<Option<PasswordContents>, StoreError> {
    let row: Option<(Vec<u8>, Option<String>)> =
        sqlx::query_as("SELECT password_sealed, refused FROM mailbox_passwords WHERE account_id = $1")
            .bind(id.0)
            .fetch_optional(connection)
            .await?;
    let Some((octets, refused)) = row else { return Ok(None) };
    let password = sealer.open(mailbox_passwords::record(&id.0.to_string()), &octets)?;
    Ok(Some(PasswordContents { password: Carried(password), refused }))
}

async fn last_login(connection: &mut SqliteConnection, id: AccountId) -> Result<Option<i64>, StoreError> {
    let at = sqlx::query_scalar("SELECT last_login_at FROM accounts WHERE id = $1").bind(id.0);
    Ok(at.fetch_one(connection).await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::super::tests::open;
    use super::*;

    /// What a backup has no use for: row numbers, and what is only of this moment.
    const LEFT_BEHIND: [&str; 8] = [
        "account_id",
        "id",
        "lease_holder",
        "lease_until",
        // Whose it is, is told by where it stands.
        "owner of grants",
        // The delegate's address instead.
        "token_account_id",
        "value",
        "version",
    ];

    #[tokio::test]
    async fn no_column_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.name IN ('accounts', 'credentials', 'grants', 'mailbox_passwords')",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        let written = serde_json::to_string(&full()).unwrap();
        let mut forgotten = BTreeSet::new();
        for (table, column) in columns {
            let name = column.strip_suffix("_sealed").unwrap_or(&column);
            let is_left =
                LEFT_BEHIND.contains(&name) || LEFT_BEHIND.contains(&&*format!("{name} of {table}"));
            if !is_left && !written.contains(&format!("\"{name}\":")) {
                forgotten.insert(format!("{table}.{name}"));
            }
        }
        assert_eq!(forgotten, BTreeSet::new());
    }

    fn full() -> Contents {
        let secret = || Carried(Secret::new(String::new()));
        let record = GrantRecord {
            expires_at: None,
            scopes: String::new(),
            identity: None,
            refused: None,
            issued_at: None,
            used_at: None,
            failed_since: None,
            failed_at: None,
            failure: None,
            failure_lasts: false,
        };
        let grant = GrantContents { refresh_token: None, access_token: None, record };
        let credential = CredentialContents {
            user_name: String::new(),
            mailbox: None,
            password_hash: secret(),
            label: None,
            created_at: 0,
            last_used_at: None,
        };
        let account = AccountContents {
            address: String::new(),
            provider: String::new(),
            smtp_user_name: None,
            pop3_user_name: None,
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: false,
            last_login_at: None,
            credentials: vec![credential],
            grant: Some(grant),
            mailbox_grants: BTreeMap::new(),
            password: Some(PasswordContents { password: secret(), refused: None }),
        };
        Contents { accounts: vec![account], applications: BTreeMap::new() }
    }

    #[test]
    fn every_time_is_looked_at() {
        let written = serde_json::to_string(&full()).unwrap();
        let times: BTreeSet<&str> = written
            .split(['{', ',', '}'])
            .filter(|field| field.contains("_at\":") || field.contains("_since\":"))
            .collect();
        assert_eq!(times.len(), 8, "{times:?}");
        for (at, expected) in [(1, true), (LAST, true), (LAST + 1, false), (i64::MAX, false), (-1, false)] {
            for field in &times {
                let name = field.rsplit_once(':').unwrap().0;
                let changed = written.replace(field, &format!("{name}:{at}"));
                assert_ne!(changed, written, "{field}");
                let contents: Contents = serde_json::from_str(&changed).unwrap();
                assert_eq!(contents.has_moments_only(), expected, "{name} {at}");
            }
        }
    }

    #[test]
    fn a_secret_is_written_without_escapes_and_comes_back() {
        let secret = Carried(Secret::new("\"wörd\"\n\\".to_owned()));
        let text = serde_json::to_string(&secret).unwrap();
        assert!(!text.contains('\\'), "{text}");
        let back: Carried = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0.expose(), secret.0.expose());
        assert!(!format!("{back:?}").contains("wörd"));
    }
}
