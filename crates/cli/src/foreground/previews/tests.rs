//! A picture that is newer than what was seen may be one of another run, or stand behind a block whose end
//! is on its way: printed then, text would be out of order.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use clap::Parser;
use serde_json::{Value, json};
use worker_runtime_core::{Cursor, WorkerId};

use super::take;
use crate::{
    args::Cli,
    output::Printer,
    target::{self, Current},
};

const CURSOR: &str = "c166612b0fe97346fa00000000000000133f948ccf4d9bb8b9";
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A server that gives these answers, whatever it is asked; and what it was asked.
fn serving(answers: Vec<Value>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let asked = answers.into_iter().map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let body = answer.to_string();
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
            head[0].clone()
        });
        asked.collect()
    };
    (url, std::thread::spawn(serve))
}

fn transcript(unfinished: &Value) -> Value {
    json!({
        "worker_id": ID, "items": [], "gap": null, "items_total": 3, "items_total_exact": true,
        "next": null, "previous": null, "unfinished": unfinished, "unfinished_damaged": null,
        "cursor": CURSOR,
    })
}

fn events(events: &Value, gap: &Value) -> Value {
    json!({
        "runtime_id": ID, "start": CURSOR, "gap": gap, "events": events, "next": CURSOR,
        "up_to_date": true,
    })
}

fn taken(answers: Vec<Value>) -> (Option<Vec<String>>, Vec<String>) {
    let (url, asked) = serving(answers);
    let global = Cli::parse_from(["worker-runtime", "--server", &url, "status"]).global;
    let server = target::server(&global, &Printer::new(&global))
        .unwrap()
        .unwrap();
    let current = Current::new(server.remote.clone());
    let worker_id: WorkerId = ID.parse().unwrap();
    let after: Cursor = CURSOR.parse().unwrap();
    let picture = server.block_on(async { Ok(take(&current, worker_id, after).await) });
    let Ok(picture) = picture else {
        panic!("it can't fail");
    };
    let texts = picture.map(|picture| {
        assert_eq!(picture.after, after);
        picture.blocks.into_iter().map(|block| block.text).collect()
    });
    (texts, asked.join().unwrap())
}

#[test]
fn a_picture_counts_only_when_nothing_had_happened_before_it() {
    let grown = json!([{ "block": "1.0", "kind": "text", "text": "half", "offset_bytes": 4 }]);
    let event = json!({
        "cursor": CURSOR, "runtime_id": ID, "worker_id": ID, "seq": 9, "position": 20,
        "at": "2026-01-02T03:04:05.678Z", "type": "run.finished", "run_id": ID, "data": {},
    });
    let gap = json!({
        "cause": "retention", "from": 1, "to": 3, "seqs": null, "code": null, "cursor": CURSOR,
    });
    let (nothing, none) = (json!([]), Value::Null);

    let (texts, asked) = taken(vec![transcript(&grown), events(&nothing, &none)]);
    assert_eq!(texts, Some(vec!["half".to_owned()]), "{asked:?}");
    assert!(asked[0].contains("/transcript?"), "{asked:?}");
    assert!(
        asked[1].contains(&format!("/events?cursor={CURSOR}")),
        "{asked:?}"
    );

    let (texts, _) = taken(vec![transcript(&grown), events(&json!([event]), &none)]);
    assert_eq!(texts, None, "an event was on its way");
    let (texts, _) = taken(vec![transcript(&grown), events(&nothing, &gap)]);
    assert_eq!(texts, None, "a gap was on its way");
    let (texts, asked) = taken(vec![transcript(&nothing)]);
    assert_eq!(
        (texts, asked.len()),
        (None, 1),
        "nothing grows, and nothing more is asked"
    );
}
