//! The receipt as one JSON value: what accelerates a system is in its field `details`, not in a line after the document.

use serde_json::{Deserializer, Value};

pub(crate) fn to_value(text: &str) -> Value {
    let mut documents = Deserializer::from_str(text).into_iter();
    let mut receipt: Value = documents.next().unwrap().unwrap();
    let systems = receipt.get_mut("accelerations").and_then(Value::as_object_mut);
    for system in systems.into_iter().flat_map(serde_json::Map::values_mut) {
        system["details"] = documents.next().unwrap().unwrap();
    }
    assert!(documents.next().is_none(), "{text}");
    receipt
}

/// Returns the document, and the lines after it.
pub(crate) fn split(mut receipt: Value) -> (Value, Vec<Value>) {
    let systems = receipt.get_mut("accelerations").and_then(Value::as_object_mut);
    let systems = systems.into_iter().flat_map(serde_json::Map::values_mut);
    let lines = systems.filter_map(|system| system.as_object_mut()?.remove("details")).collect();
    (receipt, lines)
}

pub(crate) fn to_text(receipt: Value) -> String {
    let (document, lines) = split(receipt);
    let texts: Vec<_> = [document].iter().chain(&lines).map(ToString::to_string).collect();
    texts.join("\n") + "\n"
}
