use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::error::{Fault, WireError};
use crate::rope::Rope;

fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    write(&mut writer);
    Rope::from(writer.into_chunks().unwrap()).to_bytes()
}

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

#[test]
fn what_is_written_is_read() {
    for flexible in [false, true] {
        let bytes = written(|w| {
            w.bool(true);
            w.i8(-2);
            w.i16(-3);
            w.u16(65_000);
            w.i32(-4);
            w.u32(4_000_000_000);
            w.i64(-5);
            w.uuid(Uuid::from_u128(7));
            w.text(flexible, Some("tide"));
            w.text(flexible, None);
            w.byte_string(flexible, Some(&Bytes::from_static(b"log")));
            w.byte_string(flexible, None);
            w.array_len(flexible, 0);
        });
        let mut r = Reader::new(bytes);
        assert!(r.bool().unwrap());
        assert_eq!(r.i8().unwrap(), -2);
        assert_eq!(r.i16().unwrap(), -3);
        assert_eq!(r.u16().unwrap(), 65_000);
        assert_eq!(r.i32().unwrap(), -4);
        assert_eq!(r.u32().unwrap(), 4_000_000_000);
        assert_eq!(r.i64().unwrap(), -5);
        assert_eq!(r.uuid().unwrap(), Uuid::from_u128(7));
        assert_eq!(r.text(flexible).unwrap().as_deref(), Some("tide"));
        assert_eq!(r.text(flexible).unwrap(), None);
        assert_eq!(
            r.byte_string(flexible).unwrap().as_deref(),
            Some(b"log".as_slice())
        );
        assert_eq!(r.byte_string(flexible).unwrap(), None);
        assert_eq!(r.array_len(flexible).unwrap(), Some(0));
        assert_eq!(r.remaining(), 0);
    }
}

#[test]
fn uvarints_at_their_edges() {
    for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x0fff_ffff, u32::MAX] {
        let bytes = written(|w| w.uvarint(value));
        assert_eq!(Reader::new(bytes).uvarint(), Ok(value));
    }
    for bytes in [
        [0xff, 0xff, 0xff, 0xff, 0x10].as_slice(),
        [0x80, 0x80, 0x80, 0x80, 0x80, 0x00].as_slice(),
    ] {
        let fault = reader(bytes).uvarint().unwrap_err().fault;
        assert_eq!(fault, Fault::VarintTooLong);
    }
}

#[test]
fn lies_about_length_are_refused() {
    let negative = reader(&[0xff, 0xfe]).text(false).unwrap_err();
    assert_eq!(negative.fault, Fault::NegativeLength(-2));
    let truncated = reader(&[0, 3, b'a']).text(false).unwrap_err();
    assert_eq!(truncated.fault, Fault::Truncated { needed: 3, left: 1 });
    let count = reader(&[0x7f, 0xff, 0xff, 0xff, 0]).array_len(false);
    assert_eq!(
        count.unwrap_err().fault,
        Fault::CountExceedsBytes {
            count: i32::MAX as usize,
            left: 1
        }
    );
    let long = written(|w| w.uvarint(40_001));
    let fault = Reader::new(long).text(true).unwrap_err().fault;
    assert_eq!(fault, Fault::TextTooLong(40_000));
    let not_utf8 = reader(&[2, 0xff]).text(true).unwrap_err();
    assert_eq!((not_utf8.at, not_utf8.fault), (1, Fault::NotUtf8));
}

#[test]
fn elements_are_capped_across_a_body() {
    let count = ELEMENTS_MAX as i32;
    let mut bytes = written(|w| {
        w.i32(count);
        w.i32(1);
    })
    .to_vec();
    bytes.resize(bytes.len() + ELEMENTS_MAX, 0);
    let mut r = reader(&bytes);
    assert_eq!(r.array_len(false), Ok(Some(ELEMENTS_MAX)));
    assert_eq!(r.elements(), ELEMENTS_MAX);
    let fault = r.array_len(false).unwrap_err().fault;
    assert_eq!(fault, Fault::TooManyElements);
}

#[test]
fn payloads_are_shared_and_small_ones_inlined() {
    let large = Bytes::from(vec![7; 4096]);
    let small = Bytes::from_static(b"small");
    let mut writer = Writer::new();
    writer.i8(1);
    writer.rope(true, &Rope::from(vec![large.clone(), small, large.clone()]));
    writer.i8(2);
    let length = writer.len();
    let chunks = writer.into_chunks().unwrap();
    assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), length);
    assert_eq!(chunks.len(), 5);
    assert_eq!(chunks[1].as_ptr(), large.as_ptr());
    assert_eq!(&chunks[2][..], b"small");
    assert_eq!(chunks[3].as_ptr(), large.as_ptr());
}

#[test]
fn tags_leave_in_ascending_order() {
    let value = |byte| {
        let mut writer = Writer::new();
        writer.i8(byte);
        writer
    };
    let bytes = written(|w| w.tags([Some((5, value(50))), None, Some((2, value(20)))]));
    assert_eq!(&bytes[..], [2, 2, 1, 20, 5, 1, 50]);
    let mut r = Reader::new(bytes);
    r.skip_tags().unwrap();
    assert_eq!((r.remaining(), r.elements()), (0, 2));
}

#[test]
fn text_that_does_not_fit_fails_at_the_end() {
    for flexible in [false, true] {
        let mut writer = Writer::new();
        writer.text(flexible, Some(&"x".repeat(TEXT_BYTES_MAX + 1)));
        let error = writer.into_chunks().unwrap_err();
        assert!(matches!(error, WireError::TooLong { length: 32_768, .. }));
    }
}
