//! A sum near the end of floats, as one whole number that counts in units of the smallest float, 2^-1074.

/// The largest float counts 2^2098 units. What is written beyond it is 2^128 times as large, and may come often.
const LIMBS: usize = 36;
/// The power of two that takes a sum beyond the largest float back into its range.
pub(super) const BEYOND: u32 = 128;
/// Bits of a float's digits, the one that is not written among them.
const DIGITS: u32 = f64::MANTISSA_DIGITS;
/// The exponents that a float may have, as it writes them.
const EXPONENTS: u32 = 2047;

/// In two's complement, the lowest limb first.
#[derive(Debug, Clone)]
pub(super) struct Wide([u64; LIMBS]);

impl Default for Wide {
    fn default() -> Self {
        Self([0; LIMBS])
    }
}

impl Wide {
    /// Adds a finite number that was divided by 2^`divided`.
    pub(super) fn add(&mut self, x: f64, divided: u32) {
        let bits = x.abs().to_bits();
        let (exponent, fraction) = ((bits >> 52) as u32, bits & ((1 << 52) - 1));
        let (digits, place) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << 52, exponent - 1),
        };
        let place = place + divided;
        let shifted = u128::from(digits) << (place % 64);
        let mut number = Self::default();
        let first = (place / 64) as usize;
        number.0[first] = shifted as u64;
        number.0[first + 1] = (shifted >> 64) as u64;
        if x < 0.0 {
            number.negate();
        }
        self.merge(&number);
    }

    /// Adds another.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, more) in self.0.iter_mut().zip(&other.0) {
            let (sum, over) = limb.overflowing_add(*more);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || over_again;
        }
    }

    fn negate(&mut self) {
        let mut carry = true;
        for limb in &mut self.0 {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
    }

    fn is_negative(&self) -> bool {
        self.0[LIMBS - 1] >> 63 != 0
    }

    /// The nearest float, to even where two are as near; none beyond the largest.
    pub(super) fn round(&self) -> Option<f64> {
        self.divided(0)
    }

    /// The nearest float after a division by 2^`by`, of a number so large that the quotient has all digits of a float.
    fn divided(&self, by: u32) -> Option<f64> {
        let mut size = self.clone();
        if self.is_negative() {
            size.negate();
        }
        let length = size.length();
        // Of up to 53 bits nothing is lost, and a float of the smallest exponents is just these bits.
        let lost = length.saturating_sub(DIGITS);
        let kept = size.digits_from(lost);
        let rounded = kept + u64::from(size.rounds_up(lost, kept));
        // One more in the exponent is twice as much; digits that became one longer by rounding say so themselves.
        let bits = (u64::from(lost.saturating_sub(by)) << 52) + rounded;
        let value = f64::from_bits(bits);
        (bits >> 52 < u64::from(EXPONENTS)).then_some(if self.is_negative() { -value } else { value })
    }

    /// How many bits the number has.
    fn length(&self) -> u32 {
        let top = self.0.iter().rposition(|limb| *limb != 0);
        top.map_or(0, |i| 64 * (i as u32 + 1) - self.0[i].leading_zeros())
    }

    /// Up to 64 bits, from a place on.
    fn digits_from(&self, place: u32) -> u64 {
        let first = (place / 64) as usize;
        let above = self.0.get(first + 1).copied().unwrap_or(0);
        let both = u128::from(self.0[first]) | u128::from(above) << 64;
        (both >> (place % 64)) as u64
    }

    fn rounds_up(&self, lost: u32, kept: u64) -> bool {
        let Some(half) = lost.checked_sub(1) else { return false };
        let limb = (half / 64) as usize;
        let rest_of_limb = self.0[limb] & ((1 << (half % 64)) - 1);
        let is_half_or_more = self.0[limb] >> (half % 64) & 1 == 1;
        let is_more = rest_of_limb != 0 || self.0[..limb].iter().any(|l| *l != 0);
        is_half_or_more && (is_more || kept & 1 == 1)
    }

    /// Floats that add up to it, each the rounded rest; the first ones are to be multiplied by 2^128.
    pub(super) fn terms(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut beyond, mut terms) = (Vec::new(), Vec::new());
        let mut rest = self.clone();
        loop {
            match rest.round() {
                Some(0.0) => return (beyond, terms),
                Some(head) => {
                    terms.push(head);
                    rest.add(-head, 0);
                }
                None => {
                    // More than 2^128 largest floats only a forged sum can be.
                    let most = if rest.is_negative() { f64::MIN } else { f64::MAX };
                    let head = rest.divided(BEYOND).unwrap_or(most);
                    beyond.push(head);
                    rest.add(-head, BEYOND);
                }
            }
        }
    }
}
