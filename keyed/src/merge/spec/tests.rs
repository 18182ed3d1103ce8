//! Settings, right and wrong.

use super::*;

fn parse(engine: &str, options: &[(&str, &str)]) -> Result<EngineSpec, SpecError> {
    let owned = |(option, value): &(&str, &str)| ((*option).to_owned(), (*value).to_owned());
    EngineSpec::parse(engine, &options.iter().map(owned).collect())
}

fn column(id: FieldId, name: &str, data_type: DataType) -> Column {
    Column {
        id,
        name: name.to_owned(),
        data_type,
        nullable: true,
        key: name == "id",
    }
}

fn columns() -> Vec<Column> {
    vec![
        column(1, "id", DataType::Int64),
        column(2, "name", DataType::Utf8),
        column(3, "total", DataType::Int64),
        column(4, "seen.at", DataType::Date32),
    ]
}

fn wrong(engine: &str, options: &[(&str, &str)]) -> String {
    let bound = parse(engine, options).and_then(|spec| spec.bind(&columns()));
    bound.unwrap_err().to_string()
}

#[test]
fn deletes_have_a_default_for_each_engine() {
    let deletes = |engine, options: &[_]| parse(engine, options).unwrap().deletes;
    assert_eq!(deletes("last_row", &[]), Deletes::Allow);
    assert_eq!(deletes("last_row", &[("merge", "partial")]), Deletes::Allow);
    assert_eq!(deletes("first_row", &[]), Deletes::Ignore);
    assert_eq!(
        deletes("versioned", &[("version.column", "total")]),
        Deletes::Ignore
    );
    assert_eq!(deletes("aggregation", &[]), Deletes::Ignore);
    assert_eq!(
        deletes("aggregation", &[("deletes", "disable")]),
        Deletes::Disable
    );
}

#[test]
fn a_rule_knows_columns_by_id() {
    let spec = parse(
        "aggregation",
        &[
            ("agg.total", "sum"),
            ("agg.seen.at", "max"),
            ("image", "wal"),
        ],
    );
    let rule = spec.unwrap().bind(&columns()).unwrap();
    let functions: Vec<_> = rule
        .columns
        .iter()
        .map(|column| (column.id, column.function.to_string()))
        .collect();
    let functions: Vec<_> = functions.iter().map(|(id, f)| (*id, f.as_str())).collect();
    assert_eq!(
        functions,
        [
            (1, "last_value"),
            (2, "last_value_ignore_nulls"),
            (3, "sum"),
            (4, "max")
        ]
    );
    assert_eq!((rule.image, rule.deletes), (Image::Wal, Deletes::Ignore));
    assert_eq!(rule.named("name, total"), Ok(vec![2, 3]));
    assert_eq!(rule.named("name,nam"), Err("nam"));
    let versioned = parse("versioned", &[("version.column", "total")]).unwrap();
    assert_eq!(
        versioned.bind(&columns()).unwrap().engine,
        Engine::Versioned { column: 3 }
    );
}

#[test]
fn engines_that_keep_values_take_any_columns() {
    let nested = DataType::Struct(arrow_schema::Fields::empty());
    let mut columns = columns();
    columns.push(column(5, "nested", nested));
    for engine in ["last_row", "first_row"] {
        assert!(parse(engine, &[]).unwrap().bind(&columns).is_ok());
    }
    let partial = parse("last_row", &[("merge", "partial")]).unwrap();
    let refused = partial.bind(&columns).unwrap_err().to_string();
    assert!(refused.contains("nested"), "{refused}");
}

#[test]
fn what_is_wrong_is_named() {
    for (engine, options, says) in [
        ("last", &[][..], "last is no merge engine"),
        ("versioned", &[], "needs version.column"),
        (
            "versioned",
            &[("version.column", "v")],
            "there is no column v",
        ),
        (
            "versioned",
            &[("version.column", "name")],
            "name is of type Utf8",
        ),
        (
            "versioned",
            &[("version.column", "id")],
            "id is part of the key",
        ),
        (
            "first_row",
            &[("merge", "partial")],
            "first_row has no option merge",
        ),
        ("last_row", &[("agg.total", "sum")], "no option agg.total"),
        ("last_row", &[("merge", "some")], "full, partial"),
        (
            "last_row",
            &[("deletes", "no")],
            "no is no value of deletes",
        ),
        ("last_row", &[("image", "half")], "full, wal"),
        ("aggregation", &[("agg.total", "mean")], "agg.total: mean"),
        (
            "aggregation",
            &[("agg.name", "sum")],
            "sum does not take the column name",
        ),
        ("aggregation", &[("agg.x", "sum")], "there is no column x"),
        ("aggregation", &[("agg.id", "max")], "id is part of the key"),
    ] {
        let error = wrong(engine, options);
        assert!(error.contains(says), "{engine} {options:?}: {error}");
    }
}

#[test]
fn partial_rows_need_nullable_columns() {
    let mut columns = columns();
    columns[1].nullable = false;
    columns[0].nullable = false;
    let bind = |engine, options: &[_]| parse(engine, options).unwrap().bind(&columns);
    let refused = Err(SpecError::NotNullable("name".into()));
    assert_eq!(bind("last_row", &[("merge", "partial")]), refused);
    assert_eq!(bind("aggregation", &[]), refused);
    assert!(bind("versioned", &[("version.column", "total")]).is_ok());
}
