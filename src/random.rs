//! Random numbers for jitter, and for names that nobody else has, from the system's generator.

use aws_lc_rs::rand;

/// A number from 0 up to 1. When the system has no randomness to give there is no jitter, and nothing else is lost.
pub(crate) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    match rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0,
        Err(_) => 0.0,
    }
}

/// Any number. When the system has no randomness to give it is 0.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    // What stays of it then is zeros.
    let _ = rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn fractions_differ_and_stay_below_one() {
        let fractions: Vec<_> = (0..100).map(|_| super::fraction()).collect();
        assert!(fractions.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(fractions.iter().any(|fraction| Some(fraction) != fractions.first()));
    }
}
