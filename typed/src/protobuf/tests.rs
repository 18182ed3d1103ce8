//! Schemas, the mapping, and single rows; `random` holds the decoder against another one, `compat`
//! the rules of change.

mod cells;
mod compat;
mod random;

use std::fmt::Write as _;

use arrow_array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::compat::canonical;
use super::*;
use crate::json::{Fault, Reason};
use crate::schema::{Kind, TableSchema, TimeUnit};
use cells::row_text;

fn source(text: &str) -> Source {
    Source::parse(text, &[]).unwrap()
}

fn writer(text: &str) -> Writer {
    source(text).writer(&MessageChoice::default()).unwrap()
}

/// A plan for the writer's own table.
fn plan(text: &str) -> Plan {
    let writer = writer(text);
    let table = writer.draft().allocate().unwrap();
    Plan::compile(&writer, &table).unwrap()
}

fn table(text: &str) -> TableSchema {
    TableSchema::parse(text).unwrap()
}

/// The one row of a value, or why there is none.
fn decode(plan: &Plan, value: &[u8]) -> Result<String, Reason> {
    let (rows, mut undecodable): (RecordBatch, _) = plan.columns([value]).unwrap();
    match undecodable.pop() {
        Some((_, reason)) => Err(reason),
        None => Ok(row_text(&rows, 0)),
    }
}

/// A field of bytes.
fn sub(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

/// A field of a small number.
fn small(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

const EVERYTHING: &str = r#"
    syntax = "proto3";
    package shop;
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/wrappers.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/empty.proto";
    enum State { NEW = 0; PAID = 1; }
    message Everything {
      double a = 30; float b = 2; int32 c = 3; int64 d = 4; uint32 e = 5; uint64 f = 6;
      sint32 g = 7; sint64 h = 8; fixed32 i = 9; fixed64 j = 10; sfixed32 k = 11;
      sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15; State p = 16;
      repeated int32 q = 17; map<uint64, State> r = 18; map<uint32, Line> s = 19;
      Line t = 20; google.protobuf.Timestamp u = 21; google.protobuf.Duration v = 22;
      google.protobuf.UInt64Value w = 23; google.protobuf.Value x = 24;
      google.protobuf.Any y = 25; google.protobuf.Empty z = 26;
      oneof choice { string ca = 27; int32 cb = 28; }
      optional int32 opt = 29;
      message Line { string name = 1; }
    }
    message Other { message Inner { int32 x = 1; } map<string, Inner> m = 1; message Last { int32 y = 1; } }
"#;

#[test]
fn every_type_has_its_column() {
    let draft = writer(EVERYTHING).draft();
    let mut text = String::new();
    for field in &draft.fields {
        assert!(field.nullable);
        write!(text, "{}:{} ", field.name, kind_text(&field.kind)).unwrap();
    }
    assert_eq!(
        text.trim(),
        "a:double b:float c:int d:long e:long f:decimal(20,0) g:int h:long i:long \
         j:decimal(20,0) k:int l:long m:bool n:string o:binary p:string q:[int] r:{string:string} \
         s:{long:(name:string)} t:(name:string) u:timestamp(us) v:(seconds:long nanos:int) \
         w:decimal(20,0) x:string y:(type_url:string value:binary) z:bool ca:string cb:int opt:int"
    );
    assert!(draft.allocate().is_ok());
}

fn kind_text(kind: &Kind) -> String {
    match kind {
        Kind::List(items) => format!("[{}]", kind_text(&items.kind)),
        Kind::Map { key, value } => {
            format!("{{{}:{}}}", kind_text(&key.kind), kind_text(&value.kind))
        }
        Kind::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| format!("{}:{}", field.name, kind_text(&field.kind)));
            format!("({})", fields.collect::<Vec<_>>().join(" "))
        }
        Kind::Timestamp(TimeUnit::Microsecond) => "timestamp(us)".to_owned(),
        other => other.name(),
    }
}

#[test]
fn nothing_written_is_defaults_where_there_is_no_presence() {
    let row = decode(&plan(EVERYTHING), &[]).unwrap();
    assert_eq!(
        row,
        "a=0.0 b=0.0 c=0 d=0 e=0 f=0 g=0 h=0 i=0 j=0 k=0 l=0 m=false n=\"\" o=[] p=\"NEW\" q=[] \
         r={} s={} t=null u=null v=null w=null x=null y=null z=null ca=null cb=null opt=null"
    );
}

#[test]
fn messages_are_chosen_by_place_or_name() {
    let source = source(EVERYTHING);
    let name = |choice| {
        source
            .writer(&choice)
            .map(|writer| writer.message_name().to_owned())
    };
    let at = |indexes: &[i32]| name(MessageChoice::Indexes(indexes.to_vec()));
    let by = |text: &str| name(MessageChoice::Name(text.to_owned()));
    assert_eq!(at(&[0]).unwrap(), "shop.Everything");
    assert_eq!(at(&[0, 0]).unwrap(), "shop.Everything.Line");
    // The message that is made for the map has no place.
    assert_eq!(at(&[1, 1]).unwrap(), "shop.Other.Last");
    for none in [&[][..], &[2], &[-1], &[0, 1], &[0, 0, 0]] {
        assert!(matches!(at(none), Err(BadSchema::NoMessage(_))), "{none:?}");
    }
    assert_eq!(by("shop.Other").unwrap(), "shop.Other");
    assert_eq!(by("Other.Inner").unwrap(), "shop.Other.Inner");
    assert!(by("Other.MEntry").is_err() && by("Nothing").is_err());
}

#[test]
fn message_indexes_are_read_off_a_value() {
    let read = |bytes| parse_message_indexes(bytes).ok();
    assert_eq!(read(&[0, 9]), Some((vec![0], &[9][..])));
    assert_eq!(read(&[2, 2, 7]), Some((vec![1], &[7][..])));
    assert_eq!(read(&[4, 2, 0]), Some((vec![1, 0], &[][..])));
    assert_eq!(read(&[2, 0x80, 2, 5]), Some((vec![128], &[5][..])));
    for bad in [
        &[][..],
        &[2],
        &[1],
        &[3, 0],
        &[2, 1],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}

#[test]
fn schemas_that_cannot_be_tables_say_why() {
    let wide = |levels: usize| {
        let mut text = "syntax = \"proto3\"; message M0 { int32 x = 1; }".to_owned();
        for level in 1..=levels {
            let fields = (1..=10).map(|i| format!("M{} f{i} = {i};", level - 1));
            let fields: String = fields.collect();
            write!(text, "message M{level} {{ {fields} }}").unwrap();
        }
        (text, MessageChoice::Name(format!("M{levels}")))
    };
    let (text, choice) = wide(3);
    assert!(Writer::parse(&text, &[], &choice).is_ok());
    for levels in [6, 15, 40] {
        let (text, choice) = wide(levels);
        let error = Writer::parse(&text, &[], &choice).unwrap_err().to_string();
        assert!(
            error.contains("more than 10000 fields") || error.contains("deeper"),
            "{error}"
        );
    }
    let recursive = "syntax = \"proto3\"; message Node { string v = 1; Kids kids = 2; }
        message Kids { repeated Node all = 1; }";
    let error = Writer::parse(recursive, &[], &MessageChoice::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message Node, field kids.all: Node contains itself, and a table has no recursive types"
    );
}

#[test]
fn texts_that_are_no_schemas_say_where() {
    let error = |text: &str| Source::parse(text, &[]).unwrap_err().to_string();
    assert!(
        error("message A {\n  int32 x = ;\n}").contains("2:"),
        "{}",
        error("message A {\n  int32 x = ;\n}")
    );
    assert!(error("message A { optional Missing x = 1; }").contains("Missing"));
    assert!(error("import \"other.proto\"; message A {}").contains("other.proto"));
    assert!(error(&"x".repeat((512 << 10) + 1)).contains("more than 524288"));
    for (open, close) in [
        ("{", "}"),
        ("[", "]"),
        ("<", ">"),
        ("message A{/*}*/", ""),
        ("message A{'}'", ""),
    ] {
        let text = format!("option a = {}{}", open.repeat(5000), close.repeat(5000));
        assert!(error(&text).contains("deeper than 64"), "{open}");
    }
    let twice = [
        ("a.proto".to_owned(), String::new()),
        ("a.proto".to_owned(), String::new()),
    ];
    assert_eq!(
        Source::parse("", &twice).unwrap_err(),
        BadSchema::ReferenceTwice("a.proto".to_owned())
    );
}

#[test]
fn imports_are_references_by_name() {
    let text =
        "syntax = \"proto3\"; import \"a/money.proto\"; message Order { a.Money price = 1; }";
    let money = "syntax = \"proto3\"; package a; import \"b.proto\"; message Money { B b = 1; }";
    let b = "syntax = \"proto3\"; package a; message B { int64 units = 1; }";
    let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let references = [named("a/money.proto", money), named("b.proto", b)];
    let order = Writer::parse(text, &references, &MessageChoice::default()).unwrap();
    assert_eq!(kind_text(&order.draft().fields[0].kind), "(b:(units:long))");
    // As a client registers a file it has only as a descriptor.
    let descriptor = canonical(b, &[]).unwrap();
    let mixed = [named("a/money.proto", money), named("b.proto", &descriptor)];
    let again = Writer::parse(text, &mixed, &MessageChoice::default()).unwrap();
    assert_eq!(again.draft(), order.draft());
    assert!(Source::parse(text, &references[..1]).is_err());
    let circle = [
        named("a/money.proto", "import \"b.proto\";"),
        named("b.proto", "import \"a/money.proto\";"),
    ];
    assert!(
        Source::parse(text, &circle)
            .unwrap_err()
            .to_string()
            .contains("cycle")
    );
}

#[test]
fn what_confluents_clients_import_is_there() {
    let text = "syntax = \"proto3\"; import \"confluent/meta.proto\"; import \"confluent/type/decimal.proto\";
        message A { string x = 1 [(confluent.field_meta).tags = \"PII\"]; confluent.type.Decimal d = 2; }";
    assert_eq!(
        kind_text(&writer(text).draft().fields[1].kind),
        "(value:binary precision:long scale:int)"
    );
}

#[test]
fn one_schema_has_one_canonical_text() {
    let text =
        "syntax = \"proto3\"; // words\nmessage A { int32 order_id = 1; optional string b = 2; }";
    let same = "syntax=\"proto3\";\n\n/* other */ message A {int32 order_id=1 [json_name=\"orderId\"];\n optional string b = 2;}";
    let form = canonical(text, &[]).unwrap();
    assert_eq!(canonical(same, &[]).unwrap(), form);
    assert_eq!(canonical(&form, &[]).unwrap(), form);
    for other in [
        "syntax = \"proto3\"; message A { int32 order_id = 1; string b = 2; }",
        "syntax = \"proto3\"; message A { int32 order_id = 1 [json_name = \"o\"]; optional string b = 2; }",
        "syntax = \"proto3\"; message A { optional string b = 2; int32 order_id = 1; }",
    ] {
        assert_ne!(canonical(other, &[]).unwrap(), form, "{other}");
    }
    let explicit = canonical(
        "syntax = \"proto2\"; message A { optional int32 b = 1; }",
        &[],
    );
    let implicit = canonical("message A { optional int32 b = 1; }", &[]);
    assert_eq!(explicit, implicit);
}

#[test]
fn options_of_extensions_count() {
    let with = |tag: &str| {
        let text = format!(
            "syntax = \"proto3\"; import \"google/protobuf/descriptor.proto\";
             extend google.protobuf.FieldOptions {{ string tag = 1088; }}
             message A {{ int32 x = 1 [(tag) = \"{tag}\"]; }}"
        );
        canonical(&text, &[]).unwrap()
    };
    assert_ne!(with("PII"), with("PUBLIC"));
    assert_eq!(canonical(&with("PII"), &[]).unwrap(), with("PII"));
}

/// The Python client registers the descriptor that protoc made: with a file's name, without JSON
/// names and without `proto2` spelled out. The fixtures are protoc's.
#[test]
fn a_descriptor_in_base64_is_its_text() {
    for (text, registered) in [
        (
            include_str!("tests/fixtures/two.proto"),
            include_str!("tests/fixtures/two.b64"),
        ),
        (
            include_str!("tests/fixtures/three.proto"),
            include_str!("tests/fixtures/three.b64"),
        ),
    ] {
        assert_eq!(
            canonical(registered, &[]).unwrap(),
            canonical(text, &[]).unwrap()
        );
        assert_eq!(writer(registered).draft(), writer(text).draft());
    }
}

#[test]
fn the_last_occurrence_counts() {
    let plan = plan("syntax = \"proto3\"; message A { int32 a = 1; string b = 2; oneof c { int32 d = 3; B e = 4; } }
        message B { int32 x = 1; int32 y = 2; repeated int32 z = 3; }");
    let row = |parts: &[Vec<u8>]| decode(&plan, &parts.concat()).unwrap();
    assert_eq!(
        row(&[small(1, 1), sub(2, b"x"), small(1, 2), sub(2, b"")]),
        "a=2 b=\"\" d=null e=null"
    );
    assert_eq!(
        row(&[small(3, 1), sub(4, &small(1, 7))]),
        "a=0 b=\"\" d=null e=(x=7 y=0 z=[])"
    );
    assert_eq!(
        row(&[sub(4, &small(1, 7)), small(3, 1)]),
        "a=0 b=\"\" d=1 e=null"
    );
    let parts = [
        sub(4, &small(3, 1)),
        sub(4, &small(1, 7)),
        small(9, 0),
        sub(4, &sub(3, &[2, 3])),
    ];
    assert_eq!(row(&parts), "a=0 b=\"\" d=null e=(x=7 y=0 z=[1, 2, 3])");
    let cleared = [sub(4, &small(1, 7)), small(3, 1), sub(4, &small(2, 8))];
    assert_eq!(row(&cleared), "a=0 b=\"\" d=null e=(x=0 y=8 z=[])");
}

#[test]
fn a_member_the_table_lacks_takes_back_the_others() {
    let writer = writer("syntax = \"proto3\"; message A { oneof c { int32 d = 1; int32 e = 2; } }");
    let table = table(r#"{"fields":[{"name":"d","type":"int"}]}"#);
    let plan = Plan::compile(&writer, &table).unwrap();
    assert_eq!(
        decode(&plan, &[small(1, 5), small(2, 6)].concat()).unwrap(),
        "d=null"
    );
}

#[test]
fn proto2_has_groups_defaults_and_required_fields() {
    let plan = plan(
        "message A { required int32 a = 1; optional sint32 b = 2 [default = -3]; optional int32 c = 3;
         repeated group Line = 4 { optional string name = 1; } optional State d = 5 [default = ON];
         optional group Tail = 6 { optional int32 x = 1; } optional string e = 7 [default = \"yes\"]; }
         enum State { OFF = 0; ON = 1; ALSO_ON = 1; option allow_alias = true; }",
    );
    let group =
        |number: u8, fields: &[u8]| [&[number << 3 | 3], fields, &[number << 3 | 4]].concat();
    let value = [
        small(1, 1),
        group(4, &sub(1, b"x")),
        group(
            6,
            &[small(1, 1), group(9, &small(1, 1)), small(1, 2)].concat(),
        ),
        group(4, &[]),
    ];
    assert_eq!(
        decode(&plan, &value.concat()).unwrap(),
        "a=1 b=-3 c=null line=[(name=\"x\"), (name=null)] d=\"ON\" tail=(x=2) e=\"yes\""
    );
    let missing = decode(&plan, &small(2, 0)).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "field a: no value, and null is not allowed"
    );
    // Numbers that the enum does not have keep their digits.
    assert!(
        decode(&plan, &[small(1, 1), small(5, 9)].concat())
            .unwrap()
            .contains("d=\"9\"")
    );
}

#[test]
fn well_known_types() {
    let plan = plan(
        "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\";
         import \"google/protobuf/struct.proto\"; import \"google/protobuf/empty.proto\";
         message A { google.protobuf.Timestamp t = 1; google.protobuf.Int32Value w = 2;
                     google.protobuf.Struct s = 3; google.protobuf.Empty e = 4; }",
    );
    let row = |parts: &[Vec<u8>]| decode(&plan, &parts.concat());
    // 1 s and 999,999,999 ns: cut to microseconds.
    let moment = [
        small(1, 1),
        [&[2 << 3][..], &[0xff, 0x93, 0xeb, 0xdc, 0x03]].concat(),
    ]
    .concat();
    assert_eq!(
        row(&[sub(1, &moment), sub(4, &[])]).unwrap(),
        "t=1999999 w=null s=null e=true"
    );
    // One second before 1970 and 1,500 ns after it.
    let before = [
        [&[1 << 3][..], &[0xff; 9], &[1]].concat(),
        [&[2 << 3][..], &[0xdc, 0x0b]].concat(),
    ];
    assert_eq!(
        row(&[sub(1, &before.concat())]).unwrap(),
        "t=-999999 w=null s=null e=null"
    );
    let late = [&[2 << 3][..], &[0x80, 0x94, 0xeb, 0xdc, 0x03]].concat();
    let error = row(&[sub(1, &late)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field t: not exactly a value of a Timestamp"
    );
    let error = row(&[sub(1, &sub(1, &[]))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field t: a length-delimited value, not varint"
    );
    assert_eq!(row(&[sub(2, &[])]).unwrap(), "t=null w=0 s=null e=null");
    assert_eq!(
        row(&[sub(2, &small(1, 7))]).unwrap(),
        "t=null w=7 s=null e=null"
    );

    let member = |name: &[u8], value: &[u8]| sub(1, &[sub(1, name), sub(2, value)].concat());
    let number = |number: f64| [&[2 << 3 | 1][..], &number.to_le_bytes()].concat();
    let list = sub(
        6,
        &[sub(1, &number(1.5)), sub(1, &small(1, 0)), sub(1, &[])].concat(),
    );
    let object = [
        member(b"z", &number(3.0)),
        member(b"a\"", &sub(3, "é\n".as_bytes())),
        member(b"z", &list),
        member(b"m", &sub(5, &member(b"x", &small(4, 1)))),
    ];
    assert_eq!(
        row(&[sub(3, &object.concat())]).unwrap(),
        r#"t=null w=null s="{\"a\\\"\":\"é\\n\",\"m\":{\"x\":true},\"z\":[1.5,null,null]}" e=null"#
    );
    assert!(row(&[sub(3, &member(b"n", &number(f64::NAN)))]).is_err());
    assert!(row(&[sub(3, &member(b"\xff", &number(1.0)))]).is_err());
}

#[test]
fn wider_columns_take_narrower_fields() {
    let writer = writer("syntax = \"proto3\"; message A { int32 a = 1; int32 b = 2; float c = 3; uint64 d = 4; sint64 e = 5; repeated B f = 6; int32 gone = 7; }
        message B { int32 x = 1; }");
    let table = table(
        r#"{"fields":[{"name":"a","type":"long"},{"name":"b","type":"double"},{"name":"c","type":"double"},
        {"name":"d","type":"decimal(22,2)"},{"name":"e","type":"decimal(38,0)"},
        {"name":"f","type":{"list":{"struct":[{"name":"new","type":"int"},{"name":"x","type":"long"}]}}},
        {"name":"added","type":{"struct":[{"name":"y","type":"int"}]}}]}"#,
    );
    let plan = Plan::compile(&writer, &table).unwrap();
    let value = [
        small(1, 1),
        small(2, 2),
        vec![3 << 3 | 5, 0, 0, 0xc0, 0x3f],
        small(4, 4),
        small(5, 5),
        sub(6, &small(1, 6)),
        small(7, 7),
    ];
    assert_eq!(
        decode(&plan, &value.concat()).unwrap(),
        "a=1 b=2.0 c=1.5 d=400 e=-3 f=[(new=null x=6)] added=null"
    );
}

#[test]
fn columns_that_do_not_fit_say_which() {
    let writer = writer("syntax = \"proto3\"; message A { int64 a = 1; repeated B b = 2; map<string, int32> m = 3; string s = 4; }
        message B { int64 x = 1; }");
    let error = |text: &str| {
        Plan::compile(&writer, &table(text))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(r#"{"fields":[{"name":"a","type":"int"}]}"#),
        "column a: the writer's int64 is not always a value of int"
    );
    assert_eq!(
        error(
            r#"{"fields":[{"name":"b","type":{"list":{"struct":[{"name":"x","type":"int"}]}}}]}"#
        ),
        "column b.[].x: the writer's int64 is not always a value of int"
    );
    assert_eq!(
        error(r#"{"fields":[{"name":"new","type":"int","nullable":false}]}"#),
        "column new: allows no null, and the writer has no such field"
    );
    for other in [
        r#"{"fields":[{"name":"a","type":"double"}]}"#,
        r#"{"fields":[{"name":"a","type":{"list":"long"}}]}"#,
        r#"{"fields":[{"name":"b","type":{"struct":[{"name":"x","type":"long"}]}}]}"#,
        r#"{"fields":[{"name":"m","type":{"map":"int","keys":"long"}}]}"#,
        r#"{"fields":[{"name":"s","type":"binary"}]}"#,
    ] {
        error(other);
    }
}

#[test]
fn records_that_are_no_rows_say_why() {
    let plan = plan("syntax = \"proto3\"; message A { int32 a = 1; B b = 2; map<string, int32> m = 3; repeated B l = 4; }
        message B { string x = 1; }");
    let error = |parts: &[Vec<u8>]| decode(&plan, &parts.concat()).unwrap_err().to_string();
    assert_eq!(
        error(&[vec![8]]),
        "not Protobuf: the bytes end inside a field"
    );
    assert_eq!(error(&[vec![0, 1]]), "not Protobuf: no such field number");
    assert_eq!(error(&[vec![8 + 6, 1]]), "not Protobuf: no such wire type");
    assert_eq!(
        error(&[vec![9 << 3 | 4]]),
        "not Protobuf: a group ends that did not begin"
    );
    assert_eq!(
        error(&[vec![8; 1], vec![0xff; 11]]),
        "not Protobuf: a varint of more than ten bytes"
    );
    assert_eq!(
        error(&[vec![9 << 3 | 3; 100]]),
        "not Protobuf: groups nested too deep"
    );
    assert_eq!(
        error(&[sub(1, b"x")]),
        "field a: a length-delimited value, not int32"
    );
    assert_eq!(error(&[small(2, 1)]), "field b: a varint, not message");
    assert_eq!(
        error(&[sub(2, &sub(1, b"\xff"))]),
        "field b.x: not exactly a value of string"
    );
    assert_eq!(
        error(&[sub(4, &[]), sub(4, &small(1, 1))]),
        "field l[].x: a varint, not string"
    );
    assert_eq!(
        error(&[sub(2, &[10, 9])]),
        "field b: the bytes end inside a field"
    );
    let entry = sub(3, &sub(1, b"k"));
    assert_eq!(error(&[entry.clone(), entry]), "field m: given twice");
}

#[test]
fn a_failed_row_leaves_nothing_behind() {
    let plan = plan(
        "syntax = \"proto3\"; message A { int32 a = 1; repeated B l = 4; map<string, B> m = 5; }
        message B { string x = 1; repeated int32 y = 2; }",
    );
    let good = [small(1, 1), sub(4, &sub(2, &[1, 2])), sub(5, &sub(1, b"k"))].concat();
    let bad = [
        small(1, 2),
        sub(4, &sub(2, &[7])),
        sub(5, &sub(1, b"q")),
        vec![8],
    ]
    .concat();
    let (rows, undecodable) = plan.columns([&good[..], &bad, &good, &bad]).unwrap();
    assert_eq!(rows.num_rows(), 2);
    assert_eq!(
        row_text(&rows, 1),
        "a=1 l=[(x=\"\" y=[1, 2])] m={\"k\":(x=\"\" y=[])}"
    );
    assert_eq!(
        undecodable
            .iter()
            .map(|(place, _)| *place)
            .collect::<Vec<_>>(),
        [1, 3]
    );
}

/// Two bytes on the wire are a struct of a thousand columns each.
#[test]
fn a_row_does_not_grow_far_beyond_its_value() {
    let fields: String = (1..=1000).map(|i| format!("int64 f{i} = {i};")).collect();
    let plan = plan(&format!(
        "syntax = \"proto3\"; message A {{ repeated B l = 1; }} message B {{ {fields} }}"
    ));
    assert!(decode(&plan, &sub(1, &[]).repeat(100)).is_ok());
    let reason = decode(&plan, &sub(1, &[]).repeat(50_000)).unwrap_err();
    let expected = Reason::Field {
        path: "l[]".to_owned(),
        fault: Fault::Expands,
    };
    assert_eq!(reason, expected);
}
