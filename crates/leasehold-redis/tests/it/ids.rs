//! Lock ids against the real `gen_unique_id`.

use leasehold_python_json::Json;
use leasehold_redis::{keyed_lock_id, lock_id};
use serde_json::{Value, json};

use crate::support::{Peer, RedisServer, Venv};

#[test]
fn ids_are_those_of_tasktiger() {
    let server = RedisServer::start();
    let mut random = fastrand::Rng::with_seed(7);
    let mut cases: Vec<(String, Value, Value)> = vec![
        ("m:f".to_owned(), json!([]), json!({})),
        ("m:f".to_owned(), Value::Null, json!({"a": null, "b": [1.0, 1e16, 1e-5, -0.0]})),
        (
            "módulo:ƒ😀".to_owned(),
            json!(["\u{7f}", "\u{2028}", "é😀\u{ffff}\"\\/\n"]),
            json!({"😀": 1, "\u{ffff}": 2}),
        ),
    ];
    for _ in 0..500 {
        cases.push((
            "m:f".to_owned(),
            random_json(&mut random, 3),
            json!({"k": random_json(&mut random, 3)}),
        ));
    }
    for venv in [Venv::TaskTiger012, Venv::TaskTiger026] {
        let mut peer = Peer::start(&server, venv);
        let answer = peer.ask(&json!({"op": "lock-id", "cases": cases}));
        let theirs: Vec<String> = serde_json::from_value(answer["ok"].clone()).unwrap();
        for ((func, args, kwargs), theirs) in cases.iter().zip(theirs) {
            let [args_json, kwargs_json] =
                [args, kwargs].map(|value| Json::parse(&value.to_string()).unwrap().into_owned());
            assert_eq!(lock_id(func, &args_json, &kwargs_json), theirs, "{func} {args} {kwargs}");
        }
    }
    let kwargs = Json::parse(r#"{"user": 7, "rest": "x"}"#).unwrap();
    let expected = lock_id("m:f", &Json::Null, &Json::parse(r#"{"user":7,"gone":null}"#).unwrap());
    assert_eq!(keyed_lock_id("m:f", &kwargs, ["gone", "user"]).unwrap(), expected);
}

fn random_json(random: &mut fastrand::Rng, depth: u32) -> Value {
    match random.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(f64::from_bits(random.u64(..))),
        4 => json!((0..random.usize(..6)).map(|_| random.char(..)).collect::<String>()),
        5 => (0..random.usize(..4)).map(|_| random_json(random, depth - 1)).collect(),
        _ => {
            let entries = (0..random.usize(..4))
                .map(|_| (random.char(..).to_string(), random_json(random, depth - 1)));
            Value::Object(entries.collect())
        }
    }
}
