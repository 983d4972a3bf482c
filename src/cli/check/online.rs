//! `gatepost check --online`: what the configuration says, beside what is really there. Every provider at once, told one after the
//! other. Nobody's secret leaves but the client's own, to its token endpoint.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::super::table::print;
use super::super::test::shown;
use super::super::{Exit, Failure, progress};
use crate::config::Config;
use crate::trial::{Outcome, online};

/// Asks all servers of all providers. Fails where one cannot be used; what is only odd is told.
pub(super) async fn check(config: &Config) -> Result<(), Failure> {
    let asked: Vec<_> = config
        .providers
        .values()
        .map(|provider| {
            let steps = tokio::spawn(online::steps(Arc::clone(provider)));
            (provider.name.as_str(), AbortOnDropHandle::new(steps))
        })
        .collect();
    let mut wrong = Vec::new();
    for (name, steps) in asked {
        let steps = progress::shown(name, steps)
            .await
            .map_err(|error| Failure::new(Exit::Failed, format!("{name} could not be checked: {error}")))?;
        let text: String = steps.iter().map(shown).collect();
        print(&format!("\n{name}, asked just now\n{text}"))?;
        if steps.iter().any(|step| matches!(step.outcome, Outcome::Failed(_))) {
            wrong.push(name);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Upstream, format!("not all is well with {}: see above", wrong.join(", "))))
}
