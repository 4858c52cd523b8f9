//! Huffman's code for strings, RFC 7541, appendix B. It is canonical, so that the lengths of its codes say it all.

/// The bits of the code of each byte, and of the end, which no string has.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

const END: u16 = 256;

/// No code is longer.
const LONGEST: usize = 30;

/// The codes of one length follow each other, in the order of their symbols.
struct Code {
    /// The first code of each length, the place of its symbol below, and how many there are.
    first: [u32; LONGEST + 1],
    place: [u16; LONGEST + 1],
    count: [u16; LONGEST + 1],
    /// By the length of their codes, then by number.
    symbols: [u16; 257],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            first: [0; LONGEST + 1],
            place: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            symbols: [0; 257],
        };
        let (mut next, mut place, mut length) = (0, 0, 1);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.place[length] = place;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[place as usize] = symbol as u16;
                    code.count[length] += 1;
                    place += 1;
                    next += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        code
    }

    fn symbol(&self, bits: u32, length: usize) -> Option<u16> {
        let at = bits.wrapping_sub(self.first[length]);
        let found = at < self.count[length].into();
        found.then(|| self.symbols[usize::from(self.place[length]) + at as usize])
    }
}

/// The string that is packed in these bytes.
pub(super) fn decode(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(packed.len() * 2);
    let (mut bits, mut length) = (0, 0);
    for byte in packed {
        for at in (0..u8::BITS).rev() {
            bits = bits << 1 | u32::from(byte >> at & 1);
            length += 1;
            // Every code ends at the longest: there are as many as there can be.
            if let Some(symbol) = CODE.symbol(bits, length) {
                if symbol == END {
                    return None;
                }
                text.push(symbol as u8);
                (bits, length) = (0, 0);
            }
        }
    }
    // What fills the last byte up is the beginning of the end's code: ones.
    let is_filling = length < 8 && bits == (1 << length) - 1;
    is_filling.then_some(text)
}

/// Packs a string.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for byte in text {
        let length = usize::from(LENGTHS[usize::from(*byte)]);
        let place = CODE.symbols.iter().position(|symbol| *symbol == u16::from(*byte));
        let at = place.unwrap_or(0) - usize::from(CODE.place[length]);
        let code = CODE.first[length] + at as u32;
        bits.extend((0..length).rev().map(|bit| code >> bit & 1));
    }
    bits.resize(bits.len().next_multiple_of(8), 1);
    let byte = |bits: &[u32]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit as u8);
    bits.chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bits_are_without_a_symbol() {
        let taken: u64 = LENGTHS.iter().map(|length| 1 << (LONGEST - usize::from(*length))).sum();
        assert_eq!(taken, 1 << LONGEST);
    }

    /// RFC 7541, appendix C.
    #[test]
    fn examples_of_the_rfc() {
        for (packed, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"\x64\x02", "302"),
            (b"", ""),
        ] {
            assert_eq!(decode(packed).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn what_is_filled_up_wrongly_or_has_the_end_in_it_is_refused() {
        for packed in [
            &b"\xff"[..],
            b"\x64\x02\xff",
            b"\x60",
            b"\xff\xff\xff\xff",
            b"\xff\xff\xff\xfc",
            b"\x1c\xff\xff\xff\xff",
        ] {
            assert_eq!(decode(packed), None, "{packed:x?}");
        }
    }
}
