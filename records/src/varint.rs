//! Zigzag varints as records use them: at most 5 bytes for an i32, 10 for an i64.

use crate::RecordFault;

/// Takes an i32 off the front of `input`.
pub(crate) fn take_i32(input: &mut &[u8]) -> Result<i32, RecordFault> {
    let raw = u32::try_from(take_unsigned(input)?).map_err(|_| RecordFault::Varint)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes an i64 off the front of `input`.
pub(crate) fn take_i64(input: &mut &[u8]) -> Result<i64, RecordFault> {
    let raw = take_unsigned(input)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn take_unsigned(input: &mut &[u8]) -> Result<u64, RecordFault> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or(RecordFault::Truncated)?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return Err(RecordFault::Varint);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordFault::Varint)
}

/// Appends an i64.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that `value` takes when encoded, 1 to 10.
pub(crate) fn len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        let cases: &[(i64, &[u8])] = &[
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put_i64(&mut out, *value);
            assert_eq!(&out, bytes, "{value}");
            assert_eq!(len(*value), bytes.len(), "{value}");
            assert_eq!(take_i64(&mut &bytes[..]), Ok(*value));
            if let Ok(small) = i32::try_from(*value) {
                assert_eq!(take_i32(&mut &bytes[..]), Ok(small));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            take_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]),
            Err(RecordFault::Varint)
        );
        assert_eq!(take_i64(&mut &[0xff; 11][..]), Err(RecordFault::Varint));
        let mut tenth = [0xff; 10];
        tenth[9] = 0x02;
        assert_eq!(take_i64(&mut &tenth[..]), Err(RecordFault::Varint));
        assert_eq!(take_i32(&mut &[0x80][..]), Err(RecordFault::Truncated));
        assert_eq!(take_i32(&mut &[][..]), Err(RecordFault::Truncated));
    }

    #[test]
    fn padded_encodings_are_read() {
        assert_eq!(take_i32(&mut &[0x82, 0x80, 0x00][..]), Ok(1));
    }
}
