//! The Internet checksum (RFC 1071) of the headers we write ourselves.

/// Checksum of a 20-byte IPv4 header given as its words *as they lie in memory*, checksum field zero.
/// The result is stored as it lies, too.
#[inline(always)]
pub const fn ipv4_header(words: [u32; 5]) -> u16 {
    let [a, b, c, d, e] = words;
    let sum = a as u64 + b as u64 + c as u64 + d as u64 + e as u64;
    !fold(sum)
}

/// Folds a sum of 16-bit words to one.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let s = (sum & 0xffff_ffff) + (sum >> 32);
    let s = (s & 0xffff) + (s >> 16);
    let s = (s & 0xffff) + (s >> 16);
    let s = (s & 0xffff) + (s >> 16);
    s as u16
}

/// A checksum after one of the words it covers changed (RFC 1624, equation 3). All as they lie.
#[inline(always)]
pub const fn update(check: u16, old: u32, new: u32) -> u16 {
    let sum = (!check) as u64 + (!old) as u64 + new as u64;
    !fold(sum)
}

/// ... and after one of 16 bits did.
#[inline(always)]
pub const fn update16(check: u16, old: u16, new: u16) -> u16 {
    let sum = (!check) as u64 + (!old) as u64 + new as u64;
    !fold(sum)
}
