//! Both directions of one HTTP/1.1 connection, read along to find the requests in it.
//!
//! The requests alone do not tell where they end: after one that asks for an upgrade, the
//! engine's answer decides whether bytes are the next request or a terminal's input. So the
//! answers are read too, and requests are held back from reading (never from forwarding)
//! while an answer is awaited that decides.

use std::collections::VecDeque;

use super::framer::{Body, Framer, Step};

/// A request's method and target.
pub type Request = (String, String);

/// What is known of a request whose answer has not come.
#[derive(Debug)]
struct Awaited {
    bodiless: bool,
    upgrade: bool,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Conversation {
    requests: Framer,
    responses: Framer,
    awaited: VecDeque<Awaited>,
    /// An upgrade is asked for and its request has ended: what comes is kept here.
    undecided: bool,
    held: Vec<u8>,
    /// No HTTP any more, to the end.
    opaque: bool,
}

impl Conversation {
    /// Before the first byte.
    pub fn new() -> Self {
        Self {
            requests: Framer::new(),
            responses: Framer::new(),
            awaited: VecDeque::new(),
            undecided: false,
            held: Vec::new(),
            opaque: false,
        }
    }

    /// Reads what the client sent, and gives the requests whose heads end in it.
    pub fn client_sent(&mut self, mut input: &[u8]) -> Vec<Request> {
        let mut found = Vec::new();
        while !self.opaque {
            if self.undecided {
                self.held.extend_from_slice(input);
                break;
            }
            match self.requests.step(&mut input) {
                Step::More => break,
                Step::Nonsense => self.opaque = true,
                Step::End => self.undecided = self.awaited.back().is_some_and(|last| last.upgrade),
                Step::Head(head) => {
                    let Some((method, target)) = head.request() else {
                        self.opaque = true;
                        break;
                    };
                    found.push((method.to_owned(), target.to_owned()));
                    self.awaited
                        .push_back(Awaited { bodiless: method == "HEAD", upgrade: head.has("upgrade") });
                    self.requests.expect(head.body().unwrap_or(Body::Length(0)));
                }
            }
        }
        found
    }

    /// Reads what the engine sent, and gives the requests this shows what came before to be.
    pub fn engine_sent(&mut self, mut input: &[u8]) -> Vec<Request> {
        let mut found = Vec::new();
        while !self.opaque {
            match self.responses.step(&mut input) {
                Step::More => break,
                Step::Nonsense => self.opaque = true,
                Step::End => {}
                Step::Head(head) => match head.status() {
                    None | Some(101) => self.opaque = true,
                    Some(100..=199) => self.responses.expect(Body::Length(0)),
                    Some(status) => {
                        let Some(request) = self.awaited.pop_front() else {
                            self.opaque = true;
                            break;
                        };
                        if request.bodiless || status == 204 || status == 304 {
                            self.responses.expect(Body::Length(0));
                        } else if let Some(body) = head.body() {
                            self.responses.expect(body);
                        } else {
                            // until the connection closes: nothing more is asked on it
                            // (this is also how an engine takes a connection over unasked)
                            self.opaque = true;
                        }
                        if request.upgrade && !self.opaque {
                            self.undecided = false;
                            let kept = std::mem::take(&mut self.held);
                            found.extend(self.client_sent(&kept));
                        }
                    }
                },
            }
        }
        if self.opaque {
            self.held = Vec::new();
        }
        found
    }
}
