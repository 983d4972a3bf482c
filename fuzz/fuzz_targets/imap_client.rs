#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| gatepost_protocol::fuzz::imap_client(data));
