//! Validation of the tool's JSON documents by the schemas in `packaging/schema`.
//!
//! The validator knows the keywords that schemars writes: references, types, required fields, variants. A field or
//! keyword that is not known here fails the test, so that no part of a document or of a schema is ignored.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The schemas, each with the JSON pointer of a field that only its document has.
const DOCUMENTS: [(&str, &str); 18] = [
    ("/exit_status", include_str!("../../../packaging/schema/error.json")),
    ("/changed", include_str!("../../../packaging/schema/register.json")),
    ("/diff", include_str!("../../../packaging/schema/apply-check.json")),
    ("/event", include_str!("../../../packaging/schema/watch-event.json")),
    ("/unfinished", include_str!("../../../packaging/schema/status.json")),
    ("/state", include_str!("../../../packaging/schema/status-check.json")),
    ("/proven", include_str!("../../../packaging/schema/test.json")),
    ("/checks", include_str!("../../../packaging/schema/doctor.json")),
    ("/runs", include_str!("../../../packaging/schema/explain.json")),
    ("/pid", include_str!("../../../packaging/schema/explain-pid.json")),
    ("/systems/0/magic", include_str!("../../../packaging/schema/list.json")),
    ("/manifest", include_str!("../../../packaging/schema/fetch.json")),
    ("/removed", include_str!("../../../packaging/schema/cache.json")),
    ("/missing", include_str!("../../../packaging/schema/restore.json")),
    ("/lines", include_str!("../../../packaging/schema/nix-conf.json")),
    ("/programs", include_str!("../../../packaging/schema/accelerate-list.json")),
    ("/same", include_str!("../../../packaging/schema/accelerate-check.json")),
    ("/machines", include_str!("../../../packaging/schema/nix-builder.json")),
];

/// Checks that the document matches the schema of its kind.
#[track_caller]
pub(crate) fn holds(document: &Value) {
    let found = DOCUMENTS.iter().find(|(field, _)| document.pointer(field).is_some());
    let (field, schema) = found.unwrap_or_else(|| panic!("no schema is for this document: {document:#}"));
    compare(document, schema).unwrap_or_else(|why| panic!("the schema with {field}: {why}: {document:#}"));
}

/// Checks that the receipt matches its schema.
#[track_caller]
pub(crate) fn holds_receipt(receipt: &Value) {
    let (document, lines) = super::receipt::split(receipt.clone());
    let schema = include_str!("../../../packaging/schema/receipt.json");
    compare(&document, schema).unwrap_or_else(|why| panic!("{why}: {document:#}"));
    let schema = include_str!("../../../packaging/schema/receipt-acceleration.json");
    for line in &lines {
        compare(line, schema).unwrap_or_else(|why| panic!("{why}: {line:#}"));
    }
}

fn compare(document: &Value, schema: &str) -> Result<(), String> {
    let root: Value = serde_json::from_str(schema).unwrap();
    let schema = Schema { root: &root };
    let known = schema.visit(document, &root, "")?;
    exact(document, &known, "")
}

struct Schema<'a> {
    root: &'a Value,
}

/// Keywords that do not restrict values, or not in a way that matters here.
const IGNORED: [&str; 9] =
    ["$schema", "$defs", "title", "description", "format", "minimum", "maximum", "minItems", "maxItems"];

impl Schema<'_> {
    /// Checks a value, and returns the fields of an object that the schema names.
    fn visit(&self, value: &Value, schema: &Value, at: &str) -> Result<BTreeSet<String>, String> {
        let Value::Object(keywords) = schema else {
            return if schema == &Value::Bool(true) { Ok(BTreeSet::new()) } else { Err(format!("{at}: not allowed")) };
        };
        let mut known = BTreeSet::new();
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$ref" => known.extend(self.visit(value, self.definition(wanted)?, at)?),
                "type" => has_type(value, wanted, at)?,
                "const" if value != wanted => return Err(format!("{at}: {value} is not {wanted}")),
                "enum" if !list(wanted)?.contains(value) => return Err(format!("{at}: {value} is not in {wanted}")),
                "const" | "enum" | "additionalProperties" => {}
                "required" => has_fields(value, list(wanted)?, at)?,
                "properties" => known.extend(self.fields(value, wanted, at)?),
                "items" => self.items(value, wanted, at)?,
                "uniqueItems" => has_unique_items(value, at)?,
                "prefixItems" => self.tuple(value, list(wanted)?, at)?,
                "anyOf" | "oneOf" => known.extend(self.variant(value, list(wanted)?, keyword == "oneOf", at)?),
                "allOf" => {
                    for one in list(wanted)? {
                        known.extend(self.visit(value, one, at)?);
                    }
                }
                ignored if IGNORED.contains(&ignored) => {}
                other => return Err(format!("{at}: the keyword {other} is not known to tests/it/support/schema.rs")),
            }
        }
        // A map has any field.
        if let (Value::Object(fields), Some(of_all @ Value::Object(_))) = (value, keywords.get("additionalProperties"))
        {
            for (name, field) in fields {
                self.complete(field, of_all, &format!("{at}/{name}"))?;
                known.insert(name.clone());
            }
        }
        Ok(known)
    }

    /// Checks a value, and that it has only fields which the schema names.
    fn complete(&self, value: &Value, schema: &Value, at: &str) -> Result<(), String> {
        let known = self.visit(value, schema, at)?;
        exact(value, &known, at)
    }

    fn fields(&self, value: &Value, properties: &Value, at: &str) -> Result<Vec<String>, String> {
        let properties = properties.as_object().ok_or("properties is not an object")?;
        for (name, schema) in properties {
            if let Some(field) = value.get(name) {
                self.complete(field, schema, &format!("{at}/{name}"))?;
            }
        }
        Ok(properties.keys().cloned().collect())
    }

    fn items(&self, value: &Value, schema: &Value, at: &str) -> Result<(), String> {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().try_for_each(|(i, item)| self.complete(item, schema, &format!("{at}/{i}")))
    }

    /// Checks a list whose every item has a schema of its own.
    fn tuple(&self, value: &Value, schemas: &[Value], at: &str) -> Result<(), String> {
        let items = list(value)?;
        if items.len() != schemas.len() {
            return Err(format!("{at}: {value} has not {} items", schemas.len()));
        }
        items.iter().zip(schemas).try_for_each(|(item, schema)| self.complete(item, schema, at))
    }

    fn variant(&self, value: &Value, variants: &[Value], one: bool, at: &str) -> Result<BTreeSet<String>, String> {
        let tried: Vec<_> = variants.iter().map(|variant| self.visit(value, variant, at)).collect();
        let fits: Vec<_> = tried.iter().flatten().collect();
        match fits.as_slice() {
            [] => Err(format!(
                "{at}: no variant fits: {:?}",
                tried.iter().filter_map(|t| t.as_ref().err()).collect::<Vec<_>>()
            )),
            [_, _, ..] if one => Err(format!("{at}: {} variants fit", fits.len())),
            fits => Ok(fits.iter().flat_map(|fit| fit.iter().cloned()).collect()),
        }
    }

    fn definition(&self, reference: &Value) -> Result<&Value, String> {
        let place = reference.as_str().and_then(|text| text.strip_prefix('#')).ok_or("a reference elsewhere")?;
        self.root.pointer(place).ok_or_else(|| format!("{place} is not defined"))
    }
}

fn exact(value: &Value, known: &BTreeSet<String>, at: &str) -> Result<(), String> {
    let fields = value.as_object().into_iter().flat_map(Map::keys);
    let strange: Vec<_> = fields.filter(|field| !known.contains(*field)).collect();
    if strange.is_empty() { Ok(()) } else { Err(format!("{at}: the schema does not have {strange:?}")) }
}

fn has_fields(value: &Value, wanted: &[Value], at: &str) -> Result<(), String> {
    let missing: Vec<_> = wanted.iter().filter(|name| value.get(name.as_str().unwrap_or_default()).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{at}: {missing:?} is missing")) }
}

fn has_unique_items(value: &Value, at: &str) -> Result<(), String> {
    let items = list(value)?;
    let is_double = |(number, item): (usize, &Value)| items.iter().take(number).any(|other| other == item);
    if items.iter().enumerate().any(is_double) { Err(format!("{at}: an item is there twice")) } else { Ok(()) }
}

fn has_type(value: &Value, wanted: &Value, at: &str) -> Result<(), String> {
    let is = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let fits = wanted.as_array().map_or_else(|| is(wanted), |names| names.iter().any(is));
    if fits { Ok(()) } else { Err(format!("{at}: {value} is not of type {wanted}")) }
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{value} is not a list"))
}

#[test]
fn documents_that_violate_their_schema_are_found() {
    let good = serde_json::json!({ "version": 1, "lines": ["a = b"] });
    holds(&good);
    let schema = DOCUMENTS.iter().find(|(field, _)| *field == "/lines").unwrap().1;
    let changes =
        [("lines", serde_json::json!([1])), ("lines", Value::Null), ("version", "1".into()), ("more", 1.into())];
    for (field, value) in changes {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(compare(&bad, schema).is_err(), "{bad}");
    }
    assert!(compare(&serde_json::json!({ "version": 1 }), schema).is_err());
    let event = DOCUMENTS.iter().find(|(field, _)| *field == "/event").unwrap().1;
    let line =
        serde_json::json!({ "version": 1, "time": "T", "level": "info", "event": "gone", "system": "a", "entry": "b" });
    assert!(compare(&line, event).is_err());
}
