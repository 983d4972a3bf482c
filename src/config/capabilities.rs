//! What a client is told before it logs in. The lists are data of the providers; where one listener serves several, it
//! may promise only what all of them honour.

use super::provider::Endpoint;

/// What every endpoint honours, in the order of the first one. Keywords are compared without regard to case; SIZE is the
/// smallest one given (0 or no number means no fixed limit, RFC 1870 section 4); any other parameters are those that all
/// of them take.
pub fn common_capabilities(endpoints: &[&Endpoint]) -> Vec<String> {
    let Some((first, others)) = endpoints.split_first() else { return Vec::new() };
    first
        .capabilities
        .iter()
        .filter_map(|capability| {
            others.iter().try_fold(capability.clone(), |common, endpoint| {
                let other = endpoint.capabilities.iter().find(|other| keyword_eq(other, &common))?;
                Some(shared(&common, other))
            })
        })
        .collect()
}

fn keyword(capability: &str) -> &str {
    capability.split_ascii_whitespace().next().unwrap_or_default()
}

fn keyword_eq(one: &str, other: &str) -> bool {
    keyword(one).eq_ignore_ascii_case(keyword(other))
}

/// The part of a capability that both sides honour.
fn shared(one: &str, other: &str) -> String {
    if keyword(one).eq_ignore_ascii_case("SIZE") {
        return match [one, other].into_iter().filter_map(size_limit).min() {
            Some(limit) => format!("SIZE {limit}"),
            None => "SIZE".to_owned(),
        };
    }
    let parameters =
        |text: &str| -> Vec<String> { text.split_ascii_whitespace().skip(1).map(str::to_owned).collect() };
    let theirs = parameters(other);
    let mut words = vec![keyword(one).to_owned()];
    words.extend(
        parameters(one)
            .into_iter()
            .filter(|mine| theirs.iter().any(|their| their.eq_ignore_ascii_case(mine))),
    );
    words.join(" ")
}

fn size_limit(capability: &str) -> Option<u64> {
    capability.split_ascii_whitespace().nth(1)?.parse().ok().filter(|limit| *limit != 0)
}

#[cfg(test)]
mod tests {
    use super::common_capabilities;
    use crate::config::provider::{Endpoint, TlsStream, UpstreamTls};

    fn endpoint(capabilities: &[&str]) -> Endpoint {
        Endpoint {
            host: "mail.example".to_owned(),
            port: 587,
            tls: UpstreamTls::StartTls,
            capabilities: capabilities.iter().map(|text| (*text).to_owned()).collect(),
            sessions: None,
            mechanism: None,
            tls_stream: TlsStream::default(),
        }
    }

    #[test]
    fn a_listener_promises_what_all_its_providers_honour() {
        let cases: &[(&[&[&str]], &[&str])] = &[
            (&[], &[]),
            (&[&["SIZE 100", "PIPELINING"]], &["SIZE 100", "PIPELINING"]),
            (&[&["DSN", "PIPELINING"], &["PIPELINING"]], &["PIPELINING"]),
            (&[&["pipelining"], &["PIPELINING", "DSN"]], &["pipelining"]),
            (&[&["SIZE 100"], &["size 50"], &["SIZE 75"]], &["SIZE 50"]),
            (&[&["SIZE 0"], &["SIZE 50"]], &["SIZE 50"]),
            (&[&["SIZE"], &["SIZE 0"]], &["SIZE"]),
            (&[&["SIZE 100"], &["8BITMIME"]], &[]),
            (&[&["EXPIRE NEVER", "TOP"], &["TOP", "expire never"]], &["EXPIRE NEVER", "TOP"]),
            (&[&["X-THING A B"], &["X-THING B C"]], &["X-THING B"]),
        ];
        for (lists, expected) in cases {
            let endpoints: Vec<Endpoint> = lists.iter().map(|list| endpoint(list)).collect();
            let found = common_capabilities(&endpoints.iter().collect::<Vec<_>>());
            assert_eq!(found, *expected, "{lists:?}");
        }
    }
}
