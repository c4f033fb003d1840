//! Decodes PNG and JPEG files.

use super::Image;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::path::Path;

/// Whether a file's name says that it is an image that can be decoded.
pub fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    matches!(extension.as_str(), "png" | "jpg" | "jpeg")
}

/// Decodes the image file at `path`: grey images have one channel, all others three; transparency is dropped.
pub fn image(path: &Path) -> Result<Image<'static>> {
    let bytes = super::read(path)?;
    let damaged = |e: image::ImageError| Error::file(path, format!("cannot be decoded: {}", first_cause(&e)));
    let reader = image::ImageReader::new(std::io::Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(|e| Error::io("read", path, e))?;
    if reader.format().is_none() {
        return Err(Error::file(path, "is neither a PNG nor a JPEG image"));
    }
    let decoded = reader.decode().map_err(damaged)?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    if width == 0 || height == 0 {
        return Err(Error::file(path, format!("has {width}×{height} pixels: none")));
    }
    let (channels, pixels) = if decoded.color().has_color() {
        (3, decoded.into_rgb8().into_raw())
    } else {
        (1, decoded.into_luma8().into_raw())
    };
    Ok(Image { height, width, channels, pixels: Cow::Owned(pixels) })
}

/// What the decoder says, in one line, without what it says of itself around it.
fn first_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}
