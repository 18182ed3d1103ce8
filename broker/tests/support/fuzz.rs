//! Bytes to throw at a broker: made from the shapes of requests, damaged, the same in every run.

use std::time::{Duration, Instant};

use tidelog_protocol_ext::shape::{Field, Kind, Shape};

/// Unknown tags start here, above every tag a schema gives out.
const FIRST_UNKNOWN_TAG: u32 = 100;

/// Names that mean something to the broker, and some that do not.
const NAMES: [&str; 12] = [
    "",
    "t",
    "typed",
    "keyed",
    "g",
    "txn",
    "member",
    "__consumer_offsets",
    "__transaction_state",
    "consumer",
    "range",
    "é",
];

/// Numbers at the edges.
const EDGES: [i64; 8] = [-1, 0, 1, 2, -2, i16::MAX as i64, i32::MAX as i64, i64::MIN];

/// xorshift64: the same numbers in every run of a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Damages `bytes` in one to four places.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                3 => bytes.insert(at, self.next() as u8),
                4 => drop(bytes.remove(at)),
                5 => bytes.truncate(at),
                // A count, or four bytes of anything else, that nothing backs.
                _ => {
                    let end = bytes.len().min(at + 4);
                    bytes[at..end].copy_from_slice(&i32::MAX.to_be_bytes()[..end - at]);
                }
            }
        }
    }
}

/// How many seconds to go on for, beyond the fixed rounds: `TIDELOG_FUZZ_SECONDS`, or none.
pub fn extra_time() -> Duration {
    let seconds = std::env::var("TIDELOG_FUZZ_SECONDS");
    Duration::from_secs(seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Seeds: `rounds` fixed ones, then on until the extra time is over.
pub fn seeds(rounds: u64) -> impl Iterator<Item = u64> {
    let (started, extra) = (Instant::now(), extra_time());
    (1..).take_while(move |seed| *seed <= rounds || started.elapsed() < extra)
}

/// A body of a request of Kafka's.
pub fn body_of(dice: &mut Dice, shape: &Shape, version: i16) -> Vec<u8> {
    body(dice, shape.fields, version, version >= shape.flexible)
}

/// A body with these fields, right by its shape and random in its values.
pub fn body(dice: &mut Dice, fields: &'static [Field], version: i16, flexible: bool) -> Vec<u8> {
    let mut writer = Body {
        dice,
        version,
        flexible,
        bytes: Vec::new(),
    };
    writer.structure(fields);
    writer.bytes
}

struct Body<'a> {
    dice: &'a mut Dice,
    version: i16,
    flexible: bool,
    bytes: Vec<u8>,
}

impl Body<'_> {
    fn structure(&mut self, fields: &'static [Field]) {
        for field in fields {
            if field.tag.is_none() && field.versions.contains(self.version) {
                self.value(field.kind, field.nullable.contains(self.version));
            }
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn value(&mut self, kind: Kind, nullable: bool) {
        let null = nullable && self.dice.one_in(3);
        match kind {
            Kind::Bool => self.bytes.push(u8::from(self.dice.one_in(2))),
            Kind::Struct(fields) if nullable => {
                self.bytes.push(if null { 0xff } else { 1 });
                if !null {
                    self.structure(fields);
                }
            }
            Kind::Struct(fields) => self.structure(fields),
            Kind::String if null => self.text_len(None),
            Kind::Bytes | Kind::Array(_) | Kind::Structs(_) if null => self.long_len(None),
            Kind::String => {
                let name = NAMES[self.dice.below(NAMES.len())];
                self.text_len(Some(name.len()));
                self.bytes.extend_from_slice(name.as_bytes());
            }
            Kind::Bytes => {
                let size = self.dice.below(120);
                self.long_len(Some(size));
                let bytes = self.dice.bytes(size);
                self.bytes.extend(bytes);
            }
            Kind::Array(element) => {
                let count = self.count();
                (0..count).for_each(|_| self.value(*element, false));
            }
            Kind::Structs(fields) => {
                let count = self.count();
                (0..count).for_each(|_| self.structure(fields));
            }
            fixed => {
                let width = fixed.width().expect("all others are fixed");
                self.number(width);
            }
        }
    }

    fn number(&mut self, width: usize) {
        let number = match self.dice.below(3) {
            0 => self.dice.next(),
            1 => EDGES[self.dice.below(EDGES.len())].cast_unsigned(),
            _ => self.dice.below(5) as u64,
        };
        let bytes = [self.dice.next().to_be_bytes(), number.to_be_bytes()].concat();
        self.bytes.extend_from_slice(&bytes[bytes.len() - width..]);
    }

    fn tags(&mut self, fields: &'static [Field]) {
        let tagged = fields.iter().filter(|field| field.tag.is_some());
        let mut known: Vec<&Field> = tagged
            .filter(|field| field.versions.contains(self.version))
            .collect();
        known.retain(|_| self.dice.one_in(2));
        known.sort_by_key(|field| field.tag);
        let unknown = u32::from(self.dice.one_in(4));
        self.uvarint(u32::try_from(known.len()).unwrap() + unknown);
        for field in known {
            let outer = std::mem::take(&mut self.bytes);
            self.value(field.kind, false);
            let value = std::mem::replace(&mut self.bytes, outer);
            self.uvarint(field.tag.unwrap());
            self.uvarint(u32::try_from(value.len()).unwrap());
            self.bytes.extend(value);
        }
        if unknown > 0 {
            self.uvarint(FIRST_UNKNOWN_TAG);
            self.uvarint(2);
            self.bytes.extend([7, 7]);
        }
    }

    fn count(&mut self) -> usize {
        let count = self.dice.below(4);
        self.long_len(Some(count));
        count
    }

    fn text_len(&mut self, length: Option<usize>) {
        match self.flexible {
            true => self.compact_len(length),
            false => {
                let length = length.map_or(-1, |length| i16::try_from(length).unwrap());
                self.bytes.extend(length.to_be_bytes());
            }
        }
    }

    fn long_len(&mut self, length: Option<usize>) {
        match self.flexible {
            true => self.compact_len(length),
            false => {
                let length = length.map_or(-1, |length| i32::try_from(length).unwrap());
                self.bytes.extend(length.to_be_bytes());
            }
        }
    }

    fn compact_len(&mut self, length: Option<usize>) {
        self.uvarint(length.map_or(0, |length| u32::try_from(length).unwrap() + 1));
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
