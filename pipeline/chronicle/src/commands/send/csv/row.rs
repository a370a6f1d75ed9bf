//! A row becomes a command's JSON. What a command may be is for the codec to judge, which reads it next.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::identity::Identities;
use super::mapping::{Column, Fields, Mapping, Type};
use super::number;
use crate::exit;

/// The fields that are amounts, or a rate.
const AMOUNTS: [&str; 5] = [
    "amount",
    "to_amount",
    "rate",
    "initial_balance",
    "overdraft_limit",
];

/// Which command a row becomes; columns by their index.
enum Kind {
    Always(String),
    Column(usize, Option<BTreeMap<String, String>>),
    Sign { positive: String, negative: String },
}

/// Makes commands of rows.
pub(super) struct Converter {
    /// How many columns a row has, if there is a header to say so.
    columns: Option<usize>,
    /// How many columns a row must have at least.
    columns_min: usize,
    kind: Kind,
    decimal_mark: Option<char>,
    indexes: Fields<usize>,
    constants: Fields<String>,
    identities: Identities,
}

impl Converter {
    /// Of a table with that header.
    pub(super) fn of(
        mapping: Mapping,
        header: Option<&[String]>,
        file: &str,
    ) -> anyhow::Result<Self> {
        let columns_min = Cell::new(0);
        let find = |column: &Column| {
            let found = index(column, header, file)?;
            columns_min.set(columns_min.get().max(found + 1));
            Ok(found)
        };
        let all = |columns: BTreeMap<String, Column>| {
            let one = |(name, column)| Ok((name, find(&column)?));
            columns.into_iter().map(one).collect::<anyhow::Result<_>>()
        };
        if file == "stdin" && mapping.command_id.is_none() && mapping.namespace.is_none() {
            return Err(exit::usage(
                "what comes from stdin has no name to derive command ids from: say in the mapping what command_id is \
                 derived from, or a namespace",
            ));
        }
        // A file is known by its name, wherever it lies.
        let name = Path::new(file).file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        Ok(Self {
            columns: header.map(<[String]>::len),
            kind: match mapping.kind {
                Type::Always(kind) => Kind::Always(kind),
                Type::Column(column, values) => Kind::Column(find(&column)?, values),
                Type::Sign { positive, negative } => Kind::Sign { positive, negative },
            },
            decimal_mark: mapping.decimal_mark,
            identities: Identities::of(
                mapping.command_id.as_ref(),
                mapping.namespace,
                &name,
                find,
            )?,
            indexes: Fields {
                fields: all(mapping.columns.fields)?,
                metadata: all(mapping.columns.metadata)?,
            },
            constants: mapping.constants,
            columns_min: columns_min.get(),
        })
    }

    /// How many columns a row must have, if that is known.
    pub(super) fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// The command of a row, or what is wrong with it.
    pub(super) fn command(&mut self, row: &[String]) -> Result<Bytes, String> {
        if row.len() < self.columns_min {
            return Err(format!(
                "column {} is wanted, and this row has {}",
                self.columns_min,
                row.len()
            ));
        }
        let command_id = self.identities.id(row)?;
        let mut fields = Map::new();
        for (name, index) in &self.indexes.fields {
            if let Some(value) = self.value(name, &row[*index])? {
                fields.insert(name.clone(), value);
            }
        }
        let kind = self.kind(row, &mut fields)?;
        for (name, constant) in &self.constants.fields {
            if let Some(value) = self.value(name, constant)? {
                fields.entry(name.clone()).or_insert(value);
            }
        }
        let metadata = self.metadata(row);
        if !metadata.is_empty() {
            fields.insert("metadata".to_owned(), Value::Object(metadata));
        }
        fields.insert("type".to_owned(), kind.into());
        fields.insert("command_id".to_owned(), command_id.into());
        Ok(Value::Object(fields).to_string().into())
    }

    /// A field's value; an empty cell has none.
    fn value(&self, name: &str, text: &str) -> Result<Option<Value>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let value = match self.decimal_mark {
            Some(mark) if AMOUNTS.contains(&name) => number::plain(text, mark)
                .ok_or_else(|| {
                    format!("{name}: this is no number with {mark:?} before the decimals: {text:?}")
                })?
                .into(),
            _ if name == "expected_version" => text
                .parse::<u64>()
                .map_err(|_| format!("{name}: this is no whole number: {text:?}"))?
                .into(),
            // Tables have dates; a date is its beginning.
            _ if name == "effective_at" && is_date(text) => format!("{text}T00:00:00Z").into(),
            _ => text.into(),
        };
        Ok(Some(value))
    }

    fn kind(&self, row: &[String], fields: &mut Map<String, Value>) -> Result<String, String> {
        match &self.kind {
            Kind::Always(kind) => Ok(kind.clone()),
            Kind::Column(index, None) => Ok(row[*index].clone()),
            Kind::Column(index, Some(kinds)) => {
                let value = &row[*index];
                let kind = kinds.get(value).cloned();
                kind.ok_or_else(|| format!("the mapping's types.values has nothing for {value:?}"))
            }
            Kind::Sign { positive, negative } => {
                let Some(Value::String(amount)) = fields.get_mut("amount") else {
                    return Err("the amount is empty".to_owned());
                };
                let (kind, unsigned) = amount.strip_prefix('-').map_or_else(
                    || (positive, amount.trim_start_matches('+')),
                    |unsigned| (negative, unsigned),
                );
                *amount = unsigned.to_owned();
                Ok(kind.clone())
            }
        }
    }

    fn metadata(&self, row: &[String]) -> Map<String, Value> {
        let cells = self
            .indexes
            .metadata
            .iter()
            .map(|(key, index)| (key, &row[*index]));
        let mut metadata: Map<String, Value> = cells
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(key, cell)| (key.clone(), cell.as_str().into()))
            .collect();
        for (key, constant) in &self.constants.metadata {
            metadata
                .entry(key.clone())
                .or_insert_with(|| constant.as_str().into());
        }
        metadata
    }
}

/// Whether it looks like 2026-01-31. Whether there is such a day is for the codec to say.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Where a column is.
fn index(column: &Column, header: Option<&[String]>, file: &str) -> anyhow::Result<usize> {
    let names = || header.unwrap_or_default().join(", ");
    match (column, header) {
        (Column::Name(name), Some(header)) => {
            let mut found = (0..header.len()).filter(|index| header[*index] == *name);
            match (found.next(), found.next()) {
                (Some(index), None) => Ok(index),
                (Some(_), Some(_)) => Err(exit::usage(format!(
                    "{file} has more than one column {name:?}; name it by its number, from 1 on"
                ))),
                (None, _) => Err(exit::usage(format!(
                    "{file} has no column {name:?}; it has {}",
                    names()
                ))),
            }
        }
        (Column::Name(name), None) => Err(exit::usage(format!(
            "{file} has no header (header = false): give the number of column {name:?}, from 1 on"
        ))),
        (Column::Number(number), header) => {
            let fits = header.is_none_or(|header| *number <= header.len());
            match number.checked_sub(1).filter(|_| fits) {
                Some(index) => Ok(index),
                None => Err(exit::usage(format!(
                    "{file} has no column {number}; columns count from 1, and it has {}",
                    names()
                ))),
            }
        }
    }
}
