//! An answer that nobody reads, and one that is read in drops, end their connection; one that is read
//! does not, however many there are.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const SEND_MAX: Duration = Duration::from_millis(100);
const PIPE_BYTES: usize = 64;

fn pair() -> (SendWithin<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(PIPE_BYTES);
    let hurry = Hurry::new(SEND_MAX, 20 * SEND_MAX);
    (SendWithin::new(server, hurry), client)
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let (mut server, _client) = pair();
    let error = server.write_all(&[0; 2 * PIPE_BYTES]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn an_answer_that_is_read_in_drops_ends_the_connection() {
    let (mut server, mut client) = pair();
    let reader = tokio::spawn(async move {
        // Each takes less than the limit; all together would take 100 times as long.
        let mut count = 0;
        while client.read_u8().await.is_ok() {
            tokio::time::sleep(SEND_MAX / 10).await;
            count += 1;
        }
        count
    });
    let error = server.write_all(&[0; 1_000]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(server);
    assert!(reader.await.unwrap() < 1_000);
}

#[tokio::test]
async fn answers_that_are_read_have_each_their_own_time() {
    let (mut server, mut client) = pair();
    let reader = tokio::spawn(async move {
        let mut bytes = [0; PIPE_BYTES];
        let mut count = 0;
        while count < 2 * PIPE_BYTES * 8 {
            count += client.read(&mut bytes).await.unwrap();
            tokio::time::sleep(SEND_MAX / 10).await;
        }
    });
    for _ in 0..8 {
        server.write_all(&[0; 2 * PIPE_BYTES]).await.unwrap();
        server.flush().await.unwrap();
    }
    reader.await.unwrap();
}

#[tokio::test]
async fn an_open_stream_may_be_paused_for_longer_than_an_answer() {
    let (server, mut client) = duplex(PIPE_BYTES);
    let hurry = Hurry::new(SEND_MAX, 20 * SEND_MAX);
    let unhurried = hurry.unhurried();
    let mut server = SendWithin::new(server, hurry);
    let reader = tokio::spawn(async move {
        tokio::time::sleep(3 * SEND_MAX).await;
        let mut read = [0; 2 * PIPE_BYTES];
        client.read_exact(&mut read).await.unwrap();
        client
    });
    server.write_all(&[0; 2 * PIPE_BYTES]).await.unwrap();
    server.flush().await.unwrap();
    let _client = reader.await.unwrap();
    drop(unhurried);
    let error = server.write_all(&[0; 2 * PIPE_BYTES]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
