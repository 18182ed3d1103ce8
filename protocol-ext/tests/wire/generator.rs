//! Random bodies made from a shape, for tests of everything that reads bodies.

use rand::Rng;
use rand::rngs::SmallRng;
use tidelog_protocol_ext::shape::{Field, Kind};

/// Unknown tags start here, above every tag a schema gives out.
const FIRST_UNKNOWN_TAG: u32 = 100;

/// Writes one body field by field.
pub struct Generator<'a> {
    rng: &'a mut SmallRng,
    version: i16,
    flexible: bool,
    /// Counts the values that could be written as null.
    null_sites: usize,
    /// The one to write as null, allowed or not; `None` leaves it to chance where it is allowed.
    null_at: Option<usize>,
    /// Whether the schema allows the null that was forced.
    pub forced_null_allowed: Option<bool>,
    pub bytes: Vec<u8>,
}

impl<'a> Generator<'a> {
    pub fn new(rng: &'a mut SmallRng, version: i16, flexible: bool) -> Self {
        Self {
            rng,
            version,
            flexible,
            null_sites: 0,
            null_at: None,
            forced_null_allowed: None,
            bytes: Vec::new(),
        }
    }

    pub fn forcing_null_at(self, site: usize) -> Self {
        Self {
            null_at: Some(site),
            ..self
        }
    }

    pub fn structure(&mut self, fields: &'static [Field]) {
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
        match kind {
            Kind::Bool => self.bytes.push(u8::from(self.rng.random::<bool>())),
            Kind::Struct(fields) if nullable => {
                if self.is_null(nullable) {
                    self.bytes.push(0xff);
                } else {
                    self.bytes.push(1);
                    self.structure(fields);
                }
            }
            Kind::Struct(fields) => self.structure(fields),
            Kind::String if self.is_null(nullable) => self.text_len(None),
            Kind::Bytes | Kind::Array(_) | Kind::Structs(_) if self.is_null(nullable) => {
                self.long_len(None)
            }
            Kind::String => {
                let text = ["", "t", "topic-é", "a longer name than the others"];
                let text = text[self.rng.random_range(0..text.len())];
                self.text_len(Some(text.len()));
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Kind::Bytes => {
                let size = self.rng.random_range(0..400);
                self.long_len(Some(size));
                self.random_bytes(size);
            }
            Kind::Array(element) => {
                let count = self.count();
                (0..count).for_each(|_| self.value(*element, false));
            }
            Kind::Structs(fields) => {
                let count = self.count();
                (0..count).for_each(|_| self.structure(fields));
            }
            fixed => self.random_bytes(fixed.width().unwrap()),
        }
    }

    fn tags(&mut self, fields: &'static [Field]) {
        let mut known: Vec<&Field> = fields
            .iter()
            .filter(|field| field.tag.is_some() && field.versions.contains(self.version))
            .collect();
        known.retain(|_| self.rng.random());
        known.sort_by_key(|field| field.tag);
        let unknown = self.rng.random_range(0..3u32).saturating_sub(1);
        self.uvarint(known.len() as u32 + unknown);
        for field in known {
            let outer = std::mem::take(&mut self.bytes);
            // The generated encoder leaves out a tagged null, so none is made here.
            let forced = self.null_at.replace(usize::MAX);
            self.value(field.kind, false);
            self.null_at = forced;
            let value = std::mem::replace(&mut self.bytes, outer);
            self.uvarint(field.tag.unwrap());
            self.uvarint(value.len() as u32);
            self.bytes.extend_from_slice(&value);
        }
        for tag in FIRST_UNKNOWN_TAG..FIRST_UNKNOWN_TAG + unknown {
            let size = self.rng.random_range(0..9);
            self.uvarint(tag);
            self.uvarint(size);
            self.random_bytes(size as usize);
        }
    }

    fn is_null(&mut self, nullable: bool) -> bool {
        let site = self.null_sites;
        self.null_sites += 1;
        match self.null_at {
            Some(at) if at == site => {
                self.forced_null_allowed = Some(nullable);
                true
            }
            Some(_) => false,
            None => nullable && self.rng.random_bool(0.3),
        }
    }

    fn count(&mut self) -> usize {
        let count = self.rng.random_range(0..4);
        self.long_len(Some(count));
        count
    }

    fn text_len(&mut self, length: Option<usize>) {
        if self.flexible {
            self.uvarint(length.map_or(0, |length| length as u32 + 1));
        } else {
            let length = length.map_or(-1, |length| length as i16);
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn long_len(&mut self, length: Option<usize>) {
        if self.flexible {
            self.uvarint(length.map_or(0, |length| length as u32 + 1));
        } else {
            let length = length.map_or(-1, |length| length as i32);
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn random_bytes(&mut self, size: usize) {
        let bytes = std::iter::repeat_with(|| self.rng.random::<u8>()).take(size);
        self.bytes.extend(bytes);
    }
}

/// Damages `bytes` in one to four places: a byte changed, a byte added, a tail cut off.
pub fn mutate(rng: &mut SmallRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..5) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            3 => bytes.insert(at, rng.random()),
            4 => {
                bytes.remove(at);
            }
            _ => bytes.truncate(at),
        }
    }
}
