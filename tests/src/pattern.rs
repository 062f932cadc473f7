//! A stream in which every byte tells its place, so that loss, repetition and disorder show.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};

/// The byte at `offset`: neighbours differ, and so do places that are far apart.
#[must_use]
pub fn byte(offset: u64) -> u8 {
    let word = (offset / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    word.to_le_bytes()[(offset % 8) as usize]
}

/// The first `len` bytes.
#[must_use]
pub fn stream(len: u64) -> Vec<u8> {
    (0..len).map(byte).collect()
}

/// Sends the first `len` bytes.
///
/// # Errors
/// Those of the writer, with the place.
pub fn send(stream: &mut impl Write, len: u64) -> Result<()> {
    let mut offset = 0;
    while offset < len {
        let chunk = (len - offset).min(100_003);
        let bytes: Vec<u8> = (offset..offset + chunk).map(byte).collect();
        stream.write_all(&bytes).with_context(|| format!("send at {offset}"))?;
        offset += chunk;
    }
    Ok(())
}

/// Reads to the end and checks every byte. Gives how many there were.
///
/// # Errors
/// Those of the reader, with the place, and the first byte that is wrong.
pub fn check(stream: &mut impl Read) -> Result<u64> {
    let mut offset = 0;
    let mut buffer = vec![0; 65_536];
    loop {
        let read = stream.read(&mut buffer).with_context(|| format!("receive at {offset}"))?;
        if read == 0 {
            return Ok(offset);
        }
        for (received, at) in buffer[..read].iter().zip(offset..) {
            ensure!(*received == byte(at), "byte {at} is {received:#x} and not {:#x}", byte(at));
        }
        offset += read as u64;
    }
}
