//! One text for one schema, and the resolution rules by a table.

use super::*;

fn source(text: &str) -> Source<'_> {
    Source {
        text,
        references: &[],
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn texts_of_one_schema_have_one_canonical_form() {
    for (text, expected) in [
        (r#" { "type" : "int" } "#, r#""int""#),
        (
            r#"{"type":"int","doc":"dropped","x":{"b":1.0,"a":[null]}}"#,
            r#"{"type":"int","x":{"b":1.0,"a":[null]}}"#,
        ),
        (
            r#"{"fields":[{"order":"ascending","default":7,"type":{"type":"int"},"doc":"d","name":"a","aliases":["z","y"],"p":true}],
                "doc":"","aliases":["Old","other.Old"],"namespace":"n.s","name":"R","type":"record"}"#,
            r#"{"type":"record","name":"R","namespace":"n.s","doc":"","fields":[{"name":"a","type":"int","doc":"d","default":7,"aliases":["z","y"],"p":true}],"aliases":["Old","other.Old"]}"#,
        ),
        (
            r#"{"type":"record","name":"a.R","fields":[
                {"name":"f","type":{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":4}},
                {"name":"g","type":["null","a.F"],"order":"ignore"},
                {"name":"e","type":{"type":"enum","name":"E","namespace":"","symbols":["X"],"default":"X"}},
                {"name":"h","type":{"type":"map","values":"E"}}]}"#,
            r#"{"type":"record","name":"R","namespace":"a","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":4}},{"name":"g","type":["null","F"],"order":"ignore"},{"name":"e","type":{"type":"enum","name":"E","namespace":"","symbols":["X"],"default":"X"}},{"name":"h","type":{"type":"map","values":"E"}}]}"#,
        ),
        (
            &record(r#"{"name":"next","type":["null","R"],"default":null}"#),
            r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"],"default":null}]}"#,
        ),
    ] {
        let once = canonical(&source(text)).unwrap();
        assert_eq!(once, expected);
        assert_eq!(
            canonical(&source(&once)).unwrap(),
            once,
            "it is its own form"
        );
    }
}

#[test]
fn normalized_forms_do_not_know_the_order_of_properties() {
    let field = |properties: &str| {
        record(&format!(
            r#"{{"name":"a","type":{{"type":"bytes",{properties}}}}}"#
        ))
    };
    let some = field(r#""z":{"b":1,"a":2},"precision":4,"logicalType":"decimal","a":1"#);
    let other = field(r#""a":1,"logicalType":"decimal","z":{"a":2,"b":1},"precision":4"#);
    assert_ne!(canonical(&source(&some)), canonical(&source(&other)));
    let normal = normalized(&source(&some)).unwrap();
    assert_eq!(normal, normalized(&source(&other)).unwrap());
    let expected = field(r#""logicalType":"decimal","precision":4,"a":1,"z":{"a":2,"b":1}"#);
    assert_eq!(normal, expected);
}

#[test]
fn types_of_references_stay_names() {
    let references = [(
        "x.Money".to_owned(),
        r#"{"type":"record","name":"x.Money","fields":[{"name":"of","type":{"type":"enum","name":"Unit","symbols":["EUR"]}}]}"#.to_owned(),
    )];
    let text = r#"{"type":"record","name":"x.Order","fields":[{"name":"sum","type":"Money"},{"name":"unit","type":"x.Unit"}]}"#;
    let with = Source {
        text,
        references: &references,
    };
    let expected = r#"{"type":"record","name":"Order","namespace":"x","fields":[{"name":"sum","type":"Money"},{"name":"unit","type":"Unit"}]}"#;
    assert_eq!(canonical(&with).unwrap(), expected);
    assert!(canonical(&source(text)).is_err());
}

#[test]
fn defaults_must_be_values() {
    let fits = |of: &str, default: &str| {
        let text = record(&format!(
            r#"{{"name":"a","type":{of},"default":{default}}}"#
        ));
        canonical(&source(&text)).is_ok()
    };
    let inner = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}"#;
    for (of, default) in [
        (r#""int""#, "2147483647"),
        (r#""double""#, "1"),
        (r#""bytes""#, r#""\u00ff""#),
        (r#"["null","int"]"#, "7"),
        (r#"{"type":"map","values":"long"}"#, r#"{"k":1}"#),
        (inner, r#"{"x":1}"#),
    ] {
        assert!(fits(of, default), "{of} {default}");
    }
    for (of, default) in [
        (r#""int""#, "2147483648"),
        (r#""long""#, "1.5"),
        (r#""string""#, "null"),
        (r#""bytes""#, r#""\u0100""#),
        (r#"["null","int"]"#, r#""x""#),
        (r#"{"type":"array","items":"long"}"#, r#"["x"]"#),
        (inner, r#"{"y":1}"#),
    ] {
        assert!(!fits(of, default), "{of} {default}");
    }
    let text = record(r#"{"name":"a","type":"int","default":"x"}"#);
    let error = canonical(&source(&text)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"R.a: the default "x" is no value of its type"#
    );
}

/// Java's names of what is wrong, each with its place.
fn kinds(reader: &str, writer: &str) -> Vec<String> {
    let reasons = backward(&source(reader), &source(writer)).unwrap();
    let kind = |reason: &String| reason.split('\'').nth(1).unwrap().to_owned();
    let place = |reason: &String| {
        let rest = reason.split_once("(at ").unwrap().1;
        rest.split_once(')').unwrap().0.to_owned()
    };
    let both = |reason: &String| format!("{} {}", kind(reason), place(reason));
    reasons.iter().map(both).collect()
}

#[test]
fn plain_types_read_what_widens_to_them() {
    let plain = [
        "null", "boolean", "int", "long", "float", "double", "bytes", "string",
    ];
    let reads = |reader: &str| match reader {
        "long" => &["int", "long"][..],
        "float" => &["int", "long", "float"],
        "double" => &["int", "long", "float", "double"],
        "bytes" | "string" => &["bytes", "string"],
        _ => &[],
    };
    for reader in plain {
        for writer in plain {
            let expected = reader == writer || reads(reader).contains(&writer);
            let found = kinds(&format!("{reader:?}"), &format!("{writer:?}"));
            let wrong = ["TYPE_MISMATCH /"];
            assert_eq!(
                found,
                if expected { &[][..] } else { &wrong },
                "{reader} {writer}"
            );
        }
    }
}

#[test]
fn what_a_reader_cannot_do_is_named_with_its_place() {
    let a = |of: &str| record(&format!(r#"{{"name":"a","type":{of}}}"#));
    let symbols = |symbols: &str| {
        a(&format!(
            r#"{{"type":"enum","name":"E","symbols":{symbols}}}"#
        ))
    };
    let fixed = |size: u32| a(&format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#));
    let b = r#"{"name":"b","type":"int"}"#;
    let list = |of: &str| a(&format!(r#"{{"type":"array","items":{of}}}"#));
    for (reader, writer, expected) in [
        (
            a(r#""int""#),
            record(""),
            &["READER_FIELD_MISSING_DEFAULT_VALUE /fields/0"][..],
        ),
        (record(""), a(r#""int""#), &[]),
        (
            record(r#"{"name":"a","type":"int","default":0}"#),
            record(""),
            &[],
        ),
        (
            record(r#"{"name":"a","type":"int","aliases":["b"]}"#),
            record(b),
            &[],
        ),
        (
            record(r#"{"name":"a","type":["null","int"],"default":null}"#),
            record(""),
            &[],
        ),
        (
            a(r#""int""#),
            a(r#""long""#),
            &["TYPE_MISMATCH /fields/0/type"],
        ),
        (
            a(r#""int""#),
            a(r#"["int","string"]"#),
            &["TYPE_MISMATCH /fields/0/type/1"],
        ),
        (
            a(r#"["null","int"]"#),
            a(r#""string""#),
            &["MISSING_UNION_BRANCH /fields/0/type"],
        ),
        (
            a(r#"["null","int"]"#),
            a(r#"["string","null"]"#),
            &["MISSING_UNION_BRANCH /fields/0/type/0"],
        ),
        (a(r#"["null","long"]"#), a(r#"["int","null"]"#), &[]),
        (
            symbols(r#"["A"]"#),
            symbols(r#"["A","C","B"]"#),
            &["MISSING_ENUM_SYMBOLS /fields/0/type/symbols"],
        ),
        (
            symbols(r#"["A"],"default":"A""#),
            symbols(r#"["A","B"]"#),
            &[],
        ),
        (
            fixed(1),
            fixed(2),
            &["FIXED_SIZE_MISMATCH /fields/0/type/size"],
        ),
        (
            list(r#""int""#),
            list(r#""string""#),
            &["TYPE_MISMATCH /fields/0/type/items"],
        ),
        (
            record(b).replace(r#""R""#, r#""S""#),
            record(b),
            &["NAME_MISMATCH /name"],
        ),
        (
            record(b).replace(r#""R""#, r#""S","aliases":["R"]"#),
            record(b),
            &[],
        ),
    ] {
        assert_eq!(kinds(&reader, &writer), expected, "{reader} {writer}");
    }
}

#[test]
fn a_reason_reads_as_clients_know_it() {
    let reader = record(r#"{"name":"a","type":"int"}"#);
    let reasons = backward(&source(&reader), &source(&record(""))).unwrap();
    assert_eq!(
        reasons,
        ["{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', \
          description:'the writer has no such field, and the reader no default for it (at /fields/0)', \
          additionalInfo:'a'}"]
    );
}

#[test]
fn types_that_contain_themselves_are_compared_once() {
    let list = |of: &str| {
        record(&format!(
            r#"{{"name":"of","type":{of}}},{{"name":"next","type":["null","R"]}}"#
        ))
    };
    assert_eq!(kinds(&list(r#""long""#), &list(r#""int""#)), [""; 0]);
    let wrong = kinds(&list(r#""int""#), &list(r#""long""#));
    assert_eq!(wrong, ["TYPE_MISMATCH /fields/0/type"]);
}

#[test]
fn schemas_too_large_to_compare_say_so() {
    // A union of types, each of which holds the next: far deeper than its text.
    let types: Vec<_> = (0..2_000)
        .rev()
        .map(|i| match i {
            1_999 => r#"{"type":"record","name":"T1999","fields":[]}"#.to_owned(),
            i => format!(
                r#"{{"type":"record","name":"T{i}","fields":[{{"name":"a","type":"T{}"}}]}}"#,
                i + 1
            ),
        })
        .collect();
    let chain = format!("[{}]", types.join(","));
    let last = format!(
        r#"{{"type":"record","name":"X","fields":[{{"name":"u","type":{chain}}},{{"name":"t","type":"T0"}}]}}"#
    );
    let first = last.replace(r#"{"name":"u","type":["#, r#"{"name":"z","type":["null","#);
    let first = first.replace(r#""name":"X""#, r#""name":"X","doc":"reader""#);
    let result = backward(&source(&first), &source(&last));
    assert!(result.is_err(), "{result:?}");
}
