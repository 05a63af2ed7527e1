//! Divides whole numbers that an `f64` does not hold exactly by a power of ten, correctly rounded.

/// The exponent of the largest supported power of ten.
const SCALE_MAX: usize = 16;

/// The reciprocal of 5^scale.
#[derive(Clone, Copy)]
struct Reciprocal {
    /// `2^(127 + bits) / 5^scale`, rounded up.
    value: u128,
    /// The number of bits of 5^scale.
    bits: u32,
}

const RECIPROCALS: [Reciprocal; SCALE_MAX + 1] = {
    let mut reciprocals = [Reciprocal { value: 0, bits: 0 }; SCALE_MAX + 1];
    let mut scale = 1;
    while scale <= SCALE_MAX {
        let divisor = 5u64.pow(scale as u32);
        let bits = u64::BITS - divisor.leading_zeros();
        // Bit by bit, because the dividend has more bits than any integer type.
        let (mut rest, mut value, mut bit) = (1, 0, 0);
        while bit < 127 + bits {
            rest *= 2;
            value = value * 2 + (rest >= divisor) as u128;
            rest %= divisor;
            bit += 1;
        }
        reciprocals[scale] = Reciprocal { value: value + 1, bits };
        scale += 1;
    }
    reciprocals
};

/// Returns `dividend / 10^scale` for a dividend other than 0 and a scale of 1 to 16.
///
/// Uses the algorithm of Eisel and Lemire ("Number Parsing at a Gigabyte per Second", 2021), as `std` does: one
/// multiplication yields 64 bits of the quotient, and a second decides the few cases in which the error of the first
/// could matter. For powers of ten from -27 up it never fails.
#[inline(never)]
pub(super) fn quotient(dividend: u64, scale: usize) -> f64 {
    debug_assert_ne!(dividend, 0);
    let Reciprocal { value: reciprocal, bits } = RECIPROCALS[scale];
    let zeros = dividend.leading_zeros();
    let dividend = u128::from(dividend << zeros);
    let mut product = dividend * (reciprocal >> 64);
    if product >> 64 & 0x1FF == 0x1FF {
        product += (dividend * (reciprocal & u128::from(u64::MAX))) >> 64;
    }
    let (high, low) = ((product >> 64) as u64, product as u64);
    // 54 bits: the last one decides the rounding.
    let shift = 9 + (high >> 63) as u32;
    let mut mantissa = high >> shift;
    // Exactly halfway between two values: round to even. Only small powers of ten allow this.
    if low <= 1 && scale <= 4 && mantissa & 3 == 1 && mantissa << shift == high {
        mantissa -= 1;
    }
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    // The reciprocal divided by 5^scale; the exponent divides by 2^scale.
    let exponent = 2 + shift as i32 - bits as i32 - zeros as i32 - scale as i32;
    mantissa as f64 * power_of_two(exponent)
}

#[inline(always)]
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dividend: u64, scale: usize) {
        let expected: f64 = format!("{dividend}e-{scale}").parse().unwrap();
        assert_eq!(quotient(dividend, scale).to_bits(), expected.to_bits(), "{dividend}e-{scale}");
    }

    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed
    }

    #[test]
    fn random_quotients_round_as_in_std() {
        let mut seed = 7u64;
        for _ in 0..200_000 {
            let bits = random(&mut seed);
            let dividend = (bits >> (bits % 63)) | 1;
            (1..=SCALE_MAX).step_by(1 + (bits % 5) as usize).for_each(|scale| check(dividend, scale));
        }
        (1..=SCALE_MAX).for_each(|scale| [1, u64::MAX].into_iter().for_each(|dividend| check(dividend, scale)));
    }

    #[test]
    fn halfway_quotients_round_to_even() {
        // Numbers of 54 bits that end in one half, written with few decimals, and their neighbors.
        for half in (1u64 << 53) + 1..(1 << 53) + 999 {
            for scale in 1..=3 {
                let dividend = half * 10u64.pow(scale) / 2;
                (dividend - 2..=dividend + 2).for_each(|dividend| check(dividend, scale as usize));
            }
        }
    }
}
