//! Lenient readings of a value, as pydantic 2 has them in its lax mode.

use leasehold_python_json::{Json, Text};

use crate::validation::Fault;

const INT_TYPE: Fault = Fault("int_type", "Input should be a valid integer");
const INT_PARSING: Fault =
    Fault("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
const INT_PARSING_SIZE: Fault =
    Fault("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size");
const INT_FROM_FLOAT: Fault =
    Fault("int_from_float", "Input should be a valid integer, got a number with a fractional part");
const FLOAT_TYPE: Fault = Fault("float_type", "Input should be a valid number");
const FLOAT_PARSING: Fault =
    Fault("float_parsing", "Input should be a valid number, unable to parse string as a number");
const BOOL_TYPE: Fault = Fault("bool_type", "Input should be a valid boolean");
const BOOL_PARSING: Fault =
    Fault("bool_parsing", "Input should be a valid boolean, unable to interpret input");
pub(super) const FINITE_NUMBER: Fault = Fault("finite_number", "Input should be a finite number");

/// How many digits a text may have to be read as an integer.
const DIGITS_MAX: usize = 4300;

/// 2⁶³: floats from here on are not read as integers, while integers of any size are.
const FLOAT_MAX: f64 = 9_223_372_036_854_775_808.0;

/// An integer: also `2.0`, `true`, `"3"`, `" 3.0 "` and `"1_000"`. A value beyond `i128` becomes
/// the nearest end of `i128`, which is beyond every bound here as well.
pub(super) fn integer(input: &Json<'_>) -> Result<i128, Fault> {
    match input {
        Json::Integer(digits) => Ok(saturating(digits)),
        Json::Bool(value) => Ok(i128::from(*value)),
        Json::Float(value) if !value.is_finite() => Err(FINITE_NUMBER),
        Json::Float(value) if value.fract() != 0.0 => Err(INT_FROM_FLOAT),
        Json::Float(value) if value.abs() >= FLOAT_MAX => Err(INT_PARSING_SIZE),
        Json::Float(value) => Ok(*value as i128),
        Json::Text(Text::Whole(text)) if text.len() > DIGITS_MAX => Err(INT_PARSING_SIZE),
        Json::Text(Text::Whole(text)) => integer_text(text).ok_or(INT_PARSING),
        _ => Err(INT_TYPE),
    }
}

fn integer_text(text: &str) -> Option<i128> {
    let text = text.trim();
    let (whole, zeros) = text.split_once('.').unwrap_or((text, "0"));
    if zeros.is_empty() || !zeros.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let digits = without_underscores(whole)?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| saturating(&digits))
}

/// The value of a sign and digits, or the nearest end of the range.
fn saturating(digits: &str) -> i128 {
    let end = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
    digits.parse().unwrap_or(end)
}

/// A number: also `true` and `"1.5"`. May be infinite or NaN.
pub(super) fn number(input: &Json<'_>) -> Result<f64, Fault> {
    match input {
        Json::Float(value) => Ok(*value),
        Json::Integer(digits) => digits.parse().map_err(|_| FLOAT_PARSING),
        Json::Bool(value) => Ok(f64::from(*value)),
        Json::Text(Text::Whole(text)) => {
            without_underscores(text.trim()).and_then(|text| text.parse().ok()).ok_or(FLOAT_PARSING)
        }
        _ => Err(FLOAT_TYPE),
    }
}

/// Underscores may separate digits, one at a time.
fn without_underscores(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}

/// A boolean: also 0 and 1, as integer, float or text, and the words for yes and no.
pub(super) fn boolean(input: &Json<'_>) -> Result<bool, Fault> {
    const YES: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
    const NO: [&str; 6] = ["0", "off", "f", "false", "n", "no"];
    let among =
        |words: [&str; 6], text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match input {
        Json::Bool(value) => Ok(*value),
        Json::Text(Text::Whole(text)) if among(YES, text) => Ok(true),
        Json::Text(Text::Whole(text)) if among(NO, text) => Ok(false),
        Json::Text(Text::Whole(_)) => Err(BOOL_PARSING),
        Json::Integer(_) | Json::Float(_) => match integer(input).map(i64::try_from) {
            Ok(Ok(0)) => Ok(false),
            Ok(Ok(1)) => Ok(true),
            Ok(Ok(_)) => Err(BOOL_PARSING),
            Ok(Err(_)) | Err(_) => Err(BOOL_TYPE),
        },
        _ => Err(BOOL_TYPE),
    }
}
