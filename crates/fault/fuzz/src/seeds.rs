//! Writes what each target begins with: `seeds DIRECTORY` makes `DIRECTORY/TARGET/NAME`.

use std::{env, error::Error, fs, path::Path};

use worker_runtime_core::{
    Cursor, Generation, LeaseId, OperationId, Position, RuntimeId, Seq, Stream,
    store::conformance::{
        Script, lease_record, operation_record, receipt_record, unfinished_record, worker_record,
    },
};
use worker_runtime_persist::fuzzing::{sample_pack, sample_record};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args().nth(1).ok_or("usage: seeds DIRECTORY")?;
    let directory = Path::new(&directory);
    for (target, seeds) in [
        ("records", records()),
        ("cursors", cursors()),
        ("scopes", scopes()),
        ("lines", lines()),
        ("state", state()),
    ] {
        let directory = directory.join(target);
        fs::create_dir_all(&directory)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}

fn records() -> Vec<Vec<u8>> {
    let mut script = Script::new(3);
    let ids = [script.worker(), script.worker()];
    let batch = script.batch(&ids, 6, 60);
    let own: Vec<_> = script.of(Stream::Worker(ids[0]));
    let with = |kind: u8, payload: Vec<u8>| [&[kind], payload.as_slice()].concat();
    vec![
        with(0, sample_record(&worker_record(ids[0]))),
        with(2, sample_record(&unfinished_record(ids[0], Seq(3)))),
        with(3, sample_record(&receipt_record(Seq(3)))),
        with(8, sample_record(&Vec::<(u64, u64)>::new())),
        with(9, sample_record(&(1_u64, Position(2)))),
        with(12, sample_pack(true, &batch.events)),
        with(13, sample_pack(false, &own)),
        with(
            14,
            sample_record(&lease_record(LeaseId::from_bytes([3; 16]))),
        ),
        with(15, sample_record(&operation_record(OperationId(3)))),
        with(
            20,
            [ids[0].to_bytes().as_slice(), &7_u64.to_be_bytes()].concat(),
        ),
        with(40, b"\x03\0\0\0\x05payload".to_vec()),
        with(200, sample_record(&Generation(4))),
    ]
}

fn cursors() -> Vec<Vec<u8>> {
    let runtime_id = RuntimeId::from_bytes([1; 16]);
    let cursor = Cursor::new(runtime_id, Stream::Runtime, Position(300), 7);
    vec![cursor.to_string().into_bytes(), vec![9; 46]]
}

fn scopes() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"allow":[{"mount":"m","path":"a/../b","permission":"write","recursive":false}]}"#,
        r#"{"allow":[{"mount":"root","permission":"read"}],"deny":[{"mount":"m","path":"./x//y","permission":"read"}]}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    seeds.push(vec![2, 0x31, 0x3a, 1, 0x12, 2, 0x3e, 0x05, 0]);
    seeds
}

fn lines() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 4] = [
        b"\x05\xff{\"type\":\"hello\",\"protocol\":1}\n{\"type\":\"end\",\"run_id\":\"r\",\"reason\":\"error\",\"message\":\"no\"}\r\n",
        b"\x20\xff{\"type\":\"block_start\",\"block\":\"b\",\"kind\":\"text\"}\n{\"type\":\"delta\",\"block\":\"b\",\"text\":\"x\"}\n",
        b"\x01\x04123456789\nnext\n1234\r\n12345\r\n",
        b"\x40\xff{\"type\":\"action\",\"action_id\":\"a\",\"options\":[\"y\"]}\n{\"type\":\"usage\"}\n\xff\xfe\n",
    ];
    texts.map(<[u8]>::to_vec).into()
}

fn state() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1]];
    for store in 0..2 {
        for kind in 0..6 {
            for region in 0..3_u8 {
                let number = 1_000_u32
                    .wrapping_mul(u32::from(kind) * 37 + 5)
                    .to_le_bytes();
                let change = [&[0, kind + region * 66], number.as_slice(), &[3; 9]].concat();
                seeds.push([&[store], change.as_slice()].concat());
            }
        }
        // The witness, and the lock.
        seeds.push(vec![store, 5, 0, 20, 0, 0, 0, 1]);
        seeds.push(vec![store, 7, 3, 0, 0, 0, 0]);
    }
    seeds
}
