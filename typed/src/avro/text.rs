//! The one text of a schema, by which it is told from others.
//!
//! It is the text that Avro's Java library writes for the parsed schema, since that is what stock
//! registries compare: no blanks, members in a fixed order, `{"type":"int"}` as `"int"`, a
//! namespace only where it changes, and types of references by name. Documentation, defaults,
//! aliases and properties stay.

use std::collections::HashSet;

use super::schema::{Form, FullName, Named, Order, RecordField, Schema, TypeId};
use crate::json_tree::{Member, Tree, quoted};

/// How much of what the author wrote is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Properties and aliases in the order they were given.
    AsGiven,
    /// Properties, aliases and the members of defaults sorted, empty documentation left out.
    Normalized,
}

/// Parameters of a logical type, which stand before other properties when these are sorted.
const LOGICAL: [&str; 3] = ["logicalType", "precision", "scale"];

pub(super) fn write(schema: &Schema, style: Style) -> String {
    let mut writer = Writer {
        schema,
        style,
        out: String::new(),
        written: HashSet::new(),
    };
    writer.write(schema.root(), None);
    writer.out
}

struct Writer<'a> {
    schema: &'a Schema,
    style: Style,
    out: String,
    /// Named types that stand in the text already.
    written: HashSet<TypeId>,
}

impl<'a> Writer<'a> {
    /// `space` is the namespace around the type. Recurses as deep as the parser did: a type is
    /// spelled out where it was, first, in the text.
    fn write(&mut self, id: TypeId, space: Option<&str>) {
        let schema = self.schema;
        let of = schema.get(id);
        if let Some(named) = of.form.named()
            && (named.foreign || !self.written.insert(id))
        {
            return self.text(qualified(&named.name, space));
        }
        match &of.form {
            Form::Union(branches) => {
                self.list(branches, |writer, branch| writer.write(*branch, space));
            }
            Form::Array(child) => self.container("array", "items", *child, &of.properties, space),
            Form::Map(child) => self.container("map", "values", *child, &of.properties, space),
            Form::Record(record) => {
                self.begin(of.form.name(), &record.named, space);
                self.out.push_str(",\"fields\":");
                let space = record.named.name.space();
                self.list(&record.fields, |writer, field| writer.field(field, space));
                self.end(&record.named, &of.properties);
            }
            Form::Enum(symbols) => {
                self.begin("enum", &symbols.named, space);
                self.out.push_str(",\"symbols\":");
                self.list(&symbols.symbols, |writer, symbol| writer.text(symbol));
                if let Some(default) = &symbols.default {
                    self.member("default", default);
                }
                self.end(&symbols.named, &of.properties);
            }
            Form::Fixed(fixed) => {
                self.begin("fixed", &fixed.named, space);
                self.out.push_str(&format!(",\"size\":{}", fixed.size));
                self.end(&fixed.named, &of.properties);
            }
            primitive if of.properties.is_empty() => self.text(primitive.name()),
            primitive => {
                self.out.push_str("{\"type\":");
                self.text(primitive.name());
                self.properties(&of.properties);
                self.out.push('}');
            }
        }
    }

    fn container(
        &mut self,
        name: &str,
        child_name: &str,
        child: TypeId,
        properties: &[Member],
        space: Option<&str>,
    ) {
        self.out.push_str("{\"type\":");
        self.text(name);
        self.out.push_str(&format!(",\"{child_name}\":"));
        self.write(child, space);
        self.properties(properties);
        self.out.push('}');
    }

    fn field(&mut self, field: &RecordField, space: Option<&str>) {
        self.out.push_str("{\"name\":");
        self.text(&field.name);
        self.out.push_str(",\"type\":");
        self.write(field.of, space);
        if let Some(doc) = &field.doc {
            self.member("doc", doc);
        }
        if let Some(default) = &field.default {
            let default = self.tree(default);
            self.out.push_str(&format!(",\"default\":{default}"));
        }
        if field.order != Order::Ascending {
            self.member("order", field.order.name());
        }
        self.aliases(field.aliases.iter().map(String::as_str).collect());
        self.properties(&field.properties);
        self.out.push('}');
    }

    /// A named type up to its documentation.
    fn begin(&mut self, kind: &str, named: &Named, space: Option<&str>) {
        self.out.push_str("{\"type\":");
        self.text(kind);
        self.member("name", named.name.short());
        if named.name.space() != space {
            self.member("namespace", named.name.space().unwrap_or(""));
        }
        let empty_counts = self.style == Style::AsGiven;
        if let Some(doc) = named
            .doc
            .as_ref()
            .filter(|doc| empty_counts || !doc.is_empty())
        {
            self.member("doc", doc);
        }
    }

    fn end(&mut self, named: &Named, properties: &[Member]) {
        self.properties(properties);
        let space = named.name.space();
        let aliases = named.aliases.iter().map(|alias| qualified(alias, space));
        self.aliases(aliases.collect());
        self.out.push('}');
    }

    fn aliases(&mut self, mut aliases: Vec<&str>) {
        if aliases.is_empty() {
            return;
        }
        if self.style == Style::Normalized {
            aliases.sort_unstable();
        }
        self.out.push_str(",\"aliases\":");
        self.list(&aliases, |writer, alias| writer.text(alias));
    }

    fn properties(&mut self, properties: &[Member]) {
        let mut properties: Vec<_> = properties.iter().collect();
        if self.style == Style::Normalized {
            let rank = |name: &str| LOGICAL.iter().position(|known| *known == name);
            properties.sort_by_key(|(name, _)| (rank(name).unwrap_or(LOGICAL.len()), name));
        }
        for (name, value) in properties {
            let value = self.tree(value);
            self.out.push_str(&format!(",{}:{value}", quoted(name)));
        }
    }

    fn tree(&self, value: &Tree) -> String {
        match self.style {
            Style::AsGiven => value.to_string(),
            Style::Normalized => value.sorted().to_string(),
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            each(self, item);
        }
        self.out.push(']');
    }

    /// A member that is not the first.
    fn member(&mut self, name: &str, text: &str) {
        self.out.push_str(&format!(",\"{name}\":"));
        self.text(text);
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(&quoted(text));
    }
}

/// The name as it may stand within `space`: short, unless it would be taken for a primitive type.
fn qualified<'n>(name: &'n FullName, space: Option<&str>) -> &'n str {
    if name.space() == space && Form::primitive(name.short()).is_none() {
        name.short()
    } else {
        name.as_str()
    }
}
