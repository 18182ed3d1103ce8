//! Text forms of decimals, dates and moments, read exactly or not at all.

mod text;

pub(crate) use text::{Decimal, date_text, moment_text, time_text};

/// Days before 1970-01-01 in the proleptic Gregorian calendar, counted from 0000-03-01.
const DAYS_TO_EPOCH: i64 = 719_468;
const DAY_SECONDS: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;

/// The unscaled value of a decimal written as a JSON number is (`-12.30`, `1.2e3`), if it has at
/// most `precision` digits and nothing but zeros after `scale` places.
pub(crate) fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    let significant = format!("{whole}{fraction}");
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // Places behind the last digit, seen from the scale: to be filled up, or to be zeros.
    let shift = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(i32::from(scale))?;
    let unscaled = shifted(significant, shift, precision)?;
    Some(if negative { -unscaled } else { unscaled })
}

/// `digits` (no leading zeros) times ten to the `shift`, if that is whole and short enough.
fn shifted(digits: &str, shift: i32, precision: u8) -> Option<i128> {
    let zeros = usize::try_from(shift.unsigned_abs()).ok()?;
    let kept = if shift < 0 {
        let (kept, dropped) = digits.split_at_checked(digits.len().checked_sub(zeros)?)?;
        dropped.bytes().all(|byte| byte == b'0').then_some(kept)?
    } else {
        digits
    };
    let appended = if shift < 0 { 0 } else { zeros };
    if kept.len() + appended > usize::from(precision) {
        return None;
    }
    // At most 38 digits: both factors and the product fit 128 bits.
    kept.parse::<i128>()
        .ok()?
        .checked_mul(10_i128.checked_pow(u32::try_from(appended).ok()?)?)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = number(&bytes[0..4])?;
    let month = number(&bytes[5..7])?;
    let day = number(&bytes[8..10])?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(month, year) {
        return None;
    }
    i32::try_from(days_since_epoch(year, month, day)).ok()
}

/// Microseconds since 1970-01-01 UTC of an RFC 3339 moment (`2024-05-01T12:30:00.5+02:00`), if it
/// has at most six places of a second. An offset is a must: a local time is no moment.
pub(crate) fn moment_us(text: &str) -> Option<i64> {
    let (us, zone) = date_and_clock(text)?;
    us.checked_sub(offset_seconds(zone)? * SECOND_US)
}

/// Microseconds since 1970-01-01T00:00 of a date and time without an offset
/// (`2024-05-01T12:30:00.5`), if it has at most six places of a second.
pub(crate) fn local_us(text: &str) -> Option<i64> {
    let (us, rest) = date_and_clock(text)?;
    rest.is_empty().then_some(us)
}

/// Microseconds since midnight of `hh:mm:ss` with at most six places of a second.
pub(crate) fn time_us(text: &str) -> Option<i64> {
    let (us, rest) = clock(text)?;
    rest.is_empty().then_some(us)
}

/// True for microseconds since midnight.
pub(crate) fn is_time_us(us: i64) -> bool {
    (0..DAY_SECONDS * SECOND_US).contains(&us)
}

/// A whole number written the one way: digits without a leading zero, a minus before them where it
/// is negative.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Microseconds since 1970-01-01T00:00 of the date and time a text begins with, and what follows.
fn date_and_clock(text: &str) -> Option<(i64, &str)> {
    let days = date(text.get(..10)?)?;
    let (us, rest) = clock(text.get(10..)?.strip_prefix(['T', 't', ' '])?)?;
    let midnight = (i64::from(days) * DAY_SECONDS).checked_mul(SECOND_US)?;
    Some((midnight.checked_add(us)?, rest))
}

/// Microseconds since midnight of the time a text begins with, and what follows.
fn clock(text: &str) -> Option<(i64, &str)> {
    let digits = text.as_bytes().get(..8)?;
    if digits[2] != b':' || digits[5] != b':' {
        return None;
    }
    let (hour, minute) = (number(&digits[0..2])?, number(&digits[3..5])?);
    let second = number(&digits[6..8])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_us, rest) = fraction_us(text.get(8..)?)?;
    let seconds = hour * 3600 + minute * 60 + second;
    Some((seconds * SECOND_US + fraction_us, rest))
}

/// The fraction of a second in microseconds, and what follows it.
fn fraction_us(text: &str) -> Option<(i64, &str)> {
    let Some(text) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let places = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(places);
    let (kept, dropped) = digits.split_at(places.min(6));
    if kept.is_empty() || dropped.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let scale = 10_i64.pow(6 - kept.len() as u32);
    Some((number(kept.as_bytes())? * scale, rest))
}

/// `Z`, or `+hh:mm` and `-hh:mm`.
fn offset_seconds(zone: &str) -> Option<i64> {
    let bytes = match zone.as_bytes() {
        b"Z" | b"z" => return Some(0),
        bytes if bytes.len() == 6 && bytes[3] == b':' => bytes,
        _ => return None,
    };
    let (hours, minutes) = (number(&bytes[1..3])?, number(&bytes[4..6])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    match bytes[0] {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// A number of digits only.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn days_in(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years begin in March, so that the leap day is the last and months have a regular length.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - DAYS_TO_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for (text, precision, scale, expected) in [
            ("0", 1, 0, Some(0)),
            ("-0.00", 3, 2, Some(0)),
            ("12.34", 4, 2, Some(1234)),
            ("-12.3", 4, 2, Some(-1230)),
            ("12.340", 4, 2, Some(1234)),
            ("12.345", 9, 2, None),
            ("123.45", 4, 2, None),
            ("1.2e3", 4, 0, Some(1200)),
            ("1.2E+3", 4, 0, Some(1200)),
            ("1200e-2", 4, 2, Some(1200)),
            ("5e-3", 4, 2, None),
            ("1e99999999", 38, 0, None),
            ("1e-99999999", 38, 0, None),
            ("0e99999999", 38, 0, Some(0)),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Some(10_i128.pow(38) - 1),
            ),
            ("100000000000000000000000000000000000000", 38, 0, None),
            ("1e37", 38, 0, Some(10_i128.pow(37))),
            ("", 4, 2, None),
            (".5", 4, 2, None),
            ("5.", 4, 2, None),
            ("+5", 4, 2, None),
            ("--5", 4, 2, None),
            ("1 ", 4, 2, None),
            ("NaN", 4, 2, None),
        ] {
            assert_eq!(decimal(text, precision, scale), expected, "{text}");
        }
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2024-02-29", Some(19_782)),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("1900-02-29", None),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-00-01", None),
            ("2024-01-00", None),
            ("2024-1-1", None),
            ("2024-01-01T00:00:00Z", None),
            ("２０２４-01", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn times_without_a_zone() {
        assert_eq!(local_us("1970-01-01T00:00:01.5"), Some(1_500_000));
        assert_eq!(local_us("1969-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(local_us("1970-01-01T00:00:00Z"), None);
        assert_eq!(local_us("1970-01-01"), None);
        assert_eq!(time_us("23:59:59.999999"), Some(86_399_999_999));
        assert_eq!(time_us("00:00:00"), Some(0));
        for text in ["24:00:00", "12:00", "12:00:00Z", "12:00:00.", "1:00:00", ""] {
            assert_eq!(time_us(text), None, "{text}");
        }
        assert!(is_time_us(0) && !is_time_us(-1) && !is_time_us(86_400_000_000));
    }

    #[test]
    fn whole_numbers_have_one_text() {
        assert_eq!(whole("-12"), Some(-12));
        for text in ["+1", "01", "-0", "1.0", "", "9223372036854775808"] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01 00:00:01.5z", Some(1_500_000)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("1969-12-31T19:00:00-05:00", Some(0)),
            (
                "2024-05-01T12:30:00.123456000Z",
                Some(1_714_566_600_123_456),
            ),
            ("2024-05-01T12:30:00.1234567Z", None),
            ("2024-05-01T12:30:00", None),
            ("2024-05-01T12:30:00.Z", None),
            ("2024-05-01T24:00:00Z", None),
            ("2024-05-01T12:30Z", None),
            ("2024-05-01T12:30:00+0200", None),
            ("2024-05-01T12:30:00+02:60", None),
            ("2024-05-01T12:30:00é", None),
            ("2024-05-0é", None),
        ] {
            assert_eq!(moment_us(text), expected, "{text}");
        }
    }
}
