//! Previews of blocks that have not ended, and the transcript that they join (I10); each test on both transports.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    host::{DEADLINE, Host, text},
    streams::{check_ids, open},
    watch::{BOTH, Frame, Watch},
};

/// What `drip` says in all.
const DRIPPED: &str = "dro\u{70} \u{e9} by drop DRIP";

/// Joins what previews say to what is known of a block already.
fn join(live: &mut String, delta: &Value) {
    let text = delta["text"].as_str().unwrap();
    match delta["op"].as_str().unwrap() {
        "append" => {
            let offset = delta["offset_bytes"].as_u64().unwrap() as usize;
            assert!(offset <= live.len(), "{delta} leaves out some of {live:?}");
            live.truncate(offset);
            live.push_str(text);
        }
        "replace" => text.clone_into(live),
        other => panic!("{other}"),
    }
}

/// Frames until what previews say, joined to what was known, is all that will be said.
async fn until_said(watch: &mut Watch, live: &mut String, whole: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let until = Instant::now() + DEADLINE;
    while live != whole {
        let frame = watch.next().await.expect("the stream goes on");
        assert!(Instant::now() < until, "{live:?} of {whole:?}");
        assert_ne!(
            frame.data["type"], "block.finished",
            "{live:?} of {whole:?}"
        );
        if frame.name == "delta" {
            join(live, &frame.data);
        }
        frames.push(frame);
    }
    frames
}

async fn transcript(host: &Host, worker: &str) -> Value {
    host.get(&format!("/v1/workers/{worker}/transcript"))
        .await
        .json()
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_join_to_the_text_and_have_no_id() {
    let host = Host::start().await;
    for transport in BOTH {
        let worker = host.worker().await;
        let path = format!("/v1/workers/{worker}/events?deltas=true");
        let mut watch = open(&host, &path, transport).await;
        watch.until("up_to_date").await;
        host.post(&format!("/v1/workers/{worker}/input"), text("drip", "drip"))
            .await;
        let mut live = String::new();
        let frames = until_said(&mut watch, &mut live, DRIPPED).await;
        check_ids(&frames, transport);
        let deltas = frames.iter().filter(|frame| frame.name == "delta");
        let mut len = 0;
        for delta in deltas.clone().map(|frame| &frame.data) {
            let added = delta["text"].as_str().unwrap().len();
            len = match delta["op"] == "append" {
                true => {
                    assert_eq!(delta["offset_bytes"], json!(len), "{frames:?}");
                    len + added
                }
                false => added,
            };
        }
        assert!(deltas.count() >= 2, "{frames:?}");
        host.go_on.notify_one();
        let ended = |frame: &Frame| frame.data["type"] == "block.finished";
        let rest = watch.until_that(ended).await;
        let event = &rest.last().unwrap().data;
        let whole = event["data"]["text"].as_str().unwrap();
        assert_eq!(whole, live);
        let page = transcript(&host, &worker).await;
        let items = page["items"].as_array().unwrap();
        let said = items
            .iter()
            .find(|item| item["seq"] == event["seq"])
            .unwrap();
        assert_eq!(said["text"], json!(whole), "{page}");
        assert_eq!(page["unfinished"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_in_mid_block_goes_on_with_the_previews_that_follow() {
    let host = Host::start().await;
    for transport in BOTH {
        let worker = host.worker().await;
        host.post(
            &format!("/v1/workers/{worker}/input"),
            text("drip", "trickle"),
        )
        .await;
        let page = loop {
            let page = transcript(&host, &worker).await;
            if page["unfinished"][0]["offset_bytes"].as_u64() >= Some(3) {
                break page;
            }
        };
        let open_block = &page["unfinished"][0];
        let mut joined = open_block["text"].as_str().unwrap().to_owned();
        assert_eq!(open_block["offset_bytes"], json!(joined.len()));
        let cursor = page["cursor"].as_str().unwrap();
        let path = format!("/v1/workers/{worker}/events?deltas=true&cursor={cursor}");
        let mut watch = open(&host, &path, transport).await;
        let whole_then = format!("{}TRICKLE", DRIPPED.trim_end_matches("DRIP").repeat(10));
        let frames = until_said(&mut watch, &mut joined, &whole_then).await;
        let deltas = frames.iter().filter(|frame| frame.name == "delta");
        assert!(
            deltas.clone().count() > 0,
            "nothing was left to say: {page}"
        );
        for delta in deltas {
            assert_eq!(delta.data["block"], open_block["block"], "{page}");
        }
        host.go_on.notify_one();
        let frames = watch
            .until_that(|frame| frame.data["type"] == "block.finished")
            .await;
        let whole = frames.last().unwrap().data["data"]["text"]
            .as_str()
            .unwrap();
        assert_eq!(whole, joined);
        let ended = transcript(&host, &worker).await;
        assert_eq!(ended["unfinished"], json!([]));
        let last = ended["items"].as_array().unwrap().last().unwrap();
        assert_eq!(last["text"], json!(whole), "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_that_is_known_is_not_sent_again() {
    let host = Host::start().await;
    let worker = host.worker().await;
    let other = host.worker().await;
    let path = format!("/v1/workers/{worker}/transcript");
    let seen = host.get(&path).await;
    let tag = seen.header("etag").to_owned();
    let known = async || {
        let ask = host.ask(hyper::Method::GET, &path).token(&host.observe);
        ask.header("if-none-match", &tag).send().await
    };
    assert_eq!(known().await.status, hyper::StatusCode::NOT_MODIFIED);
    crate::streams::say(&host, &other, "elsewhere").await;
    let reply = known().await;
    assert_eq!(
        reply.status,
        hyper::StatusCode::NOT_MODIFIED,
        "the Runtime went on, this did not"
    );
    assert!(reply.bytes.is_empty());
    assert_ne!(reply.header("x-cursor"), seen.header("x-cursor"));
    assert_eq!(reply.header("etag"), tag);
    crate::streams::say(&host, &worker, "here").await;
    let reply = known().await;
    assert_eq!(reply.status, hyper::StatusCode::OK);
    assert_ne!(reply.header("etag"), tag);
    assert_eq!(
        reply.header("x-cursor"),
        reply.json()["cursor"].as_str().unwrap()
    );
}
