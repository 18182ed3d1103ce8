//! A row of cells by field id, and the bytes that keep it.
//!
//! ```text
//! 01 │ tag, value │ tag, value │ …      ids ascend; what was never set is not there
//!      tag = (id − the one before) << 5 | type;  0 << 5 | type: the distance follows as varint
//! ```
//! A row says itself what it holds, so it outlives the schema it was written under: a dropped
//! column's cell is passed over, a new column has none. `docs/formats/merge.md` has the bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::value::{FieldId, Value};
use super::varint;

/// First byte of a stored row.
const VERSION: u8 = 1;

const TYPE_BITS: u32 = 5;
const TYPE_MASK: u8 = (1 << TYPE_BITS) - 1;
/// Longest distance that the tag holds itself.
const NEAR_MAX: i32 = 7;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const DOUBLE: u8 = 5;
const DECIMAL: u8 = 6;
const TEXT: u8 = 7;
const BINARY: u8 = 8;

/// Bytes that are no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CellsError {
    #[error("the row ends in the middle of a cell")]
    Short,
    #[error("the row needs a reader of version {0}")]
    TooNew(u8),
    #[error("the row's field ids do not ascend")]
    Order,
    #[error("the row has a cell of type {0}")]
    Type(u8),
    #[error("the row has a text that is not UTF-8")]
    Text,
}

/// Cells by ascending field id, each once. A null that is there was set; what is not there never
/// was, or was cleared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cells(Vec<(FieldId, Value)>);

impl Cells {
    /// The cell of a column; null where there is none.
    pub fn value(&self, id: FieldId) -> &Value {
        self.get(id).unwrap_or(&Value::Null)
    }

    /// The cell of a column, if it was ever set.
    pub fn get(&self, id: FieldId) -> Option<&Value> {
        let at = self.place(id).ok()?;
        Some(&self.0[at].1)
    }

    pub fn set(&mut self, id: FieldId, value: Value) {
        match self.place(id) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (id, value)),
        }
    }

    /// Makes the cell one that was never set.
    pub fn clear(&mut self, id: FieldId) {
        if let Ok(at) = self.place(id) {
            self.0.remove(at);
        }
    }

    /// The cells that hold something; nulls count as never set.
    #[must_use]
    pub fn without_nulls(mut self) -> Self {
        self.0.retain(|(_, value)| !value.is_null());
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &Value)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    fn place(&self, id: FieldId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.0.len() * 8);
        out.put_u8(VERSION);
        let mut before = 0;
        for (id, value) in self.iter() {
            put_tag(&mut out, id - before, type_of(value));
            put_value(&mut out, value);
            before = id;
        }
        out.freeze()
    }

    /// Reads kept bytes. Texts and binaries share them.
    ///
    /// # Errors
    /// [`CellsError`]: the bytes are not what [`encode`](Self::encode) makes.
    pub fn decode(bytes: &Bytes) -> Result<Self, CellsError> {
        let mut rest = bytes.clone();
        match take(&mut rest, 1)?[0] {
            VERSION => {}
            newer => return Err(CellsError::TooNew(newer)),
        }
        let mut cells = Vec::new();
        let mut before: FieldId = 0;
        while !rest.is_empty() {
            let tag = take(&mut rest, 1)?[0];
            let distance = match tag >> TYPE_BITS {
                0 => i32::try_from(number(&mut rest)?).map_err(|_| CellsError::Order)?,
                near => near.into(),
            };
            let id = before.checked_add(distance).ok_or(CellsError::Order)?;
            if id <= before {
                return Err(CellsError::Order);
            }
            cells.push((id, take_value(&mut rest, tag & TYPE_MASK)?));
            before = id;
        }
        Ok(Self(cells))
    }
}

impl FromIterator<(FieldId, Value)> for Cells {
    /// Of several cells of one column the last one stays.
    fn from_iter<T: IntoIterator<Item = (FieldId, Value)>>(cells: T) -> Self {
        let mut all = Self::default();
        cells.into_iter().for_each(|(id, value)| all.set(id, value));
        all
    }
}

fn put_tag(out: &mut BytesMut, distance: i32, of: u8) {
    match u8::try_from(distance) {
        Ok(near) if distance <= NEAR_MAX => out.put_u8(near << TYPE_BITS | of),
        _ => {
            out.put_u8(of);
            varint::put(out, distance.unsigned_abs().into());
        }
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(false) => FALSE,
        Value::Bool(true) => TRUE,
        Value::Int(_) => INT,
        Value::Float(_) => FLOAT,
        Value::Double(_) => DOUBLE,
        Value::Decimal(_) => DECIMAL,
        Value::Text(_) => TEXT,
        Value::Binary(_) => BINARY,
    }
}

fn put_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Int(number) => varint::put(out, varint::zigzag((*number).into())),
        Value::Float(number) => out.put_f32_le(*number),
        Value::Double(number) => out.put_f64_le(*number),
        Value::Decimal(number) => varint::put(out, varint::zigzag(*number)),
        Value::Text(bytes) | Value::Binary(bytes) => {
            varint::put(out, bytes.len() as u128);
            out.extend_from_slice(bytes);
        }
    }
}

fn take_value(rest: &mut Bytes, of: u8) -> Result<Value, CellsError> {
    Ok(match of {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => {
            let wide = varint::unzigzag(number(rest)?);
            Value::Int(i64::try_from(wide).map_err(|_| CellsError::Type(INT))?)
        }
        FLOAT => Value::Float(f32::from_le_bytes(array(rest)?)),
        DOUBLE => Value::Double(f64::from_le_bytes(array(rest)?)),
        DECIMAL => Value::Decimal(varint::unzigzag(number(rest)?)),
        TEXT => {
            let text = take_string(rest)?;
            std::str::from_utf8(&text).map_err(|_| CellsError::Text)?;
            Value::Text(text)
        }
        BINARY => Value::Binary(take_string(rest)?),
        other => return Err(CellsError::Type(other)),
    })
}

fn take_string(rest: &mut Bytes) -> Result<Bytes, CellsError> {
    let len = usize::try_from(number(rest)?).map_err(|_| CellsError::Short)?;
    take(rest, len)
}

fn number(rest: &mut Bytes) -> Result<u128, CellsError> {
    varint::take(rest).ok_or(CellsError::Short)
}

fn array<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], CellsError> {
    let bytes = take(rest, N)?;
    <[u8; N]>::try_from(&bytes[..]).map_err(|_| CellsError::Short)
}

fn take(rest: &mut Bytes, len: usize) -> Result<Bytes, CellsError> {
    if len > rest.len() {
        return Err(CellsError::Short);
    }
    Ok(rest.split_to(len))
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn sample() -> Cells {
        Cells::from_iter([
            (1, Value::Bool(true)),
            (2, Value::Null),
            (3, Value::Int(-2)),
            (11, Value::Float(1.5)),
            (12, Value::Double(-0.0)),
            (13, Value::Decimal(12_345)),
            (1_000, Value::Text(Bytes::from_static("ä".as_bytes()))),
            (1_001, Value::Binary(Bytes::from_static(&[0, 255]))),
            (1_002, Value::Bool(false)),
        ])
    }

    /// These bytes are on disks.
    const GOLDEN: &[u8] = &[
        0x01, // version
        0x22, // 1: true
        0x20, // 2: null
        0x23, 0x03, // 3: -2
        0x04, 0x08, 0x00, 0x00, 0xc0, 0x3f, // 11, eight further: 1.5
        0x25, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, // 12: -0.0
        0x26, 0xf2, 0xc0, 0x01, // 13: 12345
        0x07, 0xdb, 0x07, 0x02, 0xc3, 0xa4, // 1000, 987 further: "ä"
        0x28, 0x02, 0x00, 0xff, // 1001
        0x21, // 1002: false
    ];

    #[test]
    fn the_bytes_stay_what_they_are() {
        assert_eq!(&sample().encode()[..], GOLDEN);
        assert_eq!(Cells::decode(&Bytes::from_static(GOLDEN)), Ok(sample()));
    }

    #[test]
    fn numbers_of_any_size_come_back() {
        for number in [i64::MIN, -1, 0, 63, 64, i64::MAX] {
            let row = Cells::from_iter([(1, Value::Int(number))]);
            assert_eq!(Cells::decode(&row.encode()), Ok(row));
        }
        for number in [i128::MIN, i128::MAX] {
            let row = Cells::from_iter([(i32::MAX, Value::Decimal(number))]);
            assert_eq!(Cells::decode(&row.encode()), Ok(row));
        }
    }

    #[test]
    fn no_bytes_break_the_reader() {
        let mut dice = SmallRng::seed_from_u64(1);
        let good = sample().encode();
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..dice.random_range(1..4) {
                let at = dice.random_range(0..bytes.len());
                bytes[at] = dice.random();
            }
            bytes.truncate(dice.random_range(0..=bytes.len()));
            let bytes = Bytes::from(bytes);
            if let Ok(cells) = Cells::decode(&bytes) {
                let again = Cells::decode(&cells.encode()).unwrap();
                assert_eq!(again.encode(), cells.encode());
            }
        }
    }

    #[test]
    fn what_is_cleared_was_never_set() {
        let mut cells = sample();
        cells.clear(2);
        cells.set(3, Value::Null);
        assert_eq!((cells.get(2), cells.get(3)), (None, Some(&Value::Null)));
        assert_eq!(cells.value(2), &Value::Null);
    }
}
