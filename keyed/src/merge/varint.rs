//! Numbers in as few bytes as they need: seven bits a byte, lowest first, the high bit says "more".

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of the longest number.
const LEN_MAX: u32 = 128_u32.div_ceil(7);

pub(crate) fn put(out: &mut BytesMut, mut number: u128) {
    while number > 0x7f {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// `None` if the bytes end too early, or the number is longer than 128 bits.
pub(crate) fn take(rest: &mut Bytes) -> Option<u128> {
    let mut number = 0;
    for place in 0..LEN_MAX {
        let byte = rest.has_remaining().then(|| rest.get_u8())?;
        let part = u128::from(byte & 0x7f);
        let shifted = part << (7 * place);
        if shifted >> (7 * place) != part {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Small numbers of either sign as small ones without.
pub(crate) fn zigzag(number: i128) -> u128 {
    (number << 1 ^ number >> 127) as u128
}

pub(crate) fn unzigzag(number: u128) -> i128 {
    (number >> 1) as i128 ^ -((number & 1) as i128)
}
