//! Bytes that tell their position: the one at offset `i` of a transfer is `block[i % PERIOD]`. A receiver that
//! compares with the same block finds what is lost, doubled, swapped or changed, at the cost of a memcmp.

use std::sync::LazyLock;

/// A prime, so that no power of two divides it: what is shifted by whole segments or buffers shows.
const PERIOD: usize = 1_048_583;

/// The longest slice there is from any offset, in bytes.
pub(crate) const LONGEST: usize = 256 * 1024;

static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block: Vec<u8> = (0..).flat_map(|word| splitmix64(word).to_ne_bytes()).take(PERIOD).collect();
    block.extend_from_within(..LONGEST); // So that slices need not end where the block does.
    block
});

/// Makes the block, which would otherwise be made while somebody measures.
pub(crate) fn prepare() {
    LazyLock::force(&BLOCK);
}

/// The bytes from `offset` on.
pub(crate) fn slice(offset: u64, len: usize) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    &BLOCK[start..][..len.min(LONGEST)]
}

/// Whether `data` are the bytes from `offset` on.
pub(crate) fn verify(offset: u64, data: &[u8]) -> bool {
    data == slice(offset, data.len())
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
fn splitmix64(index: u64) -> u64 {
    let z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
