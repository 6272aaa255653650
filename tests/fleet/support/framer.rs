//! Finding the messages in a stream of HTTP/1.1, in whatever pieces it comes.

/// A head longer than this is none.
const LONGEST: usize = 64 * 1024;

/// The first lines of a message, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let first = lines.next()?.to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { first, fields })
    }

    /// Method and target of a request; nothing when this is no request.
    pub fn request(&self) -> Option<(&str, &str)> {
        let mut words = self.first.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let plausible = version.starts_with("HTTP/1.")
            && !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase());
        (plausible && words.next().is_none()).then_some((method, target))
    }

    /// Status code of a response; nothing when this is no response.
    pub fn status(&self) -> Option<u16> {
        let (version, rest) = self.first.split_once(' ')?;
        version.starts_with("HTTP/1.").then_some(())?;
        rest.get(..3)?.parse().ok()
    }

    /// Whether there is a header field of that name (lower case).
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The length of what follows, as far as the head alone tells; nothing when it does not.
    pub fn body(&self) -> Option<Body> {
        let value = |name| self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        if let Some(coding) = value("transfer-encoding") {
            let chunked = coding.to_ascii_lowercase().ends_with("chunked");
            return chunked.then_some(Body::Chunked);
        }
        value("content-length")?.parse().ok().map(Body::Length)
    }
}

/// How long a message's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks, up to an empty one.
    Chunked,
}

/// Where the stream stands.
#[derive(Debug)]
enum Place {
    Head(Vec<u8>),
    /// A head was handed out; its reader has yet to say what body follows.
    Undecided,
    Data {
        left: u64,
        chunked: bool,
    },
    /// A line of the chunked coding: a chunk's size, or the trailer's next.
    Size(Vec<u8>),
    Trailer(Vec<u8>),
}

/// What a piece of the stream came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A head is complete: its reader calls [`Framer::expect`] next.
    Head(Head),
    /// A message is complete.
    End,
    /// All input is used up.
    More,
    /// This is not HTTP/1.1.
    Nonsense,
}

/// Cuts one direction of a connection into messages.
#[derive(Debug)]
pub struct Framer(Place);

impl Framer {
    /// Before the first message.
    pub fn new() -> Self {
        Self(Place::Head(Vec::new()))
    }

    /// Says what body follows the head just handed out.
    pub fn expect(&mut self, body: Body) {
        self.0 = match body {
            Body::Length(left) => Place::Data { left, chunked: false },
            Body::Chunked => Place::Size(Vec::new()),
        };
    }

    /// Takes input up to the next thing worth telling, and leaves the rest in `input`.
    pub fn step(&mut self, input: &mut &[u8]) -> Step {
        loop {
            // an empty body ends without another byte
            if let Place::Data { left: 0, chunked: false } = self.0 {
                self.0 = Place::Head(Vec::new());
                return Step::End;
            }
            if input.is_empty() {
                return Step::More;
            }
            match &mut self.0 {
                Place::Head(raw) => match take_until(raw, input, b"\r\n\r\n") {
                    Taken::Part => {}
                    Taken::TooLong => return Step::Nonsense,
                    Taken::Whole => {
                        let head = Head::parse(raw);
                        self.0 = Place::Undecided;
                        return head.map_or(Step::Nonsense, Step::Head);
                    }
                },
                Place::Undecided => return Step::Nonsense,
                Place::Data { left, chunked } => {
                    let chunked = *chunked;
                    *left -= skip(input, *left);
                    if *left == 0 && chunked {
                        self.0 = Place::Size(Vec::new());
                    }
                }
                Place::Size(raw) => match take_until(raw, input, b"\r\n") {
                    Taken::Part => {}
                    Taken::TooLong => return Step::Nonsense,
                    Taken::Whole => match chunk_size(raw) {
                        None => return Step::Nonsense,
                        Some(0) => self.0 = Place::Trailer(Vec::new()),
                        // the line end after the data counts as data here
                        Some(size) => self.0 = Place::Data { left: size + 2, chunked: true },
                    },
                },
                Place::Trailer(raw) => match take_until(raw, input, b"\r\n") {
                    Taken::Part => {}
                    Taken::TooLong => return Step::Nonsense,
                    Taken::Whole if raw.len() == 2 => {
                        self.0 = Place::Head(Vec::new());
                        return Step::End;
                    }
                    Taken::Whole => raw.clear(),
                },
            }
        }
    }
}

enum Taken {
    Part,
    Whole,
    TooLong,
}

/// Moves input to `raw` until that ends with `mark`.
fn take_until(raw: &mut Vec<u8>, input: &mut &[u8], mark: &[u8]) -> Taken {
    while let Some((byte, rest)) = input.split_first() {
        raw.push(*byte);
        *input = rest;
        if raw.ends_with(mark) {
            return Taken::Whole;
        }
        if raw.len() > LONGEST {
            return Taken::TooLong;
        }
    }
    Taken::Part
}

fn skip(input: &mut &[u8], most: u64) -> u64 {
    let count = input.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    *input = &input[count..];
    count as u64
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split(';').next()?.trim();
    u64::from_str_radix(digits, 16).ok().filter(|size| *size < u64::MAX / 2)
}
