//! PostgreSQL's `numeric` in binary: digits to the base of 10,000.
//!
//! By hand, since the driver reads no numeric, and `rust_decimal` holds 28 digits of the 131,072 that one may have, and no infinity.

/// The nearest float.
pub(crate) fn to_f64(raw: &[u8]) -> Result<f64, String> {
    let word = |index: usize| {
        let bytes = raw.get(index * 2..index * 2 + 2).ok_or("came as a numeric cut short")?;
        Ok::<_, String>(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let (digits, weight, sign) = (word(0)?, word(1)? as i16, word(2)?);
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xD000 => return Ok(f64::INFINITY),
        0xF000 => return Ok(f64::NEG_INFINITY),
        _ => return Ok(f64::NAN),
    };
    // As text, so that it is rounded once: a sum of scaled digits would be off in the last place.
    let mut text = String::with_capacity(usize::from(digits) * 4 + 8);
    text.push_str(if negative { "-0" } else { "0" });
    for index in 0..usize::from(digits) {
        text.push_str(&format!("{:04}", word(index + 4)?));
    }
    let exponent = (i32::from(weight) + 1 - i32::from(digits)) * 4;
    text.push_str(&format!("e{exponent}"));
    text.parse().map_err(|_| "came as a malformed numeric".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let head = [digits.len() as u16, weight as u16, sign, 0];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_are_the_nearest_floats() {
        assert_eq!(to_f64(&raw(0, 0, &[])), Ok(0.0));
        assert_eq!(to_f64(&raw(0, 0x4000, &[1, 5000])), Ok(-1.5));
        assert_eq!(to_f64(&raw(-1, 0, &[1])), Ok(0.0001));
        assert_eq!(to_f64(&raw(1, 0, &[12, 3456, 7890])), Ok(123_456.789));
        assert!(to_f64(&raw(0, 0xC000, &[])).is_ok_and(f64::is_nan));
        assert!(to_f64(&[0, 3]).is_err());
    }

    #[test]
    fn what_no_decimal_type_holds_is_the_nearest_float_too() {
        assert_eq!(to_f64(&raw(0, 0xD000, &[])), Ok(f64::INFINITY));
        assert_eq!(to_f64(&raw(0, 0xF000, &[])), Ok(f64::NEG_INFINITY));
        // 131,072 digits before the point are more than any float holds, 16,383 behind it less than the smallest tells.
        assert_eq!(to_f64(&raw(32_767, 0, &[9_999; 32_768])), Ok(f64::INFINITY));
        assert_eq!(to_f64(&raw(-4_096, 0, &[1])), Ok(0.0));
        // Halfway between two floats until the last of 4,000 digits is looked at.
        let mut halfway = vec![9_007, 1_992, 5_474, 993];
        assert_eq!(to_f64(&raw(3, 0, &halfway)), Ok(9_007_199_254_740_992.0));
        halfway.resize(1_000, 0);
        halfway.push(1);
        assert_eq!(to_f64(&raw(3, 0, &halfway)), Ok(9_007_199_254_740_994.0));
    }
}
