//! Places in a partition, as people name them.

use std::collections::BTreeMap;
use std::str::FromStr;

use arrow_cast::parse::string_to_timestamp_nanos;
use tidelog_client::{Client, Error};

/// What ListOffsets takes in the place of a time.
const START: i64 = -2;
const END: i64 = -1;

/// `earliest`, `latest`, an offset, or a time: `2026-05-01T12:00:00Z`, or `@` and milliseconds
/// since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Earliest,
    Latest,
    Offset(i64),
    /// The first record at or after this, in milliseconds since 1970; the end if there is none.
    Time(i64),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Ok(offset) = text.parse::<u64>() {
            return i64::try_from(offset)
                .map(Self::Offset)
                .map_err(|_| "no offset is that large".to_owned());
        }
        let millis = match text.strip_prefix('@') {
            Some(millis) => millis.parse().ok(),
            // A time before 1970 has no meaning to brokers.
            None => string_to_timestamp_nanos(text)
                .ok()
                .map(|nanos| nanos.div_euclid(1_000_000)),
        };
        millis.filter(|millis| *millis >= 0).map(Self::Time).ok_or_else(|| {
            "give earliest, latest, an offset, a time like 2026-05-01T12:00:00Z, or @ and milliseconds since 1970"
                .to_owned()
        })
    }
}

impl Place {
    /// Where it is in each partition; an offset outside of one becomes its nearest end, which is that
    /// of committed records.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn find(
        self,
        client: &Client,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, i64>, Error> {
        match self {
            Self::Earliest => client.offsets(topic, partitions, START).await,
            Self::Latest => client.offsets(topic, partitions, END).await,
            Self::Time(millis) => client.offsets(topic, partitions, millis).await,
            Self::Offset(offset) => {
                let starts = client.offsets(topic, partitions, START).await?;
                let mut ends = client.offsets(topic, partitions, END).await?;
                for (partition, end) in &mut ends {
                    let start = starts.get(partition).copied().unwrap_or(0);
                    *end = offset.min(*end).max(start);
                }
                Ok(ends)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_offsets_and_times() {
        let of = |text: &str| text.parse::<Place>();
        assert_eq!(of("earliest"), Ok(Place::Earliest));
        assert_eq!(of("latest"), Ok(Place::Latest));
        assert_eq!(of("17"), Ok(Place::Offset(17)));
        assert_eq!(of("@1500"), Ok(Place::Time(1500)));
        assert_eq!(of("1970-01-01T00:00:01.5Z"), Ok(Place::Time(1500)));
        assert_eq!(of("1970-01-01T01:00:00+01:00"), Ok(Place::Time(0)));
        for wrong in [
            "",
            "-1",
            "@",
            "@-5",
            "yesterday",
            "1960-01-01T00:00:00Z",
            "99999999999999999999",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
