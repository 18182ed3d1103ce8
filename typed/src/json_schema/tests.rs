//! Columns of schemas, compatibility rule by rule, and hostile text.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;
use crate::column::Group;
use crate::infer;
use crate::json::tests::rows;
use crate::row_schema::Growth;
use crate::schema::{Field, Kind};

fn source(text: &str) -> Source<'_> {
    Source {
        text,
        references: &[],
    }
}

/// `name type` of the columns, `!` behind those that may not be null.
fn shown(fields: &[Field]) -> String {
    fn kind(of: &Kind) -> String {
        match of {
            Kind::List(element) => format!("[{}]", kind(&element.kind)),
            Kind::Map { value, .. } => format!("map {}", kind(&value.kind)),
            Kind::Struct(members) => format!("{{{}}}", shown(members)),
            plain => plain.name(),
        }
    }
    let column = |field: &Field| {
        let mark = if field.nullable { "" } else { "!" };
        format!("{} {}{mark}", field.name, kind(&field.kind))
    };
    fields.iter().map(column).collect::<Vec<_>>().join(", ")
}

#[test]
fn schemas_become_columns() {
    for (member, expected) in [
        (r#"{"type":"integer"}"#, "a long!"),
        (r#"{"type":"number","minimum":0}"#, "a double!"),
        (r#"{"type":"boolean"}"#, "a bool!"),
        (r#"{"type":"string","format":"date"}"#, "a date!"),
        (
            r#"{"type":"string","format":"date-time"}"#,
            "a timestamp(us)!",
        ),
        (r#"{"type":"string","format":"uuid"}"#, "a string!"),
        (
            r#"{"type":"string","contentEncoding":"base64"}"#,
            "a binary!",
        ),
        (r#"{"minLength":1}"#, "a string!"),
        (r#"{"type":["string","null"]}"#, "a string"),
        (r#"{"type":"string","nullable":true}"#, "a string"),
        (
            r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#,
            "a long",
        ),
        (r#"{"enum":["x","y",null]}"#, "a string"),
        (r#"{"const":5}"#, "a long!"),
        (r#"{"type":"string","enum":["x"]}"#, "a string!"),
        (r#"{"type":["integer","number"]}"#, "a double!"),
        (
            r#"{"type":["integer","string"]}"#,
            "a long, a__string string",
        ),
        (
            r#"{"anyOf":[{"type":"string"},{"type":"object"}]}"#,
            "a string, a__json string",
        ),
        (
            r#"{"type":"array","items":{"type":"integer"}}"#,
            "a [long]!",
        ),
        (
            r#"{"type":"array","items":[{"type":"integer"}]}"#,
            "a__json string",
        ),
        (r#"{"type":"array"}"#, "a__json string"),
        (
            r#"{"type":"array","items":{"type":["integer","string"]}}"#,
            "a__json string",
        ),
        (
            r#"{"type":"object","properties":{"b":{"type":"string"}},"required":["b"]}"#,
            "a {b string!}!",
        ),
        (
            r#"{"type":"object","additionalProperties":{"type":"integer"}}"#,
            "a map long!",
        ),
        (
            r#"{"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false}"#,
            "a map long!",
        ),
        (r#"{"type":"object"}"#, "a__json string"),
        (r#"true"#, "a__json string"),
        (
            r#"{"allOf":[{"properties":{"b":{"type":"integer"}}},{"properties":{"c":{"type":"string"}}}]}"#,
            "a {b long, c string}!",
        ),
        (
            r#"{"type":"object","properties":{"b":{"type":"integer"}},"if":{},"then":{},"not":{"type":"null"}}"#,
            "a {b long}!",
        ),
        (r##"{"$ref":"#/definitions/d"}"##, "a timestamp(us)!"),
        (
            r##"{"$ref":"#tree"}"##,
            "a {value long, more__json string}!",
        ),
    ] {
        let text = format!(
            r##"{{"type":"object","required":["a"],"properties":{{"a":{member}}},
            "definitions":{{
                "d":{{"type":"string","format":"date-time"}},
                "t":{{"$anchor":"tree","type":"object","properties":{{
                    "value":{{"type":"integer"}},
                    "more":{{"type":"array","items":{{"$ref":"#tree"}}}}}}}}}}}}"##
        );
        let writer = Writer::parse(&source(&text)).unwrap();
        let draft = writer.draft();
        assert_eq!(shown(&draft.fields), expected, "{member}");
        assert_eq!(writer.has_siblings(), expected.contains("__"), "{member}");
        assert!(draft.allocate().is_ok());
    }
}

#[test]
fn what_is_kept_as_text_is_told() {
    let text = r#"{"properties":{"z":{"type":"integer"},"a":{"properties":{
        "b":{"type":"array","items":{"properties":{"c":{}}}},"d":{"type":"object"}}}}}"#;
    let writer = Writer::parse(&source(text)).unwrap();
    let expected = "z long, a {b [{c__json string}], d__json string}";
    assert_eq!(shown(&writer.draft().fields), expected);
    let told = writer.as_text().iter();
    let told: Vec<_> = told
        .map(|one| format!("{}: {}", one.path, one.why))
        .collect();
    assert_eq!(
        told,
        ["a.b[].c: anything is allowed", "a.d: members are not named"]
    );
}

#[test]
fn values_of_several_types_are_decoded_into_their_columns() {
    let text =
        r#"{"properties":{"a":{"type":["integer","string"]},"b":true,"c":{"type":"object"}}}"#;
    let schema = Writer::parse(&source(text))
        .unwrap()
        .draft()
        .allocate()
        .unwrap();
    let mut columns = Group::new(schema.fields());
    let texts = [
        r#"{"a":1,"b":[true],"c":{"x":1},"other":1}"#,
        r#"{"a":"x","b":7,"c":null}"#,
        r#"{"b":"y"}"#,
    ];
    for (row, text) in texts.iter().enumerate() {
        infer::append(&mut columns, row, text.as_bytes(), Growth::Over).unwrap();
    }
    let expected = [
        r#"{"a":1,"a__string":null,"b__json":"[true]","c__json":"{\"x\":1}"}"#,
        r#"{"a":null,"a__string":"x","b__json":"7","c__json":null}"#,
        r#"{"a":null,"a__string":null,"b__json":"\"y\"","c__json":null}"#,
    ];
    let rows: Vec<_> = rows(&mut columns, &schema)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(rows, expected);
    let refused = infer::append(&mut columns, 0, br#"{"a":true}"#, Growth::Over).unwrap_err();
    assert_eq!(refused.to_string(), "field a: a JSON boolean, not long");
}

#[test]
fn references_lead_to_other_schemas() {
    let references = [
        ("money.json".to_owned(), r#"{"$id":"http://x/money","type":"number"}"#.to_owned()),
        (
            "place".to_owned(),
            r##"{"definitions":{"city":{"type":"string"}},"properties":{"c":{"$ref":"#/definitions/city"}}}"##
                .to_owned(),
        ),
    ];
    let text = r#"{"properties":{"m":{"$ref":"money.json"},"n":{"$ref":"http://x/money"},
        "o":{"$ref":"money"},"p":{"$ref":"place"},"q":{"$ref":"place#/definitions/city"}}}"#;
    let source = Source {
        text,
        references: &references,
    };
    let writer = Writer::parse(&source).unwrap();
    let expected = "m double, n double, o double, p {c string}, q string";
    assert_eq!(shown(&writer.draft().fields), expected);
}

#[test]
fn bad_schemas_are_refused_with_their_place() {
    for (text, expected) in [
        (
            "{",
            "not JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("7", "#: a schema is an object or a boolean"),
        (
            r#"{"type":"string"}"#,
            "no columns: values are not objects, or not all",
        ),
        (
            r#"{"type":["object","null"]}"#,
            "no columns: members are not named",
        ),
        ("{}", "no columns: anything is allowed"),
        (
            r#"{"properties":{"a/b":{"type":"text"}}}"#,
            "#/properties/a~1b: no type \"text\"",
        ),
        (
            r#"{"properties":{"a":{"$ref":"x"}}}"#,
            "#/properties/a: $ref \"x\" leads nowhere",
        ),
        (
            r##"{"properties":{"a":{"$ref":"#/nothing"}}}"##,
            "#/properties/a: $ref \"#/nothing\" leads nowhere",
        ),
        (
            r#"{"properties":{"a":{"maximum":"x"}}}"#,
            "#/properties/a/maximum: must be a number",
        ),
        (r#"{"allOf":7}"#, "#/allOf: must be an array of schemas"),
    ] {
        let error = Writer::parse(&source(text)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn canonical_texts_are_equal_for_equal_schemas() {
    let one = canonical(&source(r#"{ "type" : "object", "a": [1, 2.50, "ü\n"] }"#)).unwrap();
    let two = canonical(&source(r#"{"a":[1,2.5,"\u00fc\n"],"type":"object"}"#)).unwrap();
    assert_eq!(one, r#"{"a":[1,2.5,"ü\n"],"type":"object"}"#);
    assert_eq!(one, two);
    assert!(canonical(&source(r#"{"type":"text"}"#)).is_err());
}

/// The rules broken when `old` becomes `new`, with their places.
fn broken(old: &str, new: &str) -> Vec<String> {
    let found = backward(&source(new), &source(old)).unwrap();
    let rule = |one: &String| one.split(": ").next().unwrap().replace(" at ", " ");
    found.iter().map(rule).collect()
}

#[test]
fn each_rule_in_both_directions() {
    // What becomes of a property `p`: the rules broken forth, and back.
    for (old, new, forth, back) in [
        (
            r#"{"type":"string"}"#,
            r#"{"type":"integer"}"#,
            "TYPE_CHANGED",
            "TYPE_CHANGED",
        ),
        (
            r#"{"type":"integer"}"#,
            r#"{"type":"number"}"#,
            "",
            "TYPE_NARROWED",
        ),
        (
            r#"{"type":"string"}"#,
            r#"{"type":["string","null"]}"#,
            "",
            "TYPE_CHANGED",
        ),
        (r#"{"type":"string"}"#, r#"{}"#, "", "TYPE_CHANGED"),
        (
            r#"{"type":"string"}"#,
            r#"{"maxLength":5}"#,
            "MAX_LENGTH_ADDED /maxLength",
            "",
        ),
        (
            r#"{"maxLength":5}"#,
            r#"{"maxLength":6}"#,
            "",
            "MAX_LENGTH_DECREASED /maxLength",
        ),
        (
            r#"{"minLength":5}"#,
            r#"{"minLength":6}"#,
            "MIN_LENGTH_INCREASED /minLength",
            "",
        ),
        (
            r#"{"pattern":"a"}"#,
            r#"{"pattern":"b"}"#,
            "PATTERN_CHANGED /pattern",
            "PATTERN_CHANGED /pattern",
        ),
        (
            r#"{"maximum":5}"#,
            r#"{"maximum":6}"#,
            "",
            "MAXIMUM_DECREASED /maximum",
        ),
        (
            r#"{"minimum":5}"#,
            r#"{"exclusiveMinimum":5}"#,
            "EXCLUSIVE_MINIMUM_ADDED /exclusiveMinimum",
            "MINIMUM_ADDED /minimum",
        ),
        (
            r#"{"multipleOf":10}"#,
            r#"{"multipleOf":5}"#,
            "",
            "MULTIPLE_OF_EXPANDED /multipleOf",
        ),
        (
            r#"{"multipleOf":0.5}"#,
            r#"{"multipleOf":0.7}"#,
            "MULTIPLE_OF_CHANGED /multipleOf",
            "MULTIPLE_OF_CHANGED /multipleOf",
        ),
        (
            r#"{"enum":[1]}"#,
            r#"{"enum":[2,1]}"#,
            "",
            "ENUM_ARRAY_NARROWED /enum",
        ),
        (
            r#"{"enum":[1,2]}"#,
            r#"{"enum":[2,3]}"#,
            "ENUM_ARRAY_CHANGED /enum",
            "ENUM_ARRAY_CHANGED /enum",
        ),
        (
            r#"{"type":"array"}"#,
            r#"{"items":{"type":"string"}}"#,
            "SCHEMA_ADDED /items",
            "",
        ),
        (
            r#"{"minItems":1}"#,
            r#"{"maxItems":5}"#,
            "MAX_ITEMS_ADDED /maxItems",
            "MIN_ITEMS_ADDED /minItems",
        ),
        (
            r#"{"uniqueItems":true}"#,
            r#"{"uniqueItems":false}"#,
            "",
            "UNIQUE_ITEMS_ADDED /uniqueItems",
        ),
        (
            r#"{"items":[{"type":"string"}]}"#,
            r#"{"items":[{"type":"string"},{"type":"string"}]}"#,
            "ITEM_ADDED_TO_OPEN_CONTENT_MODEL /items/1",
            "",
        ),
        (
            r#"{"prefixItems":[{"type":"string"}],"items":false}"#,
            r#"{"prefixItems":[{"type":"string"},{"type":"string"}],"items":false}"#,
            "",
            "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL /items/1",
        ),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"oneOf":[{"type":"null"},{"type":"integer"},{"type":"string"}]}"#,
            "",
            "SUM_TYPE_NARROWED ",
        ),
        (
            r#"{"allOf":[{"type":"string"}]}"#,
            r#"{"allOf":[{"type":"string"},{"enum":["x"]}]}"#,
            "PRODUCT_TYPE_EXTENDED ",
            "",
        ),
        (
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"allOf":[{"type":"string"},{"type":"null"}]}"#,
            "COMBINED_TYPE_CHANGED ",
            "",
        ),
        (
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#,
            "COMBINED_TYPE_SUBSCHEMAS_CHANGED ",
            "COMBINED_TYPE_SUBSCHEMAS_CHANGED ",
        ),
        (
            r#"{"not":{"type":"number"}}"#,
            r#"{"not":{"type":"integer"}}"#,
            "",
            "NOT_TYPE_EXTENDED /not",
        ),
    ] {
        let object = |property: &str| format!(r#"{{"properties":{{"p":{property}}}}}"#);
        let full = |rules: &str| match rules.split_once(' ') {
            None if rules.is_empty() => Vec::new(),
            None => vec![format!("{rules} #/properties/p")],
            Some((rule, path)) => vec![format!("{rule} #/properties/p{path}")],
        };
        let (old, new) = (object(old), object(new));
        assert_eq!(broken(&old, &new), full(forth), "{old} to {new}");
        assert_eq!(broken(&new, &old), full(back), "{new} to {old}");
        assert!(broken(&old, &old).is_empty(), "{old}");
    }
}

#[test]
fn content_models_decide_what_may_come_and_go() {
    let object = |names: &str, more: &str| {
        let names = names.split_whitespace();
        let property = |name: &str| format!(r#""{name}":{{"type":"string"}}"#);
        let properties: Vec<_> = names.map(property).collect();
        format!(
            r#"{{"type":"object","properties":{{{}}}{more}}}"#,
            properties.join(",")
        )
    };
    let open = "";
    let closed = r#","additionalProperties":false"#;
    let texts = r#","additionalProperties":{"type":"string"}"#;
    let numbers = r#","additionalProperties":{"type":"number"}"#;
    for (old, new, expected) in [
        (
            object("a", open),
            object("a b", open),
            "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/b",
        ),
        (object("a b", open), object("a", open), ""),
        (object("a", closed), object("a b", closed), ""),
        (
            object("a b", closed),
            object("a", closed),
            "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/b",
        ),
        (object("a", texts), object("a b", texts), ""),
        (object("a b", texts), object("a", texts), ""),
        (
            object("a b", numbers),
            object("a", numbers),
            "TYPE_CHANGED #/properties/b, PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/b",
        ),
        (
            object(
                "a",
                r#","patternProperties":{"^b":{"type":"string"}},"additionalProperties":false"#,
            ),
            object("a b", closed),
            "",
        ),
        (object("a", closed), object("a", open), ""),
        (
            object("a", open),
            object("a", closed),
            "ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties",
        ),
        (
            object("a", open),
            object("a", texts),
            "ADDITIONAL_PROPERTIES_NARROWED #/additionalProperties",
        ),
        (
            object("a", closed),
            object("a b", r#","additionalProperties":false,"required":["b"]"#),
            "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/b",
        ),
        (
            object("a", open),
            object("a", r#","required":["a"]"#),
            "REQUIRED_ATTRIBUTE_ADDED #/required/a",
        ),
        (object("a", r#","required":["a"]"#), object("a", open), ""),
        (
            object("a", r#","maxProperties":3"#),
            object("a", r#","maxProperties":2"#),
            "MAX_PROPERTIES_DECREASED #/maxProperties",
        ),
        (
            object("a", open),
            object("a", r#","dependentRequired":{"a":["b"]}"#),
            "DEPENDENCY_ARRAY_ADDED #/dependencies/a",
        ),
        (
            object("a", open),
            object("a", r#","unevaluatedProperties":false"#),
            "UNEVALUATED_PROPERTIES_REMOVED #/unevaluatedProperties",
        ),
    ] {
        assert_eq!(broken(&old, &new).join(", "), expected, "{old} to {new}");
    }
    let with_default = r#"{"properties":{"a":{"type":"string","default":"x"}},"required":["a"]}"#;
    assert!(broken(&object("a", open), with_default).is_empty());
}

#[test]
fn schemas_that_refer_to_themselves_are_compared() {
    let tree = |value: &str| {
        format!(
            r##"{{"properties":{{"value":{{"type":"{value}"}},"left":{{"$ref":"#"}},"right":{{"$ref":"#"}}}}}}"##
        )
    };
    assert!(broken(&tree("string"), &tree("string")).is_empty());
    let changed = broken(&tree("string"), &tree("integer"));
    assert_eq!(changed, ["TYPE_CHANGED #/properties/value"]);
    let circle = r##"{"properties":{"a":{"$ref":"#/definitions/x"}},
        "definitions":{"x":{"$ref":"#/definitions/y"},"y":{"$ref":"#/definitions/x"}}}"##;
    let refused = Writer::parse(&source(circle)).unwrap_err();
    let expected = "too large: references that lead to references only";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn hostile_schemas_end() {
    let chain: Vec<_> = (0..3000)
        .map(|i| {
            format!(
                r##""d{i}":{{"properties":{{"n":{{"$ref":"#/definitions/d{}"}}}}}}"##,
                i + 1
            )
        })
        .chain([r#""d3000":{"type":"string"}"#.to_owned()])
        .collect();
    let chain = format!(
        r##"{{"properties":{{"n":{{"$ref":"#/definitions/d0"}}}},"definitions":{{{}}}}}"##,
        chain.join(",")
    );
    assert!(matches!(
        backward(&source(&chain), &source(&chain)),
        Err(BadSchema::TooLarge(_))
    ));
    assert!(Writer::parse(&source(&chain)).is_ok());

    let wide: Vec<_> = (0..20)
        .map(|i| {
            let next = format!(r##"{{"$ref":"#/definitions/d{}"}}"##, i + 1);
            format!(r##""d{i}":{{"properties":{{"a":{next},"b":{next}}}}}"##)
        })
        .chain([r#""d20":{"type":"string"}"#.to_owned()])
        .collect();
    let wide = format!(
        r##"{{"properties":{{"n":{{"$ref":"#/definitions/d0"}}}},"definitions":{{{}}}}}"##,
        wide.join(",")
    );
    assert!(broken(&wide, &wide).is_empty());
    assert!(matches!(
        Writer::parse(&source(&wide)),
        Err(BadSchema::TooLarge(_))
    ));

    let long = format!(
        r#"{{"title":"{}"}}"#,
        "x".repeat(TableSchema::TEXT_BYTES_MAX)
    );
    assert!(matches!(
        Writer::parse(&source(&long)),
        Err(BadSchema::TooLong { .. })
    ));
    let deep = format!("{}{}", r#"{"not":"#.repeat(10_000), "}".repeat(10_000));
    assert!(matches!(
        Writer::parse(&source(&deep)),
        Err(BadSchema::NotJson(_))
    ));
}

#[test]
fn mutated_schemas_never_panic() {
    let seeds = [
        r##"{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/definitions/d"},"b":{"items":[{"type":"string"},true],"additionalItems":{"enum":[1,"x"]}}},"definitions":{"d":{"oneOf":[{"type":["null","number"],"multipleOf":2},{"not":{"const":1}}]}}}"##,
        r#"{"allOf":[{"patternProperties":{"^a":{"maxLength":3}}},{"properties":{"x":{"dependentRequired":{"a":["b"]},"unevaluatedProperties":false}}}]}"#,
    ];
    for seed in 0..1500 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut text = (*seeds.choose(&mut rng).unwrap()).as_bytes().to_vec();
        for _ in 0..rng.random_range(1..4) {
            let (from, to) = (
                rng.random_range(0..text.len()),
                rng.random_range(0..text.len()),
            );
            match rng.random_range(0..3) {
                0 => text[from] = *b"{}[]:,\"0aex#/".choose(&mut rng).unwrap(),
                1 => text[from] = text[to],
                _ => text.truncate(from.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let _ = Writer::parse(&source(&text));
        let _ = backward(&source(&text), &source(seeds[0]));
        let _ = backward(&source(seeds[1]), &source(&text));
    }
}
