//! Base64 as old programs write it. Decoded bytes are wiped when dropped, since most of them are passwords.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The bytes are not base64, however kindly read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

/// `+` and `/`, padding or none, and no fuss about bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes with missing padding, blanks inside and the URL-safe alphabet all allowed. `=`, which stands for an empty
/// initial response (RFC 4954, section 4), comes out empty.
pub(super) fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotBase64> {
    let mut standard = Zeroizing::new(Vec::with_capacity(text.len()));
    standard.extend(text.iter().filter(|byte| !matches!(byte, b' ' | b'\t')).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    }));
    while standard.last() == Some(&b'=') {
        standard.pop();
    }
    let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(standard.len())]);
    let length = LENIENT.decode_slice(standard.as_slice(), decoded.as_mut_slice()).map_err(|_| NotBase64)?;
    decoded.truncate(length);
    Ok(decoded)
}

/// Encodes with padding.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let padded_length = bytes.len().div_ceil(3) * 4;
    let mut encoded = Zeroizing::new(vec![0; padded_length]);
    let length = LENIENT.encode_slice(bytes, encoded.as_mut_slice()).unwrap_or_default();
    encoded.truncate(length);
    encoded
}

#[cfg(test)]
mod tests {
    use super::{NotBase64, decode, encode};

    #[test]
    fn what_old_programs_write_is_read() {
        let table: [(&[u8], Result<&[u8], NotBase64>); 14] = [
            (b"", Ok(b"")),
            (b"=", Ok(b"")),
            (b"dGVzdA==", Ok(b"test")),
            (b"dGVzdA", Ok(b"test")),
            (b"dGVzdA=", Ok(b"test")),
            (b"dGV zdA ==", Ok(b"test")),
            (b"\tdGVzdA== ", Ok(b"test")),
            (b"+/+/", Ok(b"\xfb\xff\xbf")),
            (b"-_-_", Ok(b"\xfb\xff\xbf")),
            (b"dGVzdB==", Ok(b"test")),
            (b"dGVzd", Err(NotBase64)),
            (b"dG=zdA==", Err(NotBase64)),
            (b"test!", Err(NotBase64)),
            (b"\xff\xfe", Err(NotBase64)),
        ];
        for (text, expected) in table {
            assert_eq!(decode(text).map(|bytes| bytes.to_vec()), expected.map(<[u8]>::to_vec), "{text:?}");
        }
    }

    #[test]
    fn encoded_bytes_come_back_at_any_length() {
        for length in 0..64_u8 {
            let bytes: Vec<u8> = (0..length).map(|value| value.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)).map(|decoded| decoded.to_vec()), Ok(bytes));
        }
    }
}
