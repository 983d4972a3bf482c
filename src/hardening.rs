//! What the process asks of the system before it touches a secret.

use std::io;

/// No core dump and no debugger may show a secret (invariant 10); files are made for their owner alone; and as many
/// descriptors as the system grants, since every session takes two.
#[cfg(unix)]
pub fn harden() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let descriptors = getrlimit(Resource::Nofile);
    // Some systems have no limit to raise it to, and refuse. Then it stays as it was.
    let _as_before =
        setrlimit(Resource::Nofile, Rlimit { current: descriptors.maximum, maximum: descriptors.maximum });
    Ok(())
}

/// Nothing to ask for elsewhere.
#[cfg(not(unix))]
pub fn harden() -> io::Result<()> {
    Ok(())
}
