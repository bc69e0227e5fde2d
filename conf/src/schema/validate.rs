//! As much of JSON Schema as the two schemas use, to hold them against files.

use serde_json::Value;

/// What the schema finds wrong with a value. Patterns are left to editors.
pub(super) fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |good: bool, what: &str| {
        if !good {
            faults.push(format!("{at}: {what}"));
        }
    };
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let length = match value {
        Value::Array(elements) => elements.len() as i64,
        _ => 0,
    };
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" => {
                let number = rule == "number" && kind(value) == "integer";
                check(number || kind(value) == rule.as_str().unwrap(), "type");
            }
            "enum" => check(rule.as_array().unwrap().contains(value), "enum"),
            "minimum" => check(value.as_f64().is_none_or(|it| it >= number(keyword).unwrap()), "minimum"),
            "maximum" => check(value.as_f64().is_none_or(|it| it <= number(keyword).unwrap()), "maximum"),
            "multipleOf" => {
                check(value.as_f64().is_none_or(|it| it % number(keyword).unwrap() == 0.0), "multipleOf")
            }
            "minItems" => check(!value.is_array() || length as f64 >= number(keyword).unwrap(), "minItems"),
            "maxItems" => check(!value.is_array() || length as f64 <= number(keyword).unwrap(), "maxItems"),
            "required" => {
                for key in rule.as_array().unwrap() {
                    check(value.get(key.as_str().unwrap()).is_some(), &format!("{key} is missing"));
                }
            }
            "additionalProperties" => {
                for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    check(schema["properties"].get(key).is_some(), &format!("{key} is unknown"));
                }
            }
            "anyOf" => {
                let fits = |schema: &Value| self::faults(schema, value, at).is_empty();
                check(rule.as_array().unwrap().iter().any(fits), "anyOf");
            }
            "properties" | "items" | "pattern" | "default" | "description" | "title" | "$schema"
            | "minLength" | "maxLength" => {}
            other => panic!("the schema uses {other}, which is not checked here"),
        }
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        faults.extend(faults_of(schema.get("items"), element, &format!("{at}[{index}]")));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        faults.extend(faults_of(
            schema.get("properties").and_then(|all| all.get(key)),
            value,
            &format!("{at}.{key}"),
        ));
    }
    faults
}

fn faults_of(schema: Option<&Value>, value: &Value, at: &str) -> Vec<String> {
    schema.map(|schema| faults(schema, value, at)).unwrap_or_default()
}

/// The keys of every table that the schema describes.
pub(super) fn keys(schema: &Value, tables: &mut Vec<Vec<String>>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        tables.push(properties.keys().cloned().collect());
        for property in properties.values() {
            keys(property, tables);
        }
    }
    if let Some(items) = schema.get("items") {
        keys(items, tables);
    }
    for variant in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        keys(variant, tables);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
