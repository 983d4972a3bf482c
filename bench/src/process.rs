//! What processes cost: processor time, memory and descriptors, each of whole process trees.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::time::ClockId;
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The unit in which `/proc` counts the time of children that have ended.
const TICKS_A_SECOND: u64 = 100;

/// As many descriptors as the system grants.
pub fn raise_descriptors() {
    let granted = getrlimit(Resource::Nofile).maximum;
    // Where that is refused, the load says which connection failed.
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: granted, maximum: granted });
}

/// Ends when standard input does: whoever started this process is done with it, or gone.
pub async fn standard_input_ended() {
    let (ended, waiting) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _end = io::copy(&mut io::stdin(), &mut io::sink());
        let _nobody_waits = ended.send(());
    });
    let _ended = waiting.await;
}

/// What the processes that descend from these, and they themselves, have used so far, with their children that have ended.
pub fn processor_time(roots: &[u32]) -> anyhow::Result<Duration> {
    sum(roots, |process| {
        // The clock counts threads that have ended, and to the nanosecond.
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process.id.cast_signed()))?;
        Ok(Duration::from(clock.now()?)
            + Duration::from_millis(process.children_ticks * 1000 / TICKS_A_SECOND))
    })
}

/// Resident memory in octets. What processes share counts in each of them.
pub fn resident(roots: &[u32]) -> anyhow::Result<u64> {
    sum(roots, |process| {
        // Only root reads this of a process that has made itself undumpable; everybody reads the second one, which the kernel rounds.
        for (file, key) in [("smaps_rollup", "Rss:"), ("status", "VmRSS:")] {
            if let Ok(text) = fs::read_to_string(format!("/proc/{}/{file}", process.id)) {
                let line = text.lines().find_map(|line| line.strip_prefix(key)).context("no memory")?;
                let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
                return Ok(kib * 1024);
            }
        }
        bail!("nothing tells its memory")
    })
}

/// Open descriptors.
pub fn descriptors(roots: &[u32]) -> anyhow::Result<u64> {
    sum(roots, |process| Ok(fs::read_dir(format!("/proc/{}/fd", process.id))?.count() as u64))
}

/// How large the executables of these processes are on disk, in octets.
pub fn executable_size(root: u32) -> anyhow::Result<u64> {
    Ok(fs::metadata(format!("/proc/{root}/exe"))?.len())
}

#[derive(Clone, Copy)]
struct Process {
    id: u32,
    parent: u32,
    children_ticks: u64,
}

/// Over every process of the trees. One that ends meanwhile is its parent's to tell of; a root that has ended is an error.
fn sum<T: std::iter::Sum>(
    roots: &[u32],
    measure: impl Fn(&Process) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut results = Vec::new();
    for process in tree(roots)? {
        match measure(&process) {
            Ok(result) => results.push(result),
            Err(_) if !roots.contains(&process.id) && read(process.id).is_err() => {}
            Err(error) => return Err(error.context(format!("process {} cannot be measured", process.id))),
        }
    }
    Ok(results.into_iter().sum())
}

fn tree(roots: &[u32]) -> anyhow::Result<Vec<Process>> {
    let mut children = HashMap::<u32, Vec<Process>>::new();
    for entry in fs::read_dir("/proc")? {
        let id = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // Those that have ended since the folder was read are nobody's any more.
        if let Some(process) = id.and_then(|id| read(id).ok()) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    for &root in roots {
        found.push(read(root).with_context(|| format!("process {root} has ended"))?);
    }
    let mut next = 0;
    while let Some(&Process { id, .. }) = found.get(next) {
        found.extend(children.remove(&id).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

fn read(id: u32) -> anyhow::Result<Process> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in parentheses may hold anything; behind it stand state, parent and so on, proc_pid_stat(5).
    let (_, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |position: usize| anyhow::Ok(fields.get(position).context("too short")?.parse::<u64>()?);
    Ok(Process { id, parent: u32::try_from(number(1)?)?, children_ticks: number(13)? + number(14)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_processor_time_and_memory_is_resident() -> anyhow::Result<()> {
        let own = [std::process::id()];
        let before = processor_time(&own)?;
        let mut memory = vec![0_u8; 64 << 20];
        while processor_time(&own)? < before + Duration::from_millis(50) {
            for octet in &mut memory {
                *octet = octet.wrapping_add(1);
            }
        }
        assert!(resident(&own)? > 64 << 20, "{} octets", std::hint::black_box(memory).len());
        assert!(descriptors(&own)? > 2);
        Ok(())
    }

    #[test]
    fn a_child_that_was_waited_for_still_counts() -> anyhow::Result<()> {
        let own = [std::process::id()];
        let ticks = || anyhow::Ok(read(own[0])?.children_ticks);
        let before = ticks()?;
        // A child that uses a tenth of a second and more.
        let status = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .status()?;
        assert!(status.success());
        assert!(ticks()? > before);
        Ok(())
    }

    #[test]
    fn a_process_that_has_ended_is_an_error() -> anyhow::Result<()> {
        let mut child = std::process::Command::new("true").spawn()?;
        child.wait()?;
        assert!(processor_time(&[child.id()]).is_err());
        Ok(())
    }
}
