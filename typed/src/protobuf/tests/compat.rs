//! What changes a reader understands.

use super::super::compat::backward;
use super::*;

/// The names of the differences.
pub(super) fn differences(reader: &Source, writer: &Source) -> Vec<String> {
    let name = |text: &String| {
        let name = text
            .strip_prefix("{errorType:\"")
            .and_then(|text| text.split('"').next());
        name.unwrap_or(text).to_owned()
    };
    backward(reader, writer).iter().map(name).collect()
}

/// Bodies of proto3 files, old and new.
fn check(old: &str, new: &str, expected: &[&str]) {
    let file = |body: &str| source(&format!("syntax = \"proto3\"; {body}"));
    assert_eq!(
        differences(&file(new), &file(old)),
        expected,
        "{old}\n{new}"
    );
}

#[test]
fn fields_are_compared_by_number_and_encoding() {
    let field = |kind: &str| {
        format!("message M {{ {kind} f = 1; }} enum E {{ A = 0; }} message N {{ int32 x = 1; }}")
    };
    let groups: [&[&str]; 7] = [
        &["int32", "int64", "uint32", "uint64", "bool", "E"],
        &["sint32", "sint64"],
        &["string", "bytes"],
        &["fixed32", "sfixed32"],
        &["fixed64", "sfixed64"],
        &["float"],
        &["double"],
    ];
    for (at, group) in groups.iter().enumerate() {
        for (other_at, other) in groups.iter().enumerate() {
            for (old, new) in group
                .iter()
                .flat_map(|old| other.iter().map(move |new| (old, new)))
            {
                let expected: &[&str] = match at == other_at {
                    true => &[],
                    false => &["FIELD_SCALAR_KIND_CHANGED"],
                };
                check(&field(old), &field(new), expected);
            }
        }
    }
    check(&field("int32"), &field("N"), &["FIELD_KIND_CHANGED"]);
    check(
        &field("N"),
        &field("map<string, int32>"),
        &["FIELD_KIND_CHANGED"],
    );
    check(
        &field("map<string, int32>"),
        &field("map<bytes_, int32>").replace("bytes_", "string"),
        &[],
    );
    check(
        &field("map<string, int32>"),
        &field("map<string, float>"),
        &["FIELD_SCALAR_KIND_CHANGED"],
    );
    check(
        &field("int32"),
        &field("repeated int32"),
        &["FIELD_NUMERIC_LABEL_CHANGED"],
    );
    check(&field("string"), &field("repeated string"), &[]);
    check(&field("N"), &field("repeated N"), &[]);
    check(&field("int32"), &field("optional int32"), &[]);
}

#[test]
fn fields_and_messages_come_and_go() {
    let one = "message M { string a = 1; }";
    check(one, "message M { string a = 1; float b = 2; }", &[]);
    check("message M { string a = 1; float b = 2; }", one, &[]);
    check(one, "message M { string other = 1; }", &[]);
    check(one, "message M { string a = 2; }", &[]);
    check(
        one,
        "message N { int32 x = 1; } message M { string a = 1; }",
        &[],
    );
    check(
        "message N { int32 x = 1; } message M { string a = 1; }",
        one,
        &["MESSAGE_REMOVED"],
    );
    check(
        "package a; message M { string a = 1; }",
        "package b; message M { string a = 1; }",
        &["PACKAGE_CHANGED"],
    );
    check(
        "message M { S a = 1; message S {} } message T {}",
        "message M { T a = 1; message S {} } message T {}",
        &["FIELD_NAMED_TYPE_CHANGED"],
    );
    check(
        "message M { message S { int32 x = 1; } }",
        "message M { message S { string x = 1; } }",
        &["FIELD_SCALAR_KIND_CHANGED"],
    );
    check(
        "enum E { A = 0; } message M { E e = 1; }",
        "enum E { B = 0; C = 1; } message M { E e = 1; }",
        &[],
    );
    let described = backward(
        &source("message M { message S { optional string x = 3; } }"),
        &source("message M { message S { optional int32 x = 3; } }"),
    );
    assert_eq!(
        described,
        [
            "{errorType:\"FIELD_SCALAR_KIND_CHANGED\", description:\"at '#/M/S/3' the old schema has int32, the new one string\"}"
        ]
    );
}

#[test]
fn required_fields_stay() {
    let (with, without) = (
        source("message M { optional int32 a = 1; required int32 b = 2; }"),
        source("message M { optional int32 a = 1; }"),
    );
    assert_eq!(differences(&with, &without), ["REQUIRED_FIELD_ADDED"]);
    assert_eq!(differences(&without, &with), ["REQUIRED_FIELD_REMOVED"]);
    let optional = source("message M { optional int32 a = 1; optional int32 b = 2; }");
    assert_eq!(differences(&with, &optional), ["REQUIRED_FIELD_ADDED"]);
    assert!(differences(&optional, &with).is_empty());
}

#[test]
fn oneofs_bind_no_fields_that_were_free() {
    let free = "message M { string a = 1; string b = 2; }";
    let both = "message M { oneof o { string a = 1; string b = 2; int32 c = 3; } }";
    check(
        free,
        "message M { string a = 1; oneof o { string b = 2; int32 c = 3; } }",
        &[],
    );
    check(free, both, &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"]);
    check(
        "message M { string a = 1; oneof o { string b = 2; } }",
        both,
        &["FIELD_MOVED_TO_EXISTING_ONEOF"],
    );
    check(both, free, &["ONEOF_FIELD_REMOVED"]);
    check(
        both,
        "message M { string a = 1; string b = 2; int32 c = 3; }",
        &[],
    );
    check(
        both,
        "message M { oneof o { string a = 1; string b = 2; } }",
        &["ONEOF_FIELD_REMOVED"],
    );
    check(
        both,
        "message M { oneof p { string a = 1; string b = 2; int32 c = 3; } }",
        &[],
    );
    check(both, "message M { string z = 9; }", &[]);
}

#[test]
fn imported_messages_are_compared_where_they_are_used() {
    let file = |import: &str, body: &str| {
        let text =
            format!("syntax = \"proto3\"; import \"i.proto\"; message M {{ {import}.S s = 1; }}");
        let imported = format!("syntax = \"proto3\"; package {import}; {body}");
        Source::parse(&text, &[("i.proto".to_owned(), imported)]).unwrap()
    };
    let old = file("a", "message S { int32 x = 1; S next = 2; }");
    assert!(differences(&file("a", "message S { int64 x = 1; S next = 2; }"), &old).is_empty());
    assert!(differences(&file("b", "message S { int32 x = 1; S next = 2; }"), &old).is_empty());
    assert_eq!(
        differences(&file("a", "message S { string x = 1; S next = 2; }"), &old),
        ["FIELD_SCALAR_KIND_CHANGED", "FIELD_NAMED_TYPE_CHANGED"]
    );
}
