//! The mapping: a TOML file that says how the rows of a table become commands.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::exit;

/// The fields that a command can have, beside `type`, `command_id` and `metadata`.
const FIELDS: [&str; 16] = [
    "account_id",
    "from_account_id",
    "to_account_id",
    "from_clearing_account_id",
    "to_clearing_account_id",
    "amount",
    "rate",
    "to_amount",
    "currency",
    "owner_name",
    "initial_balance",
    "overdraft_limit",
    "description",
    "actor",
    "expected_version",
    "effective_at",
];

/// A column, by its name in the header or by its place, from 1 on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a column is its name in the header, or its number where there is none"
)]
pub(super) enum Column {
    Name(String),
    Number(usize),
}

/// Which command a row becomes.
#[derive(Debug)]
pub(super) enum Type {
    /// Always the same.
    Always(String),
    /// What the column says; by this table, if there is one.
    Column(Column, Option<BTreeMap<String, String>>),
    /// As the amount is above or below zero; the command's amount has no sign then.
    Sign { positive: String, negative: String },
}

/// Where the command's id comes from.
#[derive(Debug)]
pub(super) enum Identity {
    Column(Column),
    DerivedFrom(Vec<Column>),
}

/// Fields, and where each comes from.
#[derive(Debug, Default)]
pub(super) struct Fields<T> {
    pub(super) fields: BTreeMap<String, T>,
    pub(super) metadata: BTreeMap<String, T>,
}

/// What a mapping says.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) kind: Type,
    pub(super) delimiter: u8,
    pub(super) decimal_mark: Option<char>,
    pub(super) skip_lines: u32,
    pub(super) header: bool,
    pub(super) namespace: Option<String>,
    pub(super) command_id: Option<Identity>,
    pub(super) columns: Fields<Column>,
    pub(super) constants: Fields<String>,
}

/// The file as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    r#type: Option<String>,
    types: Option<Types>,
    #[serde(default = "comma")]
    delimiter: char,
    decimal_mark: Option<char>,
    #[serde(default)]
    skip_lines: u32,
    #[serde(default = "yes")]
    header: bool,
    namespace: Option<String>,
    command_id: Option<Id>,
    columns: toml::Table,
    #[serde(default)]
    constants: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Types {
    column: Option<Column>,
    values: Option<BTreeMap<String, String>>,
    positive: Option<String>,
    negative: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    column: Option<Column>,
    derived_from: Option<Vec<Column>>,
}

fn comma() -> char {
    ','
}

fn yes() -> bool {
    true
}

/// Reads a mapping.
pub(super) fn read(path: &Path) -> anyhow::Result<Mapping> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| exit::usage(format!("{name} cannot be read: {error}")))?;
    parse(&text).map_err(|error| exit::usage(format!("{name}: {error}")))
}

fn parse(text: &str) -> Result<Mapping, String> {
    let document: Document =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let columns = fields("columns", document.columns, |value| {
        value.try_into::<Column>().ok()
    })?;
    let constants = fields("constants", document.constants, constant)?;
    let kind = kind(document.r#type, document.types)?;
    if matches!(kind, Type::Sign { .. }) && !columns.fields.contains_key("amount") {
        return Err(
            "types are told by the amount's sign, and columns.amount is missing".to_owned(),
        );
    }
    let is_delimiter = |it: &char| it.is_ascii() && !matches!(it, '"' | '\r' | '\n');
    let delimiter = Some(document.delimiter)
        .filter(is_delimiter)
        .ok_or_else(|| {
            format!(
                "delimiter is one ASCII character such as ; and this is not: {:?}",
                document.delimiter
            )
        })?;
    if let Some(mark) = document
        .decimal_mark
        .filter(|mark| !matches!(mark, '.' | ','))
    {
        return Err(format!("decimal_mark is . or , and this is not: {mark:?}"));
    }
    Ok(Mapping {
        kind,
        delimiter: u8::try_from(delimiter).expect("it is ASCII"),
        decimal_mark: document.decimal_mark,
        skip_lines: document.skip_lines,
        header: document.header,
        namespace: document.namespace,
        command_id: document.command_id.map(identity).transpose()?,
        columns,
        constants,
    })
}

fn kind(always: Option<String>, types: Option<Types>) -> Result<Type, String> {
    let wanted = || {
        "say which command a row becomes: type = \"deposit\"; or [types] with a column, and values for what it holds; or \
         [types] with what a positive and a negative amount is"
            .to_owned()
    };
    match (always, types) {
        (Some(always), None) => Ok(Type::Always(always)),
        (None, Some(types)) => match (types.column, types.positive, types.negative) {
            (Some(column), None, None) => Ok(Type::Column(column, types.values)),
            (None, Some(positive), Some(negative)) if types.values.is_none() => {
                Ok(Type::Sign { positive, negative })
            }
            _ => Err(wanted()),
        },
        _ => Err(wanted()),
    }
}

fn identity(id: Id) -> Result<Identity, String> {
    match (id.column, id.derived_from) {
        (Some(column), None) => Ok(Identity::Column(column)),
        (None, Some(columns)) if !columns.is_empty() => Ok(Identity::DerivedFrom(columns)),
        _ => Err(
            "command_id is either in a column, or derived_from some: [command_id] with column = \"…\" or derived_from = [\"…\"]"
                .to_owned(),
        ),
    }
}

/// Numbers and dates may stand there without quotes.
fn constant(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Datetime(date) => Some(date.to_string()),
        _ => None,
    }
}

fn fields<T>(
    table: &str,
    values: toml::Table,
    read: impl Fn(toml::Value) -> Option<T>,
) -> Result<Fields<T>, String> {
    let wrong = |name: &str| {
        format!(
            "{table}.{name} must be a {}",
            if table == "columns" {
                "column's name, or its number where there is no header"
            } else {
                "text"
            }
        )
    };
    let mut fields = BTreeMap::new();
    let mut metadata = BTreeMap::new();
    for (name, value) in values {
        match value {
            toml::Value::Table(entries) if name == "metadata" => {
                for (key, value) in entries {
                    let value = read(value).ok_or_else(|| wrong(&format!("metadata.{key}")))?;
                    metadata.insert(key, value);
                }
            }
            value if FIELDS.contains(&name.as_str()) => {
                let value = read(value).ok_or_else(|| wrong(&name))?;
                fields.insert(name, value);
            }
            _ => {
                return Err(format!(
                    "{table}.{name} is no field of a command; there are {} and metadata.KEY",
                    FIELDS.join(", ")
                ));
            }
        }
    }
    Ok(Fields { fields, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_mapping_is_said() {
        for (text, words) in [
            ("", "missing field `columns`"),
            ("[columns]", "say which command a row becomes"),
            (
                "type = \"deposit\"\n[types]\ncolumn = \"A\"\n[columns]",
                "say which command",
            ),
            (
                "[types]\npositive = \"deposit\"\n[columns]\namount = 1",
                "say which command",
            ),
            (
                "[types]\npositive = \"deposit\"\nnegative = \"withdraw\"\n[columns]",
                "columns.amount is missing",
            ),
            (
                "type = \"deposit\"\n[columns]\namuont = \"A\"",
                "columns.amuont is no field",
            ),
            (
                "type = \"deposit\"\n[columns]\namount = true",
                "columns.amount must be a column",
            ),
            (
                "type = \"deposit\"\n[columns]\nmetadata = \"A\"",
                "columns.metadata is no field",
            ),
            ("type = \"deposit\"\nx = 1\n[columns]", "unknown field `x`"),
            (
                "type = \"deposit\"\ndelimiter = \"ä\"\n[columns]",
                "delimiter is one ASCII",
            ),
            (
                "type = \"deposit\"\ndecimal_mark = \"'\"\n[columns]",
                "decimal_mark is . or ,",
            ),
            (
                "type = \"deposit\"\n[columns]\n[command_id]",
                "command_id is either",
            ),
            (
                "type = \"deposit\"\n[columns]\n[constants]\namount = 1.5",
                "constants.amount must be a text",
            ),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_mapping_is_read_as_it_is_meant() {
        let mapping = parse(
            r#"
            type = "deposit"
            delimiter = "\t"
            decimal_mark = ","
            [columns]
            amount = 3
            metadata.due_date = "Due"
            [constants]
            metadata.imported = 2026-01-31
            [command_id]
            derived_from = ["No.", 2]
            "#,
        )
        .unwrap();
        assert_eq!(mapping.delimiter, b'\t');
        assert!(mapping.header);
        assert_eq!(mapping.columns.fields["amount"], Column::Number(3));
        assert_eq!(
            mapping.columns.metadata["due_date"],
            Column::Name("Due".to_owned())
        );
        assert_eq!(mapping.constants.metadata["imported"], "2026-01-31");
        assert!(matches!(mapping.command_id, Some(Identity::DerivedFrom(of)) if of.len() == 2));
    }
}
