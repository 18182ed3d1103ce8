//! Avro's binary encoding, read from the front of the bytes that are left.
//!
//! A length is believed only as far as there are bytes.

use crate::json::{self, Fault};

/// What is left of a value.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// Items of an array or map that stand together.
pub(super) struct Block {
    pub(super) count: u64,
    /// How many bytes they take, if the writer said so.
    pub(super) bytes: Option<usize>,
}

/// What is wrong with a value, and where; the path is built from the inside out.
pub(super) struct Stop {
    pub(super) path: String,
    pub(super) fault: Fault,
}

/// Boxed: results are on the hot path, faults are not.
pub(super) type Outcome<T> = Result<T, Box<Stop>>;

impl<'a> Cursor<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// Bytes left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Outcome<&'a [u8]> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(short()),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(short()),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Outcome<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Stop::encoding("a boolean that is neither 0 nor 1")),
        }
    }

    #[inline]
    pub(super) fn int(&mut self) -> Outcome<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Stop::encoding("an int of more than 32 bits"))
    }

    /// A zigzag number of seven bits a byte, least significant first.
    #[inline]
    pub(super) fn long(&mut self) -> Outcome<i64> {
        let zigzag = match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                u64::from(*byte)
            }
            _ => self.longer()?,
        };
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A number of more than one byte, before it is unfolded.
    fn longer(&mut self) -> Outcome<u64> {
        let mut value = 0;
        for (place, byte) in self.rest.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place > 9 || (place == 9 && *byte > 1) {
                return Err(Stop::encoding("a number of more than 64 bits"));
            }
            value |= bits << (7 * place);
            if *byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(short())
    }

    #[inline]
    pub(super) fn float(&mut self) -> Outcome<f32> {
        self.array().map(f32::from_le_bytes)
    }

    #[inline]
    pub(super) fn double(&mut self) -> Outcome<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let len = self.long()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len),
            Err(_) => Err(Stop::encoding("a length below zero")),
        }
    }

    /// Bytes behind their length, which are UTF-8.
    #[inline]
    pub(super) fn text(&mut self) -> Outcome<&'a [u8]> {
        let bytes = self.bytes()?;
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(Stop::encoding("a string that is not UTF-8")),
        }
    }

    /// A place below `count`: a union's branch, an enum's symbol.
    #[inline]
    pub(super) fn place(&mut self, count: usize) -> Outcome<usize> {
        let place = usize::try_from(self.long()?).ok();
        place
            .filter(|place| *place < count)
            .ok_or_else(|| Stop::encoding("a branch or symbol that the schema does not have"))
    }

    /// The next block of an array or map; `None` at its end.
    pub(super) fn block(&mut self) -> Outcome<Option<Block>> {
        let count = self.long()?;
        let bytes = match count {
            0 => return Ok(None),
            // Below zero, the count is followed by the block's length.
            ..0 => {
                let bytes = usize::try_from(self.long()?);
                Some(bytes.map_err(|_| Stop::encoding("a length below zero"))?)
            }
            _ => None,
        };
        let count = count.unsigned_abs();
        Ok(Some(Block { count, bytes }))
    }
}

#[cold]
fn short() -> Box<Stop> {
    Stop::encoding("the value ends too early")
}

impl Stop {
    #[cold]
    pub(super) fn new(fault: Fault) -> Box<Self> {
        let path = String::new();
        Box::new(Self { path, fault })
    }

    #[cold]
    pub(super) fn encoding(what: &'static str) -> Box<Self> {
        Self::new(Fault::Malformed(what))
    }

    /// On the way out: the fault lies inside `name`.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path = json::join(name, &self.path);
        self
    }
}
