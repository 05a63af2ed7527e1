//! Wire: a whole number divided by a power of ten, correctly rounded, where an `f64` does not hold the number exactly.

/// The largest power of ten that divides.
const SCALE_MAX: usize = 16;

/// 5^scale, as a reciprocal.
#[derive(Clone, Copy)]
struct Reciprocal {
    /// `2^(127 + bits) / 5^scale`, rounded up.
    value: u128,
    /// Those of 5^scale.
    bits: u32,
}

const RECIPROCALS: [Reciprocal; SCALE_MAX + 1] = {
    let mut reciprocals = [Reciprocal { value: 0, bits: 0 }; SCALE_MAX + 1];
    let mut scale = 1;
    while scale <= SCALE_MAX {
        let divisor = 5u64.pow(scale as u32);
        let bits = u64::BITS - divisor.leading_zeros();
        // Bit by bit: the dividend has more bits than any integer.
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

/// `dividend / 10^scale` for a dividend that is not 0, and a scale of 1 to 16.
///
/// Eisel and Lemire's way ("Number Parsing at a Gigabyte per Second", 2021), which std goes too: one multiplication gives
/// 64 bits of the quotient, a second settles the few cases in which the error of the first could matter. For powers of
/// ten from -27 on it never fails.
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
    // 54 bits, the last of them to round by.
    let shift = 9 + (high >> 63) as u32;
    let mut mantissa = high >> shift;
    // Half way between two, exactly: to the even one. Only small powers of ten can be so.
    if low <= 1 && scale <= 4 && mantissa & 3 == 1 && mantissa << shift == high {
        mantissa -= 1;
    }
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    // 5^scale was divided out by its reciprocal, 2^scale is here.
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
    fn every_quotient_is_rounded_as_std_rounds_it() {
        let mut seed = 7u64;
        for _ in 0..200_000 {
            let bits = random(&mut seed);
            let dividend = (bits >> (bits % 63)) | 1;
            (1..=SCALE_MAX).step_by(1 + (bits % 5) as usize).for_each(|scale| check(dividend, scale));
        }
        (1..=SCALE_MAX).for_each(|scale| [1, u64::MAX].into_iter().for_each(|dividend| check(dividend, scale)));
    }

    #[test]
    fn numbers_half_way_between_two_go_to_the_even_one() {
        // Whole numbers and a half of 54 bits, with few decimals, and their neighbours.
        for half in (1u64 << 53) + 1..(1 << 53) + 999 {
            for scale in 1..=3 {
                let dividend = half * 10u64.pow(scale) / 2;
                (dividend - 2..=dividend + 2).for_each(|dividend| check(dividend, scale as usize));
            }
        }
    }
}
