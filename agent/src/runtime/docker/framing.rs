//! How the engine sends two streams over one: a head of 8 bytes (stream, 0, 0, 0, length as u32 big endian), then so many
//! bytes of that stream. What a terminal shows is one stream and has no heads.

use crate::runtime::Stream;

const HEAD_BYTES: usize = 8;

/// What of a container without a terminal was read so far.
#[derive(Default)]
pub(super) struct Framing {
    head: Vec<u8>,
    left_bytes: usize,
}

/// A part of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) stream: Stream,
    pub(super) bytes: &'a [u8],
    /// The frame ends with it.
    pub(super) is_last: bool,
}

impl Framing {
    /// Takes bytes as they came, wherever they were cut. Never waits for a whole frame: its length is the other side's word.
    pub(super) fn split<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            if self.head.len() < HEAD_BYTES {
                let (head, rest) = bytes.split_at((HEAD_BYTES - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if let [_, _, _, _, length @ ..] = self.head.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left_bytes = u32::from_be_bytes(length) as usize;
                }
                if self.head.len() < HEAD_BYTES || self.left_bytes > 0 {
                    continue;
                }
            }
            let (piece, rest) = bytes.split_at(self.left_bytes.min(bytes.len()));
            bytes = rest;
            self.left_bytes -= piece.len();
            // 1 is stdout, 2 stderr, 3 the engine's own complaint.
            let stream = if self.head.first().is_some_and(|kind| *kind > 1) { Stream::Stderr } else { Stream::Stdout };
            let is_last = self.left_bytes == 0;
            if is_last {
                self.head.clear();
            }
            pieces.push(Piece { stream, bytes: piece, is_last });
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(all: &[u8], cut_bytes: usize) -> Vec<(Stream, Vec<u8>)> {
        let (mut framing, mut whole, mut frame) = (Framing::default(), Vec::new(), Vec::new());
        for part in all.chunks(cut_bytes) {
            for piece in framing.split(part) {
                frame.extend_from_slice(piece.bytes);
                if piece.is_last {
                    whole.push((piece.stream, std::mem::take(&mut frame)));
                }
            }
        }
        whole
    }

    #[test]
    fn frames_are_the_same_wherever_the_bytes_were_cut() {
        let all = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\x02no\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01x";
        let wanted =
            [(Stream::Stdout, &b"one"[..]), (Stream::Stderr, b"no"), (Stream::Stdout, b""), (Stream::Stdout, b"x")];
        let wanted: Vec<(Stream, Vec<u8>)> = wanted.into_iter().map(|(stream, text)| (stream, text.to_vec())).collect();
        for cut_bytes in 1..=all.len() {
            assert_eq!(told(all, cut_bytes), wanted, "cut every {cut_bytes} bytes");
        }
    }

    #[test]
    fn a_frame_that_says_to_be_huge_is_passed_on_as_it_comes() {
        let mut framing = Framing::default();
        let pieces = framing.split(b"\x02\0\0\0\xff\xff\xff\xffabc");
        assert_eq!(pieces, [Piece { stream: Stream::Stderr, bytes: b"abc", is_last: false }]);
    }
}
