//! Arithmetic over GF(2^8) by the polynomial x^8 + x^4 + x^3 + x^2 + 1: products of whole packets with one factor, 32 bytes at
//! a time, by looking up both halves of each byte.

use super::{PARITY_MAX, SPAN};
use wide::u8x32;

/// The polynomial without its highest term.
const POLYNOMIAL: u8 = 0x1d;

/// The product of two elements, bit by bit: for tables.
pub const fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut power, mut bit) = (0, a, 0);
    while bit < 8 {
        if b >> bit & 1 == 1 {
            product ^= power;
        }
        power = power << 1 ^ if power >> 7 == 1 { POLYNOMIAL } else { 0 };
        bit += 1;
    }
    product
}

/// The element whose product with this one is 1; 0 for 0.
pub const fn inverse(a: u8) -> u8 {
    // a^254: the group has 255 elements.
    let (mut result, mut step) = (1, 0);
    while step < 254 {
        result = multiply(result, a);
        step += 1;
    }
    if a == 0 { 0 } else { result }
}

/// For each factor its products with 0 to 15, then those with 0, 16, 32 … 240.
static PRODUCTS: [[u8; 32]; 256] = {
    let mut products = [[0; 32]; 256];
    let mut factor = 0;
    while factor < 256 {
        let mut half = 0;
        while half < 16 {
            products[factor][half] = multiply(factor as u8, half as u8);
            products[factor][16 + half] = multiply(factor as u8, (half << 4) as u8);
            half += 1;
        }
        factor += 1;
    }
    products
};

/// The factors, by parity packet and place in the group.
static COEFFICIENTS: [[u8; SPAN as usize]; PARITY_MAX] = {
    let mut coefficients = [[0; SPAN as usize]; PARITY_MAX];
    let mut index = 0;
    while index < PARITY_MAX {
        let mut at = 0;
        while at < SPAN as usize {
            coefficients[index][at] = multiply(0x80 ^ at as u8, inverse((0x80 + index as u8) ^ at as u8));
            at += 1;
        }
        index += 1;
    }
    coefficients
};

/// What a packet is multiplied with in a group's parity packet `index`, by how many numbers it stands behind the group's first:
/// (128 + `at`) ÷ ((128 + `index`) + `at`), where + is exclusive or.
#[inline]
pub fn coefficient(index: usize, at: usize) -> u8 {
    COEFFICIENTS.get(index).and_then(|row| row.get(at)).copied().unwrap_or(0)
}

/// Adds `factor` × `shard` to the start of `sum`, which is at least as long.
#[inline]
pub fn add_product(sum: &mut [u8], shard: &[u8], factor: u8) {
    match factor {
        0 => {}
        1 => add(sum, shard),
        _ => add_scaled(sum, shard, factor),
    }
}

fn add(sum: &mut [u8], shard: &[u8]) {
    sum.iter_mut().zip(shard).for_each(|(sum, byte)| *sum ^= byte);
}

#[inline(never)]
fn add_scaled(sum: &mut [u8], shard: &[u8], factor: u8) {
    let [low, high] = halves(factor);
    let nibble = u8x32::splat(0x0f);
    let (mut sums, mut shards) = (sum.chunks_exact_mut(32), shard.chunks_exact(32));
    for (sum, shard) in sums.by_ref().zip(shards.by_ref()) {
        let (Some(sum), Some(shard)) = (sum.first_chunk_mut::<32>(), shard.first_chunk::<32>()) else {
            break;
        };
        let bytes = u8x32::new(*shard);
        let above = (bytes >> 4_u32) & nibble;
        let product = low.swizzle_half_relaxed(bytes & nibble) ^ high.swizzle_half_relaxed(above);
        *sum = (u8x32::new(*sum) ^ product).to_array();
    }
    // What is left of the shard stands behind its whole pieces, in the sum as well.
    let rest = shards.remainder();
    let from = shard.len() - rest.len();
    let products = PRODUCTS.get(usize::from(factor)).unwrap_or(&[0; 32]);
    for (sum, byte) in sum.iter_mut().skip(from).zip(rest) {
        *sum ^= products[usize::from(byte & 0x0f)] ^ products[16 + usize::from(byte >> 4)];
    }
}

/// The tables of a factor, each in both halves of a vector.
fn halves(factor: u8) -> [u8x32; 2] {
    let products = PRODUCTS.get(usize::from(factor)).unwrap_or(&[0; 32]);
    [0, 16].map(|from| {
        let mut both = [0; 32];
        let half = products.get(from..from + 16).unwrap_or(&[0; 16]);
        both[..16].copy_from_slice(half);
        both[16..].copy_from_slice(half);
        u8x32::new(both)
    })
}

/// Inverts the first `size` rows and columns of a matrix; `None` where that has no inverse.
pub fn invert(
    mut matrix: [[u8; PARITY_MAX]; PARITY_MAX],
    size: usize,
) -> Option<[[u8; PARITY_MAX]; PARITY_MAX]> {
    let mut result = [[0; PARITY_MAX]; PARITY_MAX];
    for (at, row) in result.iter_mut().enumerate() {
        row[at] = 1;
    }
    let size = size.min(PARITY_MAX);
    for at in 0..size {
        let pivot = (at..size).find(|row| matrix[*row][at] != 0)?;
        matrix.swap(at, pivot);
        result.swap(at, pivot);
        let factor = inverse(matrix[at][at]);
        for column in 0..size {
            matrix[at][column] = multiply(matrix[at][column], factor);
            result[at][column] = multiply(result[at][column], factor);
        }
        for row in (0..size).filter(|row| *row != at) {
            let factor = matrix[row][at];
            for column in 0..size {
                matrix[row][column] ^= multiply(factor, matrix[at][column]);
                result[row][column] ^= multiply(factor, result[at][column]);
            }
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
        }
        assert_eq!((multiply(2, 0x80), inverse(0)), (0x1d, 0));
    }

    #[test]
    fn the_first_parity_packet_is_exclusive_or() {
        assert!((0..64).all(|at| coefficient(0, at) == 1));
        // As the protocol's description has them; computed by another program, with logarithms.
        assert_eq!([coefficient(1, 0), coefficient(1, 1), coefficient(3, 63)], [0x55, 0x1a, 0xa3]);
    }

    /// Every choice of lost packets and of parity packets that came can be solved.
    #[test]
    fn every_square_part_has_an_inverse() {
        for size in 1..=PARITY_MAX {
            let rows: Vec<Vec<usize>> = choices(PARITY_MAX, size);
            for columns in choices(if size == 4 { 16 } else { 64 }, size) {
                for rows in &rows {
                    let mut matrix = [[0; PARITY_MAX]; PARITY_MAX];
                    for (at, row) in rows.iter().enumerate() {
                        for (column, place) in columns.iter().enumerate() {
                            matrix[at][column] = coefficient(*row, *place);
                        }
                    }
                    assert!(invert(matrix, size).is_some(), "{rows:?} {columns:?}");
                }
            }
        }
    }

    /// All ascending choices of so many of the first numbers.
    fn choices(of: usize, count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let last = (0..of).flat_map(|last| {
            choices(last, count - 1).into_iter().map(move |mut before| {
                before.push(last);
                before
            })
        });
        last.collect()
    }

    proptest! {
        #[test]
        fn products_of_packets_are_those_of_their_bytes(
            shard in proptest::collection::vec(any::<u8>(), 0..200), more in 0usize..40, factor: u8, seed: u8,
        ) {
            let start: Vec<u8> = (0..shard.len() + more).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
            let mut sum = start.clone();
            add_product(&mut sum, &shard, factor);
            for (at, byte) in sum.iter().enumerate() {
                let product = shard.get(at).map_or(0, |byte| multiply(factor, *byte));
                prop_assert_eq!(*byte, start[at] ^ product, "byte {}", at);
            }
        }
    }
}
