//! A client of open streams: the frames of either transport, one by one.
//!
//! What real clients make of them is seen by a suite of its own, with clients that others wrote; this one is
//! strict about what is on the wire.

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt;
use hyper::{Method, Request, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use crate::host::{DEADLINE, Host, Reply};

/// How a stream is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Sse,
    WebSocket,
}

pub(crate) const BOTH: [Transport; 2] = [Transport::Sse, Transport::WebSocket];

/// A frame as it was received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) name: String,
    /// What the transport itself says one goes on at: only SSE does.
    pub(crate) id: Option<String>,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) data: Value,
}

impl Frame {
    pub(crate) fn cursor(&self) -> String {
        self.data["cursor"].as_str().unwrap_or_default().to_owned()
    }
}

/// An open stream.
pub(crate) struct Watch {
    wire: Wire,
    /// What came of a frame that is not whole.
    text: String,
}

enum Wire {
    Sse(Incoming),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

/// What a server is asked for, beside a path without its `/ws`.
pub(crate) struct Asking<'a> {
    pub(crate) host: &'a Host,
    pub(crate) token: &'a str,
    pub(crate) path: String,
    pub(crate) last_event_id: Option<String>,
}

impl<'a> Asking<'a> {
    pub(crate) fn of(host: &'a Host, path: impl Into<String>) -> Self {
        Self {
            host,
            token: &host.observe,
            path: path.into(),
            last_event_id: None,
        }
    }

    /// A stream, or what was answered instead of one.
    pub(crate) async fn open(&self, transport: Transport) -> Result<Watch, Box<Reply>> {
        let opened = async {
            match transport {
                Transport::Sse => self.sse().await,
                Transport::WebSocket => self.websocket().await,
            }
        };
        let opened = tokio::time::timeout(DEADLINE, opened).await;
        opened.unwrap_or_else(|_| panic!("{} hangs", self.path))
    }

    async fn sse(&self) -> Result<Watch, Box<Reply>> {
        let stream = TcpStream::connect(self.host.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        // It ends when nobody reads the body any more.
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(&self.path)
            .header(header::HOST, self.host.address.to_string())
            .header(header::ACCEPT, "text/event-stream")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(seen) = &self.last_event_id {
            request = request.header("last-event-id", seen);
        }
        let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|is| is == "text/event-stream");
        if parts.status != StatusCode::OK || !is_stream {
            return Err(Box::new(Reply {
                status: parts.status,
                headers: parts.headers,
                bytes: body.collect().await.unwrap().to_bytes(),
            }));
        }
        assert_eq!(parts.headers["cache-control"], "no-store, no-transform");
        assert!(!parts.headers.contains_key(header::CONTENT_LENGTH));
        Ok(Watch {
            wire: Wire::Sse(body),
            text: String::new(),
        })
    }

    async fn websocket(&self) -> Result<Watch, Box<Reply>> {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let address = self.host.address;
        let mut request = format!("ws://{address}{path}/ws?{query}")
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        headers.insert(header::AUTHORIZATION, bearer);
        if let Some(seen) = &self.last_event_id {
            headers.insert("last-event-id", seen.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Watch {
                wire: Wire::WebSocket(Box::new(socket)),
                text: String::new(),
            }),
            Err(tungstenite::Error::Http(response)) => {
                let (parts, body) = response.into_parts();
                Err(Box::new(Reply {
                    status: parts.status,
                    headers: parts.headers,
                    bytes: body.unwrap_or_default().into(),
                }))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Watch {
    /// The next frame; `None` when the connection was closed in order.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let next = tokio::time::timeout(DEADLINE, self.next_now()).await;
        next.expect("no frame comes")
    }

    /// Frames up to the first one of this name, with it.
    pub(crate) async fn until(&mut self, name: &str) -> Vec<Frame> {
        self.until_that(|frame| frame.name == name).await
    }

    pub(crate) async fn until_that(&mut self, is_last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            let is_last = is_last(&frame);
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
        panic!("the stream ended before it: {frames:?}")
    }

    /// The rest, up to the end of the connection; and how a WebSocket was closed. Heartbeats are left out:
    /// when the first one comes is by chance.
    pub(crate) async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames.retain(|frame| frame.name != "heartbeat");
        frames
    }

    pub(crate) async fn send(&mut self, message: Message) {
        let Wire::WebSocket(socket) = &mut self.wire else {
            panic!("nothing can be sent over SSE");
        };
        socket.send(message).await.unwrap();
    }

    async fn next_now(&mut self) -> Option<Frame> {
        match &mut self.wire {
            Wire::Sse(body) => loop {
                if let Some((frame, rest)) = self.text.split_once("\n\n") {
                    let (frame, rest) = (parse(frame), rest.to_owned());
                    self.text = rest;
                    return Some(frame);
                }
                let Some(chunk) = body.frame().await else {
                    assert_eq!(self.text, "", "a torn frame");
                    return None;
                };
                let bytes = chunk.unwrap().into_data().unwrap();
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            },
            Wire::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let value: Value = serde_json::from_str(&text).unwrap();
                        return Some(Frame {
                            name: value["frame"].as_str().unwrap().to_owned(),
                            id: None,
                            retry_ms: None,
                            data: value["data"].clone(),
                        });
                    }
                    Some(Ok(Message::Close(close))) => {
                        return Some(closed(close.expect("it says why it closes")));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => panic!("{error}"),
                    None => return None,
                }
            },
        }
    }
}

/// The close of a WebSocket, as a frame of its own.
fn closed(close: CloseFrame) -> Frame {
    Frame {
        name: "(closed)".to_owned(),
        id: None,
        retry_ms: None,
        data: serde_json::json!({ "code": u16::from(close.code), "reason": close.reason.as_str() }),
    }
}

fn parse(text: &str) -> Frame {
    assert!(!text.contains('\r'), "a line ends with LF only");
    let mut frame = Frame {
        name: "event".to_owned(),
        id: None,
        retry_ms: None,
        data: Value::Null,
    };
    for line in text.split('\n') {
        let (field, value) = line.split_once(": ").expect("a field and its value");
        match field {
            "id" => frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut frame.name),
            "retry" => frame.retry_ms = Some(value.parse().unwrap()),
            "data" => frame.data = serde_json::from_str(value).unwrap(),
            other => panic!("an unknown field {other:?}"),
        }
    }
    // What some clients pass over: frames without data.
    assert!(!frame.data.is_null());
    frame
}
