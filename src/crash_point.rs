//! Named places where a test may kill the process, as a power cut would. Release builds have none of them.

/// Ends the process at once, without any clean-up, when `GATEPOST_CRASH_AT` names this place.
#[inline]
pub fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("GATEPOST_CRASH_AT").is_some_and(|place| place == name) {
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
