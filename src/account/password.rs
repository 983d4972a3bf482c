//! Passwords that devices type: hashed with Argon2id, kept as PHC strings, made by us where the admin brings none.
//!
//! Rule: all hashing goes through one [`Hasher`], which owns one memory block and lets one password at a time have it, so that
//! guessing takes neither memory nor more than one core. While nobody waits for it, it is the system's again. Every stored hash has
//! the same costs, ours.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version};
use gatepost_protocol::secret::Secret;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// 19 MiB, two passes, one lane: the first recommendation of OWASP and the `argon2` crate's own.
const COSTS: Params = Params::DEFAULT;
/// Runs that are wanted at once, most of them one a login. At some 30 ms each the last of them is served within 12 s, of the 15 that a
/// login has: so many devices, each with a password of its own, may all come right after a start.
const MAX_RUNS: u32 = 400;
/// Blocks of 1 KiB that the memory has room for; no page behind those that [`COSTS`] asks for is ever touched. What is larger than
/// 32 MiB glibc always gives back to the system when it is freed. Of anything smaller it learns at the first time to keep it,
/// and 19 MiB would stay.
const RESERVED: usize = 33 << 10;
const SALT_LEN: usize = 16;
/// Each of them looks like no other on a device's panel, and is on every device's keyboard.
const LETTERS: &[u8; 56] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const GENERATED_LEN: usize = 16;

/// A password could not be hashed or compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// Not a hash of the kind that we keep.
    #[error(
        "not an Argon2id hash with the costs m=19456,t=2,p=1 as a PHC string ($argon2id$v=19$m=19456,t=2,p=1$…)"
    )]
    MalformedHash,
    /// The system has no random numbers or no memory.
    #[error("the system gives no random numbers or no memory")]
    System,
}

/// Hashes and compares passwords, one at a time. Cheap to clone; clones share the memory and the queue.
#[derive(Clone, Debug)]
pub struct Hasher {
    /// Empty while nobody needs it.
    memory: Arc<Mutex<Vec<Block>>>,
    places: Arc<Semaphore>,
    #[cfg(test)]
    runs: Arc<std::sync::atomic::AtomicUsize>,
}

/// The right to use the memory. Its fields are dropped in their order: whoever looks whether it was the last has given up the memory
/// and its places before.
#[derive(Debug)]
pub struct Turn {
    memory: OwnedMutexGuard<Vec<Block>>,
    /// Held until the work is done, so that giving up does not make room for more work than there may be.
    #[allow(dead_code, reason = "it is there to be dropped")]
    places: OwnedSemaphorePermit,
    #[allow(dead_code, reason = "the same, where nothing is counted")]
    hasher: Leaving,
}

/// Whoever wants the memory, or has it. The last one who leaves, served or not, gives it back to the system.
#[derive(Debug)]
struct Leaving(Hasher);

impl Hasher {
    /// Takes no memory yet.
    #[allow(clippy::new_without_default, reason = "an empty hasher is no value to default to")]
    pub fn new() -> Self {
        Self {
            memory: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_RUNS as usize)),
            #[cfg(test)]
            runs: Arc::default(),
        }
    }

    /// The password's hash under a new salt, as a PHC string.
    pub async fn hash(&self, password: &Secret<String>) -> Result<Secret<String>, PasswordError> {
        let password = password.clone();
        let hashed = self.turn(1).await?.run(move |turn| {
            let mut salt = [0; SALT_LEN];
            aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::System)?;
            let salt = Salt::new(&salt).map_err(|_| PasswordError::System)?;
            let hash = turn.output(&password, &COSTS, &salt, Params::DEFAULT_OUTPUT_LEN)?;
            let phc = PasswordHash {
                algorithm: ARGON2ID_IDENT,
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&COSTS).map_err(|_| PasswordError::System)?,
                salt: Some(salt),
                hash: Some(hash),
            };
            Ok(Secret::new(phc.to_string()))
        });
        Ok(hashed.await?.0)
    }

    /// Waits for the memory, for so many runs at most. A caller that gives up while it waits leaves the queue.
    pub async fn turn(&self, runs: usize) -> Result<Turn, PasswordError> {
        let runs = u32::try_from(runs).unwrap_or(MAX_RUNS).clamp(1, MAX_RUNS);
        // Dropped behind the places, also when the caller gives up.
        let hasher = Leaving(self.clone());
        let places =
            Arc::clone(&self.places).try_acquire_many_owned(runs).map_err(|_| PasswordError::Busy)?;
        let memory = Arc::clone(&self.memory).lock_owned().await;
        Ok(Turn { memory, places, hasher })
    }

    /// How often Argon2 has run.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Turn {
    /// Which of the hashes the password has, if any. A wrong password costs one run for each. Whoever wants the turn to go on drops
    /// it later than the answer.
    pub async fn matching(
        self,
        password: &Secret<String>,
        hashes: Vec<Secret<String>>,
    ) -> Result<(Option<usize>, Self), PasswordError> {
        let password = password.clone();
        self.run(move |turn| {
            for (position, hash) in hashes.iter().enumerate() {
                if turn.matches(&password, hash)? {
                    return Ok(Some(position));
                }
            }
            Ok(None)
        })
        .await
    }

    /// A caller that gives up now wastes no more than its own run.
    async fn run<T: Send + 'static>(
        mut self,
        job: impl FnOnce(&mut Self) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<(T, Self), PasswordError> {
        let job = move || {
            if self.memory.is_empty() {
                self.memory.try_reserve_exact(RESERVED).map_err(|_| PasswordError::System)?;
                self.memory.resize(COSTS.block_count(), Block::new());
            }
            Ok((job(&mut self)?, self))
        };
        tokio::task::spawn_blocking(job).await.map_err(|_| PasswordError::System)?
    }

    fn matches(&mut self, password: &Secret<String>, hash: &Secret<String>) -> Result<bool, PasswordError> {
        let (params, salt, expected) = parse(hash.expose())?;
        let found = self.output(password, &params, &salt, expected.len())?;
        Ok(found.as_bytes().ct_eq(expected.as_bytes()).into())
    }

    fn output(
        &mut self,
        password: &Secret<String>,
        params: &Params,
        salt: &Salt,
        len: usize,
    ) -> Result<Output, PasswordError> {
        #[cfg(test)]
        self.hasher.0.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut out = Zeroizing::new(vec![0; len]);
        argon2
            .hash_password_into_with_memory(
                password.expose().as_bytes(),
                salt,
                &mut out,
                self.memory.as_mut_slice(),
            )
            .map_err(|_| PasswordError::System)?;
        Output::new(&out).map_err(|_| PasswordError::System)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Self(hasher) = self;
        // Every place is free. Who takes one just now and has the memory already keeps it.
        if hasher.places.available_permits() == MAX_RUNS as usize
            && let Ok(mut memory) = hasher.memory.try_lock()
        {
            *memory = Vec::new();
        }
    }
}

/// Checks that a hash from outside is one that [`Hasher`] can compare with: an equal cost for everybody is what keeps a
/// slow answer from telling who exists.
pub fn check_hash(phc: &str) -> Result<(), PasswordError> {
    parse(phc).map(|_| ())
}

/// A new password for a device: 16 characters, over 90 bits.
pub fn generate() -> Result<Secret<String>, PasswordError> {
    let mut text = String::with_capacity(GENERATED_LEN);
    while text.len() < GENERATED_LEN {
        let mut octet = [0];
        aws_lc_rs::rand::fill(&mut octet).map_err(|_| PasswordError::System)?;
        // Six bits; those beyond the alphabet are drawn again, so that every letter is as likely.
        let [octet] = octet;
        if let Some(&letter) = LETTERS.get(usize::from(octet & 0x3f)) {
            text.push(char::from(letter));
        }
    }
    Ok(Secret::new(text))
}

fn parse(phc: &str) -> Result<(Params, Salt, Output), PasswordError> {
    let hash = PasswordHash::new(phc).map_err(|_| PasswordError::MalformedHash)?;
    let params = Params::try_from(&hash).map_err(|_| PasswordError::MalformedHash)?;
    let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let plain = params.keyid().is_empty() && params.data().is_empty();
    let version = hash.version == Some(Version::V0x13.into());
    match (hash.salt, hash.hash) {
        (Some(salt), Some(output))
            if hash.algorithm == ARGON2ID_IDENT
                && version
                && plain
                && costs(&params) == costs(&COSTS)
                && salt.len() >= argon2::MIN_SALT_LEN
                && output.len() >= 16 =>
        {
            Ok((params, salt, output))
        }
        _ => Err(PasswordError::MalformedHash),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashSet;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    async fn matching(
        hasher: &Hasher,
        password: &str,
        stored: Vec<Secret<String>>,
    ) -> Result<Option<usize>, PasswordError> {
        Ok(hasher.turn(stored.len()).await?.matching(&secret(password), stored).await?.0)
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let hasher = Hasher::new();
        let stored =
            vec![hasher.hash(&secret("one")).await.unwrap(), hasher.hash(&secret("two")).await.unwrap()];
        for (password, expected) in
            [("one", Some(0)), ("two", Some(1)), ("One", None), ("", None), ("one\0", None), ("onetwo", None)]
        {
            let found = matching(&hasher, password, stored.clone()).await.unwrap();
            assert_eq!(found, expected, "{password:?}");
        }
        let again = hasher.hash(&secret("one")).await.unwrap();
        assert_ne!(again.expose(), stored.first().unwrap().expose(), "a salt of its own");
        assert!(again.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    /// Made by another program with the `argon2` reference library: password `tanstaaf`, salt `gatepost-salt`.
    #[tokio::test]
    async fn a_hash_made_elsewhere_is_understood() {
        let elsewhere =
            "$argon2id$v=19$m=19456,t=2,p=1$Z2F0ZXBvc3Qtc2FsdA$76jOLjnUjxe9tbme0eFTVNvqQdbi9w6cAAnylEKagGc";
        check_hash(elsewhere).unwrap();
        let hasher = Hasher::new();
        for (password, expected) in [("tanstaaf", Some(0)), ("tanstaag", None)] {
            assert_eq!(matching(&hasher, password, vec![secret(elsewhere)]).await.unwrap(), expected);
        }
    }

    #[test]
    fn hashes_of_another_kind_are_refused() {
        let salt_and_hash = "c29tZXNhbHRzb21lc2FsdA$dGhpcnR5LXR3byBvY3RldHMgb2Ygbm90aGluZyBoZXI";
        assert_eq!(check_hash(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt_and_hash}")), Ok(()));
        for kind in [
            "$argon2i$v=19$m=19456,t=2,p=1$",
            "$argon2d$v=19$m=19456,t=2,p=1$",
            "$argon2id$v=16$m=19456,t=2,p=1$",
            "$argon2id$m=19456,t=2,p=1$",
            "$argon2id$v=19$m=19457,t=2,p=1$",
            "$argon2id$v=19$m=4294967295,t=2,p=1$",
            "$argon2id$v=19$m=64,t=1,p=1$",
            "$argon2id$v=19$m=19456,t=3,p=1$",
            "$argon2id$v=19$m=19456,t=2,p=2$",
            "$2y$10$",
            "",
        ] {
            assert_eq!(
                check_hash(&format!("{kind}{salt_and_hash}")),
                Err(PasswordError::MalformedHash),
                "{kind}"
            );
        }
        for rest in ["", "c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHRzb21lc2FsdA$c2hvcnQ", "$"] {
            let phc = format!("$argon2id$v=19$m=19456,t=2,p=1${rest}");
            assert_eq!(check_hash(&phc), Err(PasswordError::MalformedHash), "{rest}");
        }
    }

    #[tokio::test]
    async fn a_login_with_twelve_candidates_takes_the_places_of_twelve() {
        let hasher = Hasher::new();
        let turn = hasher.turn(12).await.unwrap();
        assert_eq!(hasher.places.available_permits(), MAX_RUNS as usize - 12);
        drop(turn);
        assert_eq!(hasher.places.available_permits(), MAX_RUNS as usize);
    }

    #[tokio::test]
    async fn one_who_gives_up_last_gives_the_memory_back_too() {
        let hasher = Hasher::new();
        let stored = vec![hasher.hash(&secret("right")).await.unwrap()];
        let (_, turn) = hasher.turn(1).await.unwrap().matching(&secret("right"), stored).await.unwrap();
        let mut waiting = Box::pin(hasher.turn(1));
        tokio::select! {
            biased;
            turn = &mut waiting => panic!("{turn:?}"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        assert!(hasher.memory.try_lock().is_err(), "it is the next one's");
        drop(waiting);
        assert_eq!(hasher.memory.try_lock().unwrap().capacity(), 0);
    }

    #[tokio::test]
    async fn many_at_once_take_one_memory_which_the_last_one_gives_back_and_the_rest_are_told_to_wait() {
        let hasher = Hasher::new();
        let hash = hasher.hash(&secret("right")).await.unwrap();
        assert!(hasher.memory.lock().await.is_empty(), "nobody waits");
        let held = Arc::clone(&hasher.memory).lock_owned().await;
        let mut tasks = tokio::task::JoinSet::new();
        let (right, many) = (40, MAX_RUNS as usize + 20);
        for number in 0..many {
            let (hasher, hash) = (hasher.clone(), hash.clone());
            // Most of them find that their turn is not needed any more.
            tasks.spawn(async move {
                let turn = hasher.turn(1).await?;
                if number >= right {
                    return Ok(None);
                }
                let (found, turn) = turn.matching(&secret("right"), vec![hash]).await?;
                Ok(Some((found, turn.memory.as_ptr().addr())))
            });
        }
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        drop(held);
        let outcomes = tasks.join_all().await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(PasswordError::Busy))).count();
        assert_eq!(refused, 20);
        let found: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.ok()?).collect();
        assert_eq!(found.len(), right);
        let (_, block) = *found.first().unwrap();
        assert!(found.iter().all(|&one| one == (Some(0), block)), "the very same block");
        assert_eq!(hasher.memory.lock().await.capacity(), 0);
        assert_eq!(hasher.places.available_permits(), MAX_RUNS as usize);
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_queue() {
        let hasher = Hasher::new();
        let held = Arc::clone(&hasher.memory).lock_owned().await;
        let waiting = hasher.clone();
        let task = tokio::spawn(async move { waiting.hash(&secret("given up")).await });
        while hasher.places.available_permits() > MAX_RUNS as usize - 1 {
            tokio::task::yield_now().await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.places.available_permits(), MAX_RUNS as usize);
        drop(held);
        hasher.hash(&secret("the next one")).await.unwrap();
    }

    #[test]
    fn generated_passwords_are_easy_to_type_and_never_the_same() {
        let made: HashSet<String> = (0..500).map(|_| generate().unwrap().expose().clone()).collect();
        assert_eq!(made.len(), 500);
        let mut seen = HashSet::new();
        for password in &made {
            assert_eq!(password.len(), 16);
            assert!(password.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{password}");
            assert!(!password.contains(['0', 'O', 'o', '1', 'l', 'I']), "{password}");
            seen.extend(password.chars());
        }
        assert_eq!(seen.len(), LETTERS.len(), "every letter is drawn");
    }
}
