//! By what rule a partition's records are folded, and from which offset on.

use serde::{Deserialize, Serialize};
use tidelog_storage::ids::Offset;

use super::function::Function;
use super::value::{FieldId, Kind};

/// How records become rows, bound to one version of the table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub engine: Engine,
    pub deletes: Deletes,
    pub image: Image,
    /// The columns that are merged; none where rows are records' values as they came.
    #[serde(default)]
    pub columns: Vec<RuleColumn>,
}

/// What becomes of the row before when its key comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The record replaces it.
    LastRow,
    /// The record replaces the columns that it names.
    PartialRow,
    /// It stays.
    FirstRow,
    /// The record replaces it if its version is not null and not lower.
    Versioned { column: FieldId },
    /// Each column that the record names is combined with it.
    Aggregation,
}

/// What a null value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    Allow,
    /// Nothing.
    Ignore,
    /// It is refused.
    Disable,
}

/// What the changelog shows of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// The row before and the row after.
    Full,
    /// The row after.
    Wal,
}

/// A column, as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleColumn {
    pub id: FieldId,
    pub name: String,
    pub kind: Kind,
    pub key: bool,
    pub function: Function,
}

impl Rule {
    /// What a table without settings does.
    pub const LAST_ROW: Self = Self {
        engine: Engine::LastRow,
        deletes: Deletes::Allow,
        image: Image::Full,
        columns: Vec::new(),
    };

    /// Whether the row before plays no part.
    pub fn is_blind(&self) -> bool {
        self.engine == Engine::LastRow && self.deletes == Deletes::Allow
    }

    /// Whether rows are records' values byte for byte; else they are [`Cells`](super::Cells).
    pub fn keeps_values(&self) -> bool {
        matches!(self.engine, Engine::LastRow | Engine::FirstRow)
    }

    /// Whether a record may name the columns it is about.
    pub fn takes_some_columns(&self) -> bool {
        matches!(self.engine, Engine::PartialRow | Engine::Aggregation)
    }

    /// Whether a record may be refused for what it holds.
    pub fn may_refuse(&self) -> bool {
        !self.keeps_values() || self.deletes == Deletes::Disable
    }

    /// Whether what a record is refused for may lie in the row before: a sum that overflows, a row
    /// that grows too long.
    pub(crate) fn refuses_by_row_before(&self) -> bool {
        self.takes_some_columns()
    }

    /// The columns of a `tidelog.columns` header: names with commas between them.
    ///
    /// # Errors
    /// The first name that is no column.
    pub fn named<'a>(&self, names: &'a str) -> Result<Vec<FieldId>, &'a str> {
        let names = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let id = |name| {
            let column = self.columns.iter().find(|column| column.name == name);
            column.map(|column| column.id).ok_or(name)
        };
        names.map(id).collect()
    }
}

/// For a reference that outlives the call.
static UNRULED: Rule = Rule::LAST_ROW;

/// The rules of a partition's life. Offsets before the first entry are folded by
/// [`Rule::LAST_ROW`].
///
/// An entry is for ever: rows in checkpoints are read by the rule of the offset that wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleLog(Vec<RuleEntry>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    from: Offset,
    rule: Rule,
}

/// A rule was to begin before one that is there, or before what was folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rule cannot begin at offset {from}: offsets below {after} follow another already")]
pub struct TooEarly {
    pub from: Offset,
    pub after: Offset,
}

/// A text that is no rule log.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("the rules cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Order(#[from] TooEarly),
}

impl RuleLog {
    /// One rule from the first offset on.
    pub fn of(rule: Rule) -> Self {
        Self(vec![RuleEntry { from: 0, rule }])
    }

    /// The rule that a record at `offset` is folded by.
    pub fn at(&self, offset: Offset) -> &Rule {
        let following = self.0.partition_point(|entry| entry.from <= offset);
        match following.checked_sub(1).and_then(|at| self.0.get(at)) {
            Some(entry) => &entry.rule,
            None => &UNRULED,
        }
    }

    /// The rule for what comes next.
    pub fn newest(&self) -> &Rule {
        self.at(Offset::MAX)
    }

    /// The rules from `offset` on.
    pub fn from(&self, offset: Offset) -> impl Iterator<Item = &Rule> {
        let later = self.0.iter().filter(move |entry| entry.from > offset);
        std::iter::once(self.at(offset)).chain(later.map(|entry| &entry.rule))
    }

    /// Whether all rows of the partition are records' values.
    pub fn keeps_values(&self) -> bool {
        self.0.iter().all(|entry| entry.rule.keeps_values())
    }

    /// Adds a rule for the records from `from` on; at the newest entry's own offset it takes its place.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn add(&mut self, from: Offset, rule: Rule) -> Result<(), TooEarly> {
        if let Some(last) = self.0.last_mut() {
            if last.from > from {
                let after = last.from;
                return Err(TooEarly { from, after });
            }
            if last.from == from {
                last.rule = rule;
                return Ok(());
            }
        }
        self.0.push(RuleEntry { from, rule });
        Ok(())
    }

    /// As one line of JSON: `[{"from":0,"rule":{…}}]`.
    ///
    /// # Errors
    /// None that this type can cause.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`to_json`](Self::to_json) wrote. Names that are unknown are an error: to fold by
    /// half a rule would make another table.
    ///
    /// # Errors
    /// [`RulesError`].
    pub fn from_json(text: &str) -> Result<Self, RulesError> {
        let read: Self = serde_json::from_str(text)?;
        for pair in read.0.windows(2) {
            if let [one, next] = pair
                && next.from <= one.from
            {
                let (from, after) = (next.from, one.from);
                return Err(TooEarly { from, after }.into());
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(engine: Engine) -> Rule {
        Rule {
            engine,
            ..Rule::LAST_ROW
        }
    }

    #[test]
    fn each_offset_has_the_rule_of_its_time() {
        let mut rules = RuleLog::default();
        rules.add(10, rule(Engine::FirstRow)).unwrap();
        rules.add(20, rule(Engine::PartialRow)).unwrap();
        let engines: Vec<_> = [0, 9, 10, 19, 20, 99]
            .map(|offset| rules.at(offset).engine)
            .into();
        let (last, first, partial) = (Engine::LastRow, Engine::FirstRow, Engine::PartialRow);
        assert_eq!(engines, [last, last, first, first, partial, partial]);
        let later: Vec<_> = rules.from(12).map(|rule| rule.engine).collect();
        assert_eq!(later, [first, partial]);
    }

    #[test]
    fn what_was_ruled_stays_ruled() {
        let mut rules = RuleLog::default();
        rules.add(10, rule(Engine::FirstRow)).unwrap();
        let early = rules.add(9, Rule::LAST_ROW);
        assert_eq!(early, Err(TooEarly { from: 9, after: 10 }));
        rules.add(10, rule(Engine::PartialRow)).unwrap();
        assert_eq!(rules.newest().engine, Engine::PartialRow);
    }

    #[test]
    fn the_text_stays_what_it_is() {
        let mut rules = RuleLog::of(rule(Engine::FirstRow));
        let total = RuleColumn {
            id: 4,
            name: "total".into(),
            kind: Kind::Decimal {
                precision: 10,
                scale: 2,
            },
            key: false,
            function: Function::Sum,
        };
        let sums = Rule {
            engine: Engine::Aggregation,
            deletes: Deletes::Ignore,
            image: Image::Wal,
            columns: vec![total],
        };
        rules.add(7, sums).unwrap();
        rules.add(9, rule(Engine::Versioned { column: 4 })).unwrap();
        let text = rules.to_json().unwrap();
        assert_eq!(
            text,
            include_str!("../../fixtures/v2/rules.json").trim_end()
        );
        assert_eq!(RuleLog::from_json(&text).unwrap(), rules);
        let wrong = text.replace("\"image\"", "\"imago\"");
        assert!(RuleLog::from_json(&wrong).is_err());
        let back = text.replace("\"from\":9", "\"from\":6");
        assert!(matches!(
            RuleLog::from_json(&back),
            Err(RulesError::Order(_))
        ));
    }
}
