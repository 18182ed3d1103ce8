//! Columns as people write them, made the JSON of a table's schema.
//!
//! ```text
//! columns = column { "," column }
//! column  = name type [ "not null" ]
//! type    = "list" "<" type ">" | "map" "<" [ type "," ] type ">" | "struct" "<" columns ">"
//!         | word [ "(" … ")" ]                    long, string, decimal(12,2), timestamp(ms), …
//! name    = letters, digits and "_", or anything in double quotes
//! ```
//!
//! What types there are is known to [`TableSchema`] alone.

use serde_json::{Value, json};
use tidelog_typed::TableSchema;

/// Types within types; the schema allows fewer.
const DEPTH_MAX: usize = 32;

/// The text of `tidelog.table.schema` for these columns.
///
/// # Errors
/// What is wrong and where.
pub fn schema(columns: &str) -> Result<String, String> {
    let mut text = Text {
        all: columns,
        at: 0,
    };
    let fields = text.columns(0)?;
    text.end()?;
    let schema = json!({"fields": fields}).to_string();
    TableSchema::parse(&schema).map_err(|error| error.to_string())?;
    Ok(schema)
}

/// One type as the JSON of a schema has it.
///
/// # Errors
/// What is wrong and where.
pub fn column_type(of: &str) -> Result<Value, String> {
    let mut text = Text { all: of, at: 0 };
    let kind = text.kind(0)?;
    text.end()?;
    let schema = json!({"fields": [{"name": "column", "type": kind}]}).to_string();
    TableSchema::parse(&schema).map_err(|error| error.to_string())?;
    Ok(kind)
}

/// A text being read.
struct Text<'a> {
    all: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn columns(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        let mut columns = vec![self.column(depth)?];
        while self.takes(',') {
            columns.push(self.column(depth)?);
        }
        Ok(columns)
    }

    fn column(&mut self, depth: usize) -> Result<Value, String> {
        let name = self.name()?;
        let kind = self.kind(depth)?;
        let is_required = self.takes_word("not");
        if is_required && !self.takes_word("null") {
            return Err(self.wanted("\"null\" after \"not\""));
        }
        Ok(match is_required {
            true => json!({"name": name, "type": kind, "nullable": false}),
            false => json!({"name": name, "type": kind}),
        })
    }

    fn name(&mut self) -> Result<String, String> {
        if !self.takes('"') {
            let word = self.word();
            return match word.is_empty() {
                true => Err(self.wanted("a column's name")),
                false => Ok(word.to_owned()),
            };
        }
        let rest = &self.all[self.at..];
        let end = rest.find('"').ok_or_else(|| self.wanted("a closing \""))?;
        self.at += end + 1;
        Ok(rest[..end].to_owned())
    }

    fn kind(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(self.wanted("fewer types within types"));
        }
        let word = self.word().to_lowercase();
        match &word[..] {
            "" => Err(self.wanted("a type")),
            "list" => {
                self.needs('<')?;
                let element = self.kind(depth + 1)?;
                self.needs('>')?;
                Ok(json!({"list": element}))
            }
            "map" => {
                self.needs('<')?;
                let first = self.kind(depth + 1)?;
                let second = match self.takes(',') {
                    true => Some(self.kind(depth + 1)?),
                    false => None,
                };
                self.needs('>')?;
                Ok(match second {
                    Some(values) => json!({"map": values, "keys": first}),
                    None => json!({"map": first}),
                })
            }
            "struct" => {
                self.needs('<')?;
                let members = self.columns(depth + 1)?;
                self.needs('>')?;
                Ok(json!({"struct": members}))
            }
            _ => Ok(Value::String(word + &self.arguments()?)),
        }
    }

    /// What stands in round brackets behind a type, without blanks; brackets included.
    fn arguments(&mut self) -> Result<String, String> {
        if !self.takes('(') {
            return Ok(String::new());
        }
        let rest = &self.all[self.at..];
        let end = rest.find(')').ok_or_else(|| self.wanted("a closing )"))?;
        self.at += end + 1;
        let inner: String = rest[..end].split_whitespace().collect();
        Ok(format!("({inner})"))
    }

    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = &self.all[self.at..];
        let is_inside = |c: char| c.is_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let before = self.at;
        let is_it = self.word().eq_ignore_ascii_case(word);
        if !is_it {
            self.at = before;
        }
        is_it
    }

    fn takes(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let is_there = self.all[self.at..].starts_with(sign);
        if is_there {
            self.at += sign.len_utf8();
        }
        is_there
    }

    fn needs(&mut self, sign: char) -> Result<(), String> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.wanted(&format!("{sign:?}"))),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_blanks();
        match self.at == self.all.len() {
            true => Ok(()),
            false => Err(self.wanted("a comma or the end")),
        }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.all[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn wanted(&self, what: &str) -> String {
        let before = self.all[..self.at].chars().count();
        let rest: String = self.all[self.at..].chars().take(20).collect();
        match rest.is_empty() {
            true => format!("{what} is missing at the end"),
            false => format!("{what} is missing at character {before}, before {rest:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_the_schema() {
        let text = schema(
            "id long not null, city string, price DECIMAL( 12, 2 ), tags list<string>, \
             lines list<struct<sku string not null, n int>>, \"odd name\" map<int, double>, m map<long>",
        );
        let schema = TableSchema::parse(&text.expect("columns")).expect("a schema");
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| &field.name[..])
            .collect();
        assert_eq!(
            names,
            ["id", "city", "price", "tags", "lines", "odd name", "m"]
        );
        assert!(!schema.fields()[0].nullable && schema.fields()[1].nullable);
        assert_eq!(schema.fields()[2].kind.name(), "decimal(12,2)");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let wrong = [
            ("", "a column's name is missing at the end"),
            ("id", "a type is missing at the end"),
            (
                "id long not",
                "\"null\" after \"not\" is missing at the end",
            ),
            (
                "id long city string",
                "a comma or the end is missing at character 8",
            ),
            ("id list<string", "'>' is missing at the end"),
            ("id decimal(1", "a closing ) is missing"),
            ("\"id", "a closing \" is missing"),
            ("id number", "no type"),
            ("id long, id int", "id"),
            ("_offset long", "_offset"),
        ];
        for (columns, what) in wrong {
            let error = schema(columns).expect_err(columns);
            assert!(error.contains(what), "{columns}: {error}");
        }
        assert!(schema(&format!("a {}", "list<".repeat(10_000))).is_err());
    }

    #[test]
    fn one_type_alone() {
        assert_eq!(column_type("long"), Ok(json!("long")));
        assert_eq!(
            column_type(" list < double >"),
            Ok(json!({"list": "double"}))
        );
        assert!(column_type("long not null").is_err());
    }
}
