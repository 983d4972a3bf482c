//! What `scripts/release` tells the linker: which functions a start and a login go through, so that they lie side by side.
//!
//! The system maps 64 KiB around each page of the executable that is touched. Scattered as the compiler leaves them, a
//! quarter of the functions keep nearly all of it resident.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=GATEPOST_FUNCTION_ORDER");
    let Ok(order) = env::var("GATEPOST_FUNCTION_ORDER") else { return };
    println!("cargo:rerun-if-changed={order}");
    let arguments =
        [&format!("--symbol-ordering-file={order}"), "--no-warn-symbol-ordering", "-z,pack-relative-relocs"];
    for argument in arguments {
        println!("cargo:rustc-link-arg-bin=gatepost=-Wl,{argument}");
    }
}
