//! docs/configuration.md: every key, written from the types and the comments here. `UPDATE=1 cargo test -p salt402-cli --lib
//! reference` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use salt402_chain::Profile;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The tables in the order in which an operator needs them; `NAME` is a name of the operator's choice.
const TABLES: [&str; 41] = [
    "",
    "chains.NAME",
    "chains.NAME.nodes[]",
    "chains.NAME.policy",
    "chains.NAME.policy.depths[]",
    "chains.NAME.policy.exposure[]",
    "chains.NAME.policy.second_node[]",
    "chains.NAME.depths[]",
    "chains.NAME.sources[]",
    "payment",
    "payment.signatures",
    "verifier",
    "verifier.connections",
    "limits",
    "limits.per_account",
    "limits.per_address",
    "forward_auth",
    "forward_auth.routes[]",
    "gateway",
    "gateway.models.NAME",
    "gateway.models.NAME.adjustments[]",
    "gateway.routes[]",
    "gateway.usd",
    "gateway.keys",
    "gateway.keys.plans[]",
    "gateway.services[]",
    "gateway.services[].paths[]",
    "gateway.connections",
    "facilitator",
    "facilitator.keys[]",
    "facilitator.callers.NAME",
    "facilitator.callers.NAME.rate",
    "facilitator.chains.NAME",
    "facilitator.chains.NAME.tokens[]",
    "facilitator.chains.NAME.keys[]",
    "facilitator.chains.NAME.citrate",
    "facilitator.gas",
    "facilitator.gas_per_day",
    "facilitator.connections",
    "webhook",
    "chains.NAME.overrides",
];

const BEGINNING: &str = "# Configuration

Every key of the configuration file. A test writes this page from the code. `salt402 config example` prints a file to start from, and
`salt402 config check` says what a file means, or which key is wrong and why.

- The file is TOML, by default `salt402.toml`. `NAME` in a table is a name of your choice. Paths are relative to the file.
- Any value can come from the environment instead: `SALT402__VERIFIER__LISTEN='\"127.0.0.1:9000\"'` is `listen` in `[verifier]`.
- Secrets never stand in the file. They come from files that it names, or from the environment ([running.md](running.md#secrets)).
- An **amount** is a text such as `\"0.001 SALT\"`, in the coin or token of `[payment]`; or a whole number of base units in a text.
- A key with the default *needed* must be there where its table is. Where the default is –, the text says what holds without the key.
";

const OVERRIDES: &str = "Single values of a network, in place of its own. You seldom need them. The first table says what each is. The second has
the values of the networks.
";

/// What a key is.
struct Key {
    kind: String,
    default: String,
    meaning: String,
}

/// The keys of every table, by its path.
type Tables = BTreeMap<String, BTreeMap<String, Key>>;

fn tables() -> Tables {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    let mut tables = Tables::new();
    gather("", &schema, &mut tables);
    tables.remove("chains.NAME.overrides");
    tables
}

/// The schema of an optional value.
fn given(schema: &Value) -> &Value {
    let alternatives = schema["anyOf"].as_array().filter(|any| any.iter().any(|one| one["type"] == "null"));
    alternatives.and_then(|any| any.iter().find(|one| one["type"] != "null")).unwrap_or(schema)
}

/// The content of a table, and the tables in it.
fn gather(path: &str, schema: &Value, tables: &mut Tables) {
    let needed: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut keys = BTreeMap::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let found = given(property);
        let kind = if found["properties"].is_object() {
            gather(&inner, found, tables);
            format!("table, see {}", link(&inner))
        } else if found["items"]["properties"].is_object() {
            gather(&format!("{inner}[]"), &found["items"], tables);
            format!("list of tables, see {}", link(&format!("{inner}[]")))
        } else if name == "image_sizes" {
            "table of amounts".to_owned()
        } else if found["additionalProperties"].is_object() {
            let (inner, kind) = if name == "overrides" {
                (inner.clone(), "table")
            } else {
                (format!("{inner}.NAME"), "tables")
            };
            gather(&inner, &found["additionalProperties"], tables);
            format!("{kind}, see {}", link(&inner))
        } else {
            kind(name, found)
        };
        let default = match &property["default"] {
            _ if needed.contains(name.as_str()) => "*needed*".to_owned(),
            Value::Null => "–".to_owned(),
            Value::Array(items) if items.is_empty() => "–".to_owned(),
            Value::Object(_) => "–".to_owned(),
            value => format!("`{value}`"),
        };
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        assert!(meaning.ends_with('.'), "{inner}: {meaning:?} is no sentence");
        keys.insert(name.clone(), Key { kind, default, meaning });
    }
    tables.insert(path.to_owned(), keys);
}

/// The type of a key's value, with its unit.
fn kind(name: &str, schema: &Value) -> String {
    if let Some(any) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let kinds: BTreeSet<String> = any.iter().map(|one| kind(name, one)).collect();
        return kinds.into_iter().collect::<Vec<_>>().join(" or ");
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`\"{word}\"`");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> =
            words.iter().filter(|word| !word.is_null()).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    let is = |wanted: &str| {
        schema["type"] == wanted
            || schema["type"].as_array().is_some_and(|all| all.iter().any(|one| one == wanted))
    };
    let units = [
        ("_bytes_s", "bytes a second"),
        ("_s", "seconds"),
        ("_ms", "milliseconds"),
        ("_bytes", "bytes"),
        ("_bytes_per_address", "bytes"),
        ("_mib", "MiB"),
        ("_tokens", "tokens"),
        ("confirmations", "blocks"),
        ("start_block", "number of a block"),
    ];
    if is("array") {
        format!("list of {}s", kind(name, &schema["items"]))
    } else if is("integer") {
        units.iter().find(|(end, _)| name.ends_with(end)).map_or("number", |(_, unit)| unit).to_owned()
    } else if is("boolean") {
        "`true` or `false`".to_owned()
    } else if schema["description"].as_str().is_some_and(|text| text.contains(": an amount."))
        || name.starts_with("price")
        || ["from", "most", "low_water"].contains(&name)
    {
        "amount".to_owned()
    } else if is("string") {
        if schema["format"] == "uri" { "URL" } else { "text" }.to_owned()
    } else {
        panic!("{name}: {schema}")
    }
}

/// A table as TOML writes its head.
fn head(path: &str) -> String {
    match path.strip_suffix("[]") {
        Some(list) => format!("[[{}]]", list.replace("[]", "")),
        None => format!("[{path}]"),
    }
}

fn link(path: &str) -> String {
    let anchor: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    format!("[`{}`](#{})", head(path), anchor.to_lowercase())
}

/// The fields of a network, with their comments, from the file that defines them.
fn network_keys() -> Vec<(String, String)> {
    let source = std::fs::read_to_string(root().join("chain/src/profile.rs")).expect("the profiles' source");
    let (_, rest) = source.split_once("\npub struct Profile {\n").expect("the type");
    let (fields, _) = rest.split_once("\n}\n").expect("its end");
    let (mut keys, mut comment) = (Vec::new(), Vec::new());
    for line in fields.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            comment.push(said.trim());
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split(':').next().expect("a name").to_owned();
            keys.push((name, std::mem::take(&mut comment).join(" ").replace("`None`:", "Left out:")));
        }
    }
    keys.retain(|(name, _)| name != "name");
    keys
}

fn page() -> String {
    let tables = tables();
    let mut page = BEGINNING.to_owned();
    let mut printed: Vec<(&str, String)> = Vec::new();
    for path in TABLES {
        let title = if path.is_empty() { "Above all tables".to_owned() } else { format!("`{}`", head(path)) };
        let _ = write!(page, "\n## {title}\n\n");
        if path == "chains.NAME.overrides" {
            page.push_str(OVERRIDES);
            networks(&mut page);
            continue;
        }
        let mut rows = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
        for (name, key) in &tables[path] {
            let _ = writeln!(rows, "| `{name}` | {} | {} | {} |", key.kind, key.default, key.meaning);
        }
        match printed.iter().find(|(_, same)| *same == rows) {
            Some((other, _)) => {
                let _ = writeln!(page, "The same keys as in {}.", link(other));
            }
            None => page.push_str(&rows),
        }
        printed.push((path, rows));
    }
    page
}

/// What each field of a network means, and which value each network has.
fn networks(page: &mut String) {
    page.push_str("\n| key | meaning |\n| --- | --- |\n");
    let keys = network_keys();
    for (name, meaning) in &keys {
        let _ = writeln!(page, "| `{name}` | {meaning} |");
    }
    let names = Profile::names();
    let _ = write!(page, "\n| key | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    let profiles: Vec<Value> = names
        .iter()
        .map(|name| serde_json::to_value(Profile::named(name).expect("a network")).expect("its values"))
        .collect();
    for (name, _) in &keys {
        let value = |profile: &Value| match &profile[name] {
            Value::Null => "–".to_owned(),
            Value::Object(costs) if costs.is_empty() => "–".to_owned(),
            Value::Object(costs) => {
                let cost = |(method, cost): (&String, &Value)| format!("`{method} = {cost}`");
                costs.iter().map(cost).collect::<Vec<_>>().join(", ")
            }
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let values: Vec<String> = profiles.iter().map(value).collect();
        let _ = writeln!(page, "| `{name}` | {} |", values.join(" | "));
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_documented_configuration_is_that_of_the_code() {
    let known: BTreeSet<String> = tables().into_keys().chain(["chains.NAME.overrides".to_owned()]).collect();
    let listed: BTreeSet<String> = TABLES.map(ToOwned::to_owned).into();
    assert_eq!(known, listed, "a table is not on the page, or is none");
    let (file, page) = (root().join("docs/configuration.md"), page());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).expect("docs/configuration.md");
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == page, "docs/configuration.md is not current: UPDATE=1 writes it");
}

/// Every key of the example, those in comments too, is a key of the configuration.
#[test]
fn every_key_of_the_example_is_documented() {
    let mut tables = tables();
    let networks = tables.entry("chains.NAME.overrides".to_owned()).or_default();
    for (name, meaning) in network_keys() {
        networks.insert(name, Key { kind: String::new(), default: String::new(), meaning });
    }
    let (mut table, mut keys) = (String::new(), 0);
    for line in include_str!("../../example.toml").lines() {
        let line = line.strip_prefix("# ").unwrap_or(line).trim();
        if line.starts_with('[') && line.ends_with(']') {
            let list = if line.starts_with("[[") { "[]" } else { "" };
            let mut parts: Vec<&str> = line.trim_matches(['[', ']']).split('.').collect();
            for (index, holder) in [(1, "chains"), (2, "models"), (2, "callers"), (2, "chains")] {
                if parts.get(index - 1) == Some(&holder) && parts.len() > index {
                    parts[index] = "NAME";
                }
            }
            if parts.starts_with(&["gateway", "services"]) && parts.len() > 2 {
                parts[1] = "services[]";
            }
            table = format!("{}{list}", parts.join("."));
            assert!(tables.contains_key(&table), "{line} is no table: {table}");
        } else if let Some((name, value)) = line.split_once(" = ")
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            assert!(tables[&table].contains_key(name), "{name} is no key of [{table}]");
            keys += 1;
            // Those of tables in the line.
            let value: toml::Table =
                toml::from_str(&format!("value = {value}")).unwrap_or_else(|error| panic!("{line}: {error}"));
            let inner = match &value["value"] {
                toml::Value::Array(items) => {
                    items.first().and_then(|item| item.as_table()).map(|t| (t, "[]"))
                }
                toml::Value::Table(fields) => Some((fields, "")),
                _ => None,
            };
            let (fields, list) = inner.map_or((None, ""), |(fields, list)| (Some(fields), list));
            for field in fields.into_iter().flat_map(|fields| fields.keys()) {
                let path = format!("{table}.{name}{list}");
                assert!(tables[&path].contains_key(field), "{field} is no key of {path}");
                keys += 1;
            }
        }
    }
    assert!(keys > 50, "{keys} keys were found in the example");
}
