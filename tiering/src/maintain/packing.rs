//! Which small data files become one. Pure.
//!
//! Files stand in the order of their rows' age, and only neighbours are joined, so that a file
//! keeps covering a narrow range of offsets. A file's *level* is the power of eight its size has
//! reached. A group must end on a higher level than every file in it, so a row is rewritten once a
//! level and no more; unless the result is large enough to be left alone from then on, or files have
//! become too many.

use std::ops::Range;

use super::policy::Compaction;

/// Each level is eight times the one before.
const LEVEL_BITS: u32 = 3;

/// The first group worth joining, lowest level first; `sizes` are in bytes, oldest rows first.
pub fn choose(sizes: &[u64], policy: Compaction) -> Option<Range<usize>> {
    let highest = sizes.iter().copied().map(level).max()?;
    let crowded = sizes.len() > policy.small_max;
    (0..=highest).find_map(|limit| {
        let starts = runs(sizes, limit).flat_map(|run| {
            let end = run.end;
            run.map(move |start| start..end)
        });
        let mut groups = starts.map(|rest| group(sizes, rest, policy));
        groups.find(|group| {
            let total: u64 = sizes[group.clone()].iter().sum();
            let rises = level(total) > limit || group.len() == policy.inputs_max || crowded;
            let done = total >= large(policy);
            (done && group.len() > 1) || (rises && group.len() >= policy.inputs_min.max(2))
        })
    })
}

/// The size from which on a file is left as it is.
pub fn large(policy: Compaction) -> u64 {
    policy.target_bytes / 4 * 3
}

fn level(bytes: u64) -> u32 {
    (u64::BITS - bytes.leading_zeros()) / LEVEL_BITS
}

/// Neighbours of at most level `limit`.
fn runs(sizes: &[u64], limit: u32) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let small = |index: &usize| level(sizes[*index]) <= limit;
        let start = (at..sizes.len()).find(small)?;
        let end = (start..sizes.len()).find(|index| !small(index));
        at = end.unwrap_or(sizes.len());
        Some(start..at)
    })
}

/// The first files of a run, up to the limits.
fn group(sizes: &[u64], run: Range<usize>, policy: Compaction) -> Range<usize> {
    let mut total = 0;
    let mut fits = |size: &u64| {
        total += size;
        total <= policy.target_bytes
    };
    let count = sizes[run.clone()]
        .iter()
        .take(policy.inputs_max)
        .take_while(|size| fits(size))
        .count();
    run.start..run.start + count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintain::Policy;

    fn policy() -> Compaction {
        Policy::default().compaction
    }

    #[test]
    fn neighbours_of_a_size_are_joined() {
        assert_eq!(choose(&[], policy()), None);
        assert_eq!(choose(&[9_000; 7], policy()), None);
        assert_eq!(choose(&[9_000; 8], policy()), Some(0..8));
        assert_eq!(choose(&[9_000; 100], policy()), Some(0..64));
        let mut sizes = vec![50 << 20];
        sizes.extend([9_000; 8]);
        assert_eq!(choose(&sizes, policy()), Some(1..9));
        // Few of a size wait for more, unless they make a whole file.
        assert_eq!(choose(&[30 << 20; 2], policy()), None);
        assert_eq!(choose(&[50 << 20; 2], policy()), Some(0..2));
    }

    #[test]
    fn files_stay_few_and_rows_are_rewritten_seldom() {
        let policy = policy();
        let (mut files, mut written, mut produced) = (Vec::new(), 0, 0);
        for round in 0..60_000_u64 {
            // Busy and quiet hours.
            let bytes = if round / 720 % 2 == 0 { 200_000 } else { 3_000 };
            files.push(bytes);
            produced += bytes;
            loop {
                let small: Vec<usize> = (0..files.len())
                    .filter(|index| files[*index] < large(policy))
                    .collect();
                let sizes: Vec<u64> = small.iter().map(|index| files[*index]).collect();
                let Some(group) = choose(&sizes, policy) else {
                    break;
                };
                let total: u64 = sizes[group.clone()].iter().sum();
                written += total;
                for index in small[group.clone()].iter().rev() {
                    files.remove(*index);
                }
                files.insert(small[group.start], total);
            }
        }
        let least = produced / policy.target_bytes;
        assert!(
            files.len() as u64 <= 3 * least + 120,
            "{} files",
            files.len()
        );
        assert!(written <= 7 * produced, "{} times", written / produced);
    }
}
