//! Plain values as Avro's binary encoding has them (specification, "Binary Encoding").

/// Zigzag, seven bits a byte, least significant first.
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A branch, a symbol, a count: all far below what a long holds.
pub(super) fn put_place(place: usize, out: &mut Vec<u8>) {
    put_long(place as i64, out);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_place(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Big-endian two's complement; false if `size` bytes do not hold it.
pub(super) fn put_decimal(value: i128, size: Option<usize>, out: &mut Vec<u8>) -> bool {
    let sign = if value < 0 { 0xff } else { 0 };
    let whole = value.to_be_bytes();
    let is_needless = |pair: &[u8]| pair[0] == sign && pair[1] & 0x80 == sign & 0x80;
    let start = whole
        .windows(2)
        .take_while(|pair| is_needless(pair))
        .count();
    let needed = &whole[start..];
    match size {
        None => put_bytes(needed, out),
        Some(size) => {
            let Some(above) = size.checked_sub(needed.len()) else {
                return false;
            };
            out.extend(std::iter::repeat_n(sign, above));
            out.extend_from_slice(needed);
        }
    }
    true
}

/// The bytes of `8-4-4-4-12` hexadecimal digits (RFC 9562).
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    let is_dash = |place| matches!(place, 8 | 13 | 18 | 23);
    let dashes = text
        .iter()
        .enumerate()
        .all(|(place, byte)| (*byte == b'-') == is_dash(place));
    if text.len() != 36 || !dashes {
        return None;
    }
    let mut digits = text.iter().filter(|byte| **byte != b'-');
    let mut digit = || char::from(*digits.next()?).to_digit(16);
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        // Two digits of four bits.
        *byte = (digit()? << 4 | digit()?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_as_short_as_can_be_or_as_long_as_they_must() {
        for (value, size, expected) in [
            (0, None, Some(&[2, 0][..])),
            (-1, None, Some(&[2, 0xff])),
            (127, None, Some(&[2, 0x7f])),
            (128, None, Some(&[4, 0, 0x80])),
            (-129, None, Some(&[4, 0xff, 0x7f])),
            (-2, Some(3), Some(&[0xff, 0xff, 0xfe])),
            (300, Some(1), None),
            (1, Some(0), None),
        ] {
            let mut out = Vec::new();
            let written = put_decimal(value, size, &mut out).then_some(&out[..]);
            assert_eq!(written, expected, "{value} in {size:?}");
        }
    }

    #[test]
    fn numbers_are_zigzag() {
        for (value, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (63, &[126]),
            (64, &[0x80, 1]),
            (-65, &[0x81, 1]),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            put_long(value, &mut out);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn uuids_are_bytes() {
        let text = "01234567-89ab-CDEF-0123-456789abcdef";
        let bytes = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(uuid(text), Some(bytes));
        for wrong in [
            "",
            &text[1..],
            &text.replace('-', ""),
            &text.replace('0', "g"),
            &text.replace('0', "é"),
        ] {
            assert_eq!(uuid(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        let put = |value, size| {
            let mut out = Vec::new();
            put_decimal(value, size, &mut out).then_some(out)
        };
        for (value, expected) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-1, &[0xff]),
            (-129, &[0xff, 0x7f]),
            (1234, &[0x04, 0xd2]),
        ] {
            let behind_its_length = put(value, None).unwrap();
            assert_eq!(&behind_its_length[1..], expected, "{value}");
            assert_eq!(put(value, Some(expected.len())).as_deref(), Some(expected));
            assert_eq!(put(value, Some(20)).map(|bytes| bytes.len()), Some(20));
            assert_eq!(put(value, Some(expected.len() - 1)), None);
        }
        let mut out = Vec::new();
        for value in [0, -1, 1, -64, 64, i64::MIN] {
            put_long(value, &mut out);
        }
        let last = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(out[..6], [0, 1, 2, 0x7f, 0x80, 0x01]);
        assert_eq!(out[6..], last);
    }

    #[test]
    fn texts_that_are_uuids() {
        let expected = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(uuid("01234567-89AB-cdef-0123-456789abcdef"), Some(expected));
        for text in [
            "",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdeg",
        ] {
            assert_eq!(uuid(text), None);
        }
    }
}
