//! Server-sent events, as the WHATWG standard frames them (HTML, 9.2.6): bytes in, events out.

/// Longest event accepted, bytes: what Remuda sends is a few hundred; a stream that never ends an event is broken.
const EVENT_MAX_BYTES: usize = 1 << 20;

/// One event; `data` lines are joined by newlines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    pub id: String,
    pub kind: String,
    pub data: String,
}

/// The stream sends something that is no event stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream sent more than {EVENT_MAX_BYTES} bytes without ending an event")]
pub struct EventTooLong;

/// Holds what has arrived of an unfinished line and an unfinished event.
#[derive(Default)]
pub struct SseParser {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    /// The last byte was CR: an LF that follows belongs to the same line end.
    after_cr: bool,
}

impl SseParser {
    /// The events that `bytes` finish, in order.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > EVENT_MAX_BYTES {
                return Err(EventTooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if self.has_data => self.event.data.extend(["\n", value]),
            "data" => {
                self.event.data = value.to_owned();
                self.has_data = true;
            }
            "event" => self.event.kind = value.to_owned(),
            "id" => self.event.id = value.to_owned(),
            // An empty field name is a comment (keep-alive); unknown fields are ignored, as the standard says.
            _ => {}
        }
        None
    }

    /// An event without data is none; its id stays for the next one.
    fn end_event(&mut self) -> Option<SseEvent> {
        let id = self.event.id.clone();
        let event = std::mem::replace(&mut self.event, SseEvent { id, ..SseEvent::default() });
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&str]) -> Vec<SseEvent> {
        let mut parser = SseParser::default();
        chunks.iter().flat_map(|chunk| parser.push(chunk.as_bytes()).unwrap()).collect()
    }

    fn event(id: &str, kind: &str, data: &str) -> SseEvent {
        SseEvent { id: id.into(), kind: kind.into(), data: data.into() }
    }

    #[test]
    fn an_event_ends_at_the_empty_line_however_the_bytes_are_cut() {
        let text = "id: 7\nevent: tick\ndata: {\"generation\":4}\n\n";
        for cut in 0..text.len() {
            let found = parse(&[&text[..cut], &text[cut..]]);
            assert_eq!(found, [event("7", "tick", "{\"generation\":4}")], "cut at {cut}");
        }
    }

    #[test]
    fn all_three_line_ends_count_once() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["data: a", "data: b", "", "data: c", "", ""].join(end);
            assert_eq!(parse(&[&text]), [event("", "", "a\nb"), event("", "", "c")], "{end:?}");
        }
    }

    #[test]
    fn comments_unknown_fields_and_events_without_data_are_passed_over() {
        assert_eq!(parse(&[": keep-alive\n\nretry: 10\n\nevent: x\n\ndata:y\n\n"]), [event("", "", "y")]);
    }

    #[test]
    fn an_id_stays_until_the_next_one() {
        assert_eq!(parse(&["id: 1\ndata: a\n\ndata: b\n\n"]), [event("1", "", "a"), event("1", "", "b")]);
    }

    #[test]
    fn bytes_split_inside_a_character_are_joined_again() {
        let text = "data: é\n\n".as_bytes();
        let mut parser = SseParser::default();
        let mut found = parser.push(&text[..7]).unwrap();
        found.extend(parser.push(&text[7..]).unwrap());
        assert_eq!(found, [event("", "", "é")]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_MAX_BYTES + 1]), Err(EventTooLong));
    }
}
