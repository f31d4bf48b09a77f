//! Frames as messages of a WebSocket (RFC 6455), each one JSON text `{"frame": …, "data": …}`.
//!
//! It is for observing: pings are answered, and any other message of the client ends it.

use std::{future::poll_fn, time::Duration};

use axum::{
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    response::Response,
};
use futures_util::SinkExt;
use tokio::time::sleep;

use super::{Frames, frames::end};
use crate::{
    server::{send::END_SENT_MAX, serve::Connection},
    wire::{EndReason, Frame},
};

/// Nothing that a client may send is as long.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// How long a client has to say that it saw the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Goes over to a WebSocket and sends these frames until they end. The connection keeps its place.
pub(in crate::server) fn upgrade(
    upgrade: WebSocketUpgrade,
    connection: Connection,
    frames: Frames,
) -> Response {
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        // Each message is sent before the next one is written, so no more than one waits here. A limit of its
        // own would be one of the length of an event.
        .write_buffer_size(0)
        .read_buffer_size(MESSAGE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            let _held = connection.unhurried();
            if let Err(error) = send(socket, frames).await {
                tracing::debug!(%error, "a WebSocket ended early");
            }
            drop(connection);
        })
}

async fn send(mut socket: WebSocket, mut frames: Frames) -> Result<(), axum::Error> {
    loop {
        let batch = tokio::select! {
            batch = frames.next() => batch,
            message = socket.recv() => match message {
                // Answered by the library as it reads on.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    Some(vec![Frame::End(end(EndReason::Refused))])
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            },
        };
        let Some(batch) = batch else { return Ok(()) };
        let over = async {
            poll_fn(|context| frames.poll_over(context)).await;
            sleep(END_SENT_MAX).await;
        };
        let is_last = tokio::select! {
            sent = send_batch(&mut socket, &batch) => sent?,
            // Its reader does not read: it learns nothing, and goes on at its cursor.
            () = over => return Ok(()),
        };
        if is_last {
            // What the client sent meanwhile is read, or the system would cut the connection before the
            // client has read why it ends.
            let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
            let _ = tokio::time::timeout(CLOSE_MAX, closed).await;
            return Ok(());
        }
    }
}

/// Sends a batch; whether it ends the stream.
async fn send_batch(socket: &mut WebSocket, batch: &[Frame]) -> Result<bool, axum::Error> {
    for frame in batch {
        let message = serde_json::to_string(frame).map_err(axum::Error::new)?;
        socket.feed(Message::Text(message.into())).await?;
        if let Some(close) = close_of(frame) {
            socket.send(Message::Close(Some(close))).await?;
            return Ok(true);
        }
    }
    socket.flush().await?;
    Ok(false)
}

/// How the connection is closed after a frame that is the last.
fn close_of(frame: &Frame) -> Option<CloseFrame> {
    let (code, reason) = match frame {
        Frame::Busy(_) => (close_code::AGAIN, "busy"),
        Frame::End(end) => match end.reason {
            EndReason::Deleted => (close_code::NORMAL, "deleted"),
            EndReason::Draining => (close_code::RESTART, "draining"),
            EndReason::Token => (close_code::POLICY, "token"),
            EndReason::Store => (close_code::ERROR, "store"),
            EndReason::Refused => (close_code::POLICY, "observation only"),
        },
        _ => return None,
    };
    Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    })
}
