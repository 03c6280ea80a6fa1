//! A Redis in memory, as much of it as the crate uses, that runs the very scripts that Redis runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use mlua::{Lua, MultiValue, Table, Variadic};
use redis::Value;
use tokio::time::Instant;

use crate::scripts::Step;

/// Any time does, as long as it has ten digits before the point as the times have that the peers
/// write.
const EPOCH_MICROS: u64 = 1_795_209_900_123_456;

#[derive(Clone, Debug)]
enum Stored {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

#[derive(Clone, Debug)]
struct Entry {
    stored: Stored,
    expires_at_ms: Option<u64>,
}

pub(super) struct Store {
    entries: Mutex<BTreeMap<Vec<u8>, Entry>>,
    started: Instant,
}

impl Store {
    pub(super) fn now_micros(&self) -> u64 {
        EPOCH_MICROS + u64::try_from(self.started.elapsed().as_micros()).unwrap()
    }

    pub(super) fn now_seconds(&self) -> f64 {
        std::time::Duration::from_micros(self.now_micros()).as_secs_f64()
    }

    /// Executes a command at one instant, as Redis does.
    pub(super) fn call(&self, args: &[Vec<u8>]) -> Value {
        let now_ms = self.now_micros() / 1_000;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.expires_at_ms.is_none_or(|at| at > now_ms));
        let text = |index: usize| String::from_utf8(args[index].clone()).unwrap();
        let number =
            |index: usize| text(index).parse::<u64>().unwrap_or_else(|_| panic!("{args:?}"));
        match text(0).to_ascii_uppercase().as_str() {
            "TIME" => {
                let micros = self.now_micros();
                Value::Array(vec![
                    bulk((micros / 1_000_000).to_string()),
                    bulk((micros % 1_000_000).to_string()),
                ])
            }
            "GET" => get(&entries, &args[1]),
            "MGET" => Value::Array(args[1..].iter().map(|key| get(&entries, key)).collect()),
            "SET" => {
                let expires_at_ms = (args.len() > 3 && text(3) == "PX").then(|| now_ms + number(4));
                entries.insert(
                    args[1].clone(),
                    Entry { stored: Stored::Text(args[2].clone()), expires_at_ms },
                );
                Value::Okay
            }
            "SETNX" => {
                let is_free = !entries.contains_key(&args[1]);
                if is_free {
                    let stored = Stored::Text(args[2].clone());
                    entries.insert(args[1].clone(), Entry { stored, expires_at_ms: None });
                }
                Value::Int(i64::from(is_free))
            }
            "GETSET" => {
                let before = get(&entries, &args[1]);
                let stored = Stored::Text(args[2].clone());
                entries.insert(args[1].clone(), Entry { stored, expires_at_ms: None });
                before
            }
            "DEL" => Value::Int(i64::from(entries.remove(&args[1]).is_some())),
            "PTTL" => Value::Int(match entries.get(&args[1]).map(|entry| entry.expires_at_ms) {
                None => -2,
                Some(None) => -1,
                Some(Some(at)) => i64::try_from(at - now_ms).unwrap(),
            }),
            "PEXPIRE" => match entries.get_mut(&args[1]) {
                None => Value::Int(0),
                Some(entry) => {
                    entry.expires_at_ms = Some(now_ms + number(2));
                    Value::Int(1)
                }
            },
            "HSET" => {
                hash(&mut entries, &args[1]).insert(args[2].clone(), args[3].clone());
                Value::Int(1)
            }
            "HDEL" => {
                Value::Int(i64::from(hash(&mut entries, &args[1]).remove(&args[2]).is_some()))
            }
            "HGETALL" => {
                let fields = hash(&mut entries, &args[1]).iter();
                Value::Array(fields.flat_map(|(name, value)| [bulk(name), bulk(value)]).collect())
            }
            "SMEMBERS" => Value::Array(Vec::new()),
            "SCAN" => {
                Value::Array(vec![bulk("0"), Value::Array(entries.keys().map(bulk).collect())])
            }
            other => panic!("the store in memory has no {other}"),
        }
    }
}

fn get(entries: &BTreeMap<Vec<u8>, Entry>, key: &[u8]) -> Value {
    match entries.get(key).map(|entry| &entry.stored) {
        Some(Stored::Text(text)) => bulk(text),
        _ => Value::Nil,
    }
}

fn hash<'a>(
    entries: &'a mut BTreeMap<Vec<u8>, Entry>,
    key: &[u8],
) -> &'a mut BTreeMap<Vec<u8>, Vec<u8>> {
    let empty = Entry { stored: Stored::Hash(BTreeMap::new()), expires_at_ms: None };
    match &mut entries.entry(key.to_vec()).or_insert(empty).stored {
        Stored::Hash(fields) => fields,
        Stored::Text(_) => panic!("no hash"),
    }
}

fn bulk(text: impl AsRef<[u8]>) -> Value {
    Value::BulkString(text.as_ref().to_vec())
}

/// The store with its Lua.
pub(super) struct Server {
    pub(super) store: Arc<Store>,
    lua: Lua,
    compiled: Mutex<HashMap<&'static str, mlua::Function>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let store =
            Arc::new(Store { entries: Mutex::new(BTreeMap::new()), started: Instant::now() });
        let lua = Lua::new();
        let called = Arc::clone(&store);
        let call = lua
            .create_function(move |lua, args: Variadic<mlua::Value>| {
                let args: Vec<Vec<u8>> = args.iter().map(argument).collect();
                to_lua(lua, &called.call(&args))
            })
            .unwrap();
        let redis = lua.create_table().unwrap();
        redis.set("call", call).unwrap();
        lua.globals().set("redis", redis).unwrap();
        Self { store, lua, compiled: Mutex::new(HashMap::new()) }
    }

    pub(super) fn script(
        &self,
        step: &'static Step,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Value {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let function = compiled
            .entry(step.text)
            .or_insert_with(|| self.lua.load(step.text).into_function().unwrap())
            .clone();
        drop(compiled);
        self.lua.globals().set("KEYS", keys).unwrap();
        self.lua.globals().set("ARGV", args).unwrap();
        let answer: MultiValue = function.call(()).unwrap();
        from_lua(answer.into_iter().next().unwrap_or(mlua::Value::Nil))
    }
}

fn argument(value: &mlua::Value) -> Vec<u8> {
    match value {
        mlua::Value::String(text) => text.as_bytes().to_vec(),
        mlua::Value::Integer(number) => number.to_string().into_bytes(),
        mlua::Value::Number(number) => number.to_string().into_bytes(),
        other => panic!("redis.call got {other:?}"),
    }
}

fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<mlua::Value> {
    Ok(match value {
        Value::Nil => mlua::Value::Boolean(false),
        Value::Int(number) => mlua::Value::Integer(*number),
        Value::BulkString(text) => mlua::Value::String(lua.create_string(text)?),
        Value::Array(items) => {
            let table = lua.create_table()?;
            for item in items {
                table.push(to_lua(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
        _ => mlua::Value::Boolean(true),
    })
}

/// As Redis turns a script's answer into a reply: numbers lose their fraction.
#[expect(clippy::cast_possible_truncation, reason = "that is what Redis does")]
fn from_lua(value: mlua::Value) -> Value {
    match value {
        mlua::Value::Integer(number) => Value::Int(number),
        mlua::Value::Number(number) => Value::Int(number as i64),
        mlua::Value::String(text) => bulk(&*text.as_bytes()),
        mlua::Value::Table(table) => {
            Value::Array(items(&table).into_iter().map(from_lua).collect())
        }
        _ => Value::Nil,
    }
}

fn items(table: &Table) -> Vec<mlua::Value> {
    table.sequence_values().map(Result::unwrap).collect()
}
