//! The symbol names of a 64-bit little-endian ELF object: all that the panic check needs to know.

/// Names in every symbol table of `elf`; `None` if it is no such object or is cut short.
pub fn symbols(elf: &[u8]) -> Option<Vec<String>> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let sections = sections(elf)?;
    let mut names = Vec::new();
    for table in sections.iter().filter(|section| section.kind == SHT_SYMTAB) {
        let strings = sections.get(table.link as usize)?;
        let strings = elf.get(strings.offset..strings.offset.checked_add(strings.size)?)?;
        for symbol in elf.get(table.offset..table.offset.checked_add(table.size)?)?.chunks_exact(SYMBOL_LEN_BYTES) {
            let start = u32_at(symbol, 0)? as usize;
            let name = strings.get(start..)?.split(|&byte| byte == 0).next()?;
            names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Some(names)
}

const SHT_SYMTAB: u32 = 2;
const SYMBOL_LEN_BYTES: usize = 24;

struct Section {
    kind: u32,
    link: u32,
    offset: usize,
    size: usize,
}

fn sections(elf: &[u8]) -> Option<Vec<Section>> {
    let table = u64_at(elf, 0x28)?;
    let (entry_len, count) = (u16_at(elf, 0x3a)?, u16_at(elf, 0x3c)?);
    (0..count)
        .map(|index| {
            let header = elf.get(table.checked_add(index * entry_len)?..)?;
            Some(Section {
                kind: u32_at(header, 4)?,
                link: u32_at(header, 0x28)?,
                offset: u64_at(header, 0x18)?,
                size: u64_at(header, 0x20)?,
            })
        })
        .collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_binary_names_its_own_function() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let names = symbols(&own).unwrap();
        assert!(names.iter().any(|name| name.contains("this_test_binary_names_its_own_function")));
    }

    #[test]
    fn noise_is_no_object() {
        assert!(symbols(b"\x7fELF\x02\x01 cut short").is_none());
        assert!(symbols(b"#!/bin/sh").is_none());
    }
}
