//! Variants of real JSON documents with wrong values, missing fields and additional fields.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that are valid in hardly any field.
pub(crate) fn absurd() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!([]),
        json!({}),
        json!(""),
        json!("\0"),
        json!(".."),
        json!("../../etc/passwd"),
        json!("/etc/passwd"),
        json!("/"),
        json!("\u{202e}"),
        json!("x".repeat(5000)),
    ]
}

/// Numbers that may overflow.
pub(crate) fn numbers() -> Vec<Value> {
    vec![json!(0), json!(1), json!(u64::MAX), json!(u64::MAX - 1), json!(1_u64 << 63), json!(1_u64 << 32)]
}

/// The JSON pointers (RFC 6901) of every value in a document, objects and lists included, the document itself
/// excluded.
pub(crate) fn places(value: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (format!("/{key}"), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, value)| (format!("/{i}"), value)).collect(),
        _ => Vec::new(),
    };
    let deeper = |(place, value): (String, &Value)| {
        let below: Vec<String> = places(value).into_iter().map(|rest| format!("{place}{rest}")).collect();
        [vec![place], below].concat()
    };
    inner.into_iter().flat_map(deeper).collect()
}

/// The document with another value at one place.
pub(crate) fn with(whole: &Value, place: &str, value: Value) -> Value {
    let mut changed = whole.clone();
    *changed.pointer_mut(place).unwrap() = value;
    changed
}

/// For each object of the document: variants without one of its fields, and one with an additional field.
pub(crate) fn lacking_and_odd(whole: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for place in places(whole).into_iter().chain([String::new()]) {
        let Some(Value::Object(map)) = whole.pointer(&place) else { continue };
        for key in map.keys() {
            let mut changed = whole.clone();
            changed.pointer_mut(&place).unwrap().as_object_mut().unwrap().remove(key);
            all.push(changed);
        }
        let mut changed = whole.clone();
        changed.pointer_mut(&place).unwrap()["more"] = json!(1);
        all.push(changed);
    }
    all
}

/// For each field whose value is neither an object nor a list: the text with this field twice.
pub(crate) fn twice(text: &str) -> Vec<String> {
    let fields = text.lines().filter(|line| line.contains("\": ") && !line.ends_with(['{', '[']));
    let doubled = |line: &str| {
        let comma = if line.ends_with(',') { "" } else { "," };
        text.replacen(line, &format!("{line}{comma}\n{line}"), 1)
    };
    fields.map(doubled).collect()
}

/// The document with values of any kind at several places.
pub(crate) fn damaged(whole: &Value) -> impl Strategy<Value = Value> + use<> {
    let (whole, places) = (whole.clone(), places(whole));
    let known: Vec<Value> = places.iter().filter_map(|place| whole.pointer(place)).cloned().collect();
    let value = prop_oneof![
        prop::sample::select(absurd()),
        prop::sample::select(numbers()),
        prop::sample::select(known),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    prop::collection::vec((prop::sample::select(places), value), 1..4).prop_map(move |changes| {
        let mut damaged = whole.clone();
        for (place, value) in changes {
            // An earlier change may have removed the place.
            if let Some(found) = damaged.pointer_mut(&place) {
                *found = value;
            }
        }
        damaged
    })
}
