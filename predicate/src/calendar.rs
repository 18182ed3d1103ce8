//! Dates and moments as text, in the proleptic Gregorian calendar and UTC.

const DAY_MICROS: i64 = 86_400_000_000;
/// Days from 0000-03-01, where the years counted here begin, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Days in 400 years.
const ERA_DAYS: i64 = 146_097;

/// Days since 1970-01-01 of `YYYY-MM-DD`; years have 4 to 7 digits, with a sign where they need one.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split('-');
    let year = number(parts.next()?, 4, 7)? * sign;
    let month = number(parts.next()?, 2, 2)?;
    let day = number(parts.next()?, 2, 2)?;
    let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if parts.next().is_some() || !is_date {
        return None;
    }
    i32::try_from(days_from(year, month, day)).ok()
}

/// Microseconds since 1970 of a date, a `T` or space, `HH:MM:SS` with up to six digits of a
/// fraction, and `Z`, `±HH:MM` or nothing for UTC. A date alone is its midnight.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else {
        return i64::from(parse_date(text)?).checked_mul(DAY_MICROS);
    };
    // The first midnight of all lies before the first moment.
    let midnight = i128::from(parse_date(date)?) * i128::from(DAY_MICROS);
    let (clock, east_minutes) = split_zone(time)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.split(':');
    let hours = number(parts.next()?, 2, 2).filter(|hours| *hours < 24)?;
    let minutes = number(parts.next()?, 2, 2).filter(|minutes| *minutes < 60)?;
    let seconds = match parts.next() {
        Some(seconds) => number(seconds, 2, 2).filter(|seconds| *seconds < 60)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    let micros = number(fraction, 1, 6)? * 10_i64.pow(6 - fraction.len() as u32);
    let of_day = ((hours * 60 + minutes - east_minutes) * 60 + seconds) * 1_000_000 + micros;
    i64::try_from(midnight + i128::from(of_day)).ok()
}

pub(crate) fn format_date(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

pub(crate) fn format_timestamp(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    // 2^63 microseconds are 107 million days.
    let date = format_date(i32::try_from(days).unwrap_or_default());
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = match micros {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!("{date}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// The clock and the zone's minutes east of UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let (clock, zone) = time.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let hours = number(hours, 2, 2).filter(|hours| *hours < 24)?;
    let minutes = number(minutes, 2, 2).filter(|minutes| *minutes < 60)?;
    Some((clock, sign * (hours * 60 + minutes)))
}

fn number(text: &str, digits_min: usize, digits_max: usize) -> Option<i64> {
    let fits = (digits_min..=digits_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years are counted from March, so that the leap day is a year's last.
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let since_march = (month + 9) % 12;
    let of_year = (153 * since_march + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let since_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * since_march + 2) / 5 + 1;
    let month = (since_march + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_come_back() {
        for days in (-2_000_000..2_000_000)
            .step_by(997)
            .chain([-1, 0, 59, 60, i32::MAX, i32::MIN])
        {
            assert_eq!(parse_date(&format_date(days)), Some(days), "{days}");
        }
        for micros in [
            0,
            -1,
            1,
            i64::MAX,
            i64::MIN,
            1_767_225_600_000_000,
            -62_167_219_200_000_001,
        ] {
            let text = format_timestamp(micros);
            assert_eq!(parse_timestamp(&text), Some(micros), "{text}");
        }
    }

    #[test]
    fn known_moments() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2026-01-01", Some(1_767_225_600_000_000)),
            ("2026-01-01 00:00:00.5", Some(1_767_225_600_500_000)),
            ("2026-01-01T01:00:00+01:00", Some(1_767_225_600_000_000)),
            ("2025-12-31T23:30:00-00:30", Some(1_767_225_600_000_000)),
            ("2024-02-29T00:00Z", Some(1_709_164_800_000_000)),
            ("2023-02-29", None),
            ("2026-1-1", None),
            ("2026-01-01T24:00:00", None),
            ("2026-01-01T00:00:00.1234567", None),
            ("2026-01-01T", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }
}
