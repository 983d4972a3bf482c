//! A DNS server on loopback (RFC 1035) that knows a few records, and says of everything else that it does not exist.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

const MX: u16 = 15;
const SRV: u16 = 33;

/// Record data by name and type.
type Records = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// What is in a zone.
#[derive(Default)]
pub(crate) struct Zone {
    records: Records,
    silent: bool,
}

impl Zone {
    /// No question is answered.
    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    pub(crate) fn mx(mut self, domain: &str, preference: u16, host: &str) -> Self {
        let data = [&preference.to_be_bytes()[..], &labels(host)].concat();
        self.records.entry((domain.to_owned(), MX)).or_default().push(data);
        self
    }

    /// `numbers` are priority, weight and port.
    pub(crate) fn srv(mut self, name: &str, numbers: [u16; 3], host: &str) -> Self {
        let data = [numbers.map(u16::to_be_bytes).concat(), labels(host)].concat();
        self.records.entry((name.to_owned(), SRV)).or_default().push(data);
        self
    }
}

/// The server. It stops when it is dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl DnsServer {
    pub(crate) async fn start(zone: Zone) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, asker)) = socket.recv_from(&mut question).await {
                if !zone.silent {
                    socket.send_to(&answer(&question[..length], &zone.records), asker).await.unwrap();
                }
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }
}

/// Answers a message with one question.
fn answer(message: &[u8], records: &Records) -> Vec<u8> {
    let mut name = Vec::new();
    let mut at = 12;
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        name.push(String::from_utf8_lossy(&message[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let question = &message[12..at + 5];
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    let found = records.get(&(name.join("."), kind));
    // A response to a recursive question: NOERROR, or NXDOMAIN.
    let flags: u16 = if found.is_some() { 0x8180 } else { 0x8183 };
    let data = found.map(Vec::as_slice).unwrap_or_default();
    let counts = [1, u16::try_from(data.len()).unwrap(), 0, 0];
    let mut bytes =
        [&message[..2], &flags.to_be_bytes(), &counts.map(u16::to_be_bytes).concat(), question].concat();
    for data in data {
        // The name of the question, class IN, a minute to live.
        bytes.extend([0xc0, 12]);
        bytes.extend([kind, 1, 0, 60, u16::try_from(data.len()).unwrap()].map(u16::to_be_bytes).concat());
        bytes.extend(data);
    }
    bytes
}

fn labels(host: &str) -> Vec<u8> {
    let labels = host.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}
