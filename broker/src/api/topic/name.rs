//! Which names a topic can have at all.

const NAME_BYTES_MAX: usize = 249;

/// Whether a topic could be called `name`. A name that is legal may still collide with another one;
/// that is for the cluster's owner to say.
pub fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "x".repeat(249);
        for good in ["a", "A.b_c-9", "...", "__consumer_offsets", &longest] {
            assert!(is_legal(good), "{good}");
        }
        let too_long = "x".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "é", "a\0", &too_long] {
            assert!(!is_legal(bad), "{bad}");
        }
    }
}
