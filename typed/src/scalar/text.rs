//! The way back: decimals, dates and moments as text that reads as the same value.

use std::fmt;

use super::{DAY_SECONDS, DAYS_TO_EPOCH, SECOND_US};

/// An unscaled value and its scale, shown as a plain number with all its places.
pub(crate) struct Decimal(pub(crate) i128, pub(crate) i8);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::try_from(self.1).unwrap_or(0);
        let digits = format!("{:0>width$}", self.0.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.0 < 0 { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// `YYYY-MM-DD` of days since 1970-01-01, for years of four digits.
pub(crate) fn date_text(days: i64) -> Option<String> {
    let days = days.checked_add(DAYS_TO_EPOCH)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `hh:mm:ss` of microseconds since midnight, with as many places as it takes.
pub(crate) fn time_text(us: i64) -> String {
    let (seconds, fraction) = (us.div_euclid(SECOND_US), us.rem_euclid(SECOND_US));
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    if fraction == 0 {
        return clock;
    }
    let fraction = format!("{fraction:06}");
    format!("{clock}.{}", fraction.trim_end_matches('0'))
}

/// `YYYY-MM-DDThh:mm:ss` of microseconds since 1970-01-01T00:00, for years of four digits.
pub(crate) fn moment_text(us: i64) -> Option<String> {
    let day_us = DAY_SECONDS * SECOND_US;
    let date = date_text(us.div_euclid(day_us))?;
    Some(format!("{date}T{}", time_text(us.rem_euclid(day_us))))
}

#[cfg(test)]
mod tests {
    use super::super::{date, decimal, local_us, time_us};
    use super::*;

    #[test]
    fn decimals_show_all_places() {
        for (unscaled, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (1234, 2, "12.34"),
            (-1234, 0, "-1234"),
            (i128::MAX, 38, "1.70141183460469231731687303715884105727"),
        ] {
            assert_eq!(Decimal(unscaled, scale).to_string(), text);
        }
        let text = Decimal(-99_999, 3).to_string();
        assert_eq!(decimal(&text, 5, 3), Some(-99_999));
    }

    #[test]
    fn dates_and_moments_read_as_they_were() {
        for days in (-719_528..2_932_897).step_by(97) {
            let text = date_text(days).unwrap();
            assert_eq!(date(&text).map(i64::from), Some(days), "{text}");
        }
        for days in [-719_529, 2_932_897, i64::MIN, i64::MAX] {
            assert_eq!(date_text(days), None, "{days}");
        }
        for us in [
            0,
            -1,
            1,
            1_500_000,
            -62_167_219_200_000_000,
            1_714_566_600_123_456,
        ] {
            let text = moment_text(us).unwrap();
            assert_eq!(local_us(&text), Some(us), "{text}");
        }
        assert_eq!(moment_text(1_500_000).unwrap(), "1970-01-01T00:00:01.5");
        for us in [0, 1, 86_399_999_999, 43_200_000_000] {
            assert_eq!(time_us(&time_text(us)), Some(us));
        }
    }
}
