//! Geometry of images before the compiled arithmetic: resize, crop, flip, channels, and from pixels to planes.
//!
//! Random choices are drawn from a stream that the caller keys by seed, epoch and sample, so they depend on neither
//! threads nor the order in which samples are prepared.

use crate::data::Image;
use crate::program::{CropInfo, Manifest, PreprocessInfo, ResizeInfo};
use crate::random::Stream;
use fast_image_resize as resize;
use std::borrow::Cow;

/// Images that a resize would make larger than this many pixels are refused.
const MAX_PIXELS: usize = 1 << 28;

/// What a program's images must become.
#[derive(Debug, Clone)]
pub struct Geometry {
    /// Channels, height, width; `None` for a network of flat features, which takes what has as many values.
    shape: Option<[usize; 3]>,
    values: usize,
    info: PreprocessInfo,
}

/// A place in the image: the first row and column of the crop (negative in the padding), and whether to mirror it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    top: isize,
    left: isize,
    height: usize,
    width: usize,
    mirror: bool,
}

impl Geometry {
    /// The geometry of a program.
    pub fn new(manifest: &Manifest) -> Geometry {
        let shape = match manifest.input.shape[..] {
            [channels, height, width] => Some([channels, height, width]),
            _ => None,
        };
        Geometry { shape, values: manifest.input.shape.iter().product(), info: manifest.preprocess.clone() }
    }

    /// Values of one prepared image.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Prepares `image` into `out`, channels × height × width. Random choices come from `random`; without it the
    /// choices are those of evaluation. An error says why the image cannot be used.
    pub fn prepare(&self, image: &Image<'_>, random: Option<Stream>, out: &mut [u8]) -> Result<(), String> {
        let image = self.resized(image)?;
        let [channels, height, width] = match self.shape {
            Some(shape) => shape,
            None => [self.values / (image.height * image.width).max(1), image.height, image.width],
        };
        if channels * height * width != out.len() || channels == 0 {
            let size = size(&image);
            return Err(format!("is {size}, {} values are needed; set `preprocess.resize`", out.len()));
        }
        let view = self.view(&image, height, width, random)?;
        copy(&image, &view, channels, self.info.bgr, out)
    }

    fn resized<'a>(&self, image: &'a Image<'_>) -> Result<Cow<'a, Image<'a>>, String> {
        let (height, width) = match self.info.resize {
            None => return Ok(Cow::Borrowed(image)),
            Some(ResizeInfo::Exact { height, width }) => (height, width),
            // The longer side is rounded down, as in torchvision.
            Some(ResizeInfo::ShorterSide(side)) if image.height <= image.width => {
                (side, side.saturating_mul(image.width) / image.height.max(1))
            }
            Some(ResizeInfo::ShorterSide(side)) => (side.saturating_mul(image.height) / image.width.max(1), side),
        };
        if (height, width) == (image.height, image.width) {
            return Ok(Cow::Borrowed(image));
        }
        let failed = |e: String| format!("is {} and cannot be resized to {height}×{width}: {e}", size(image));
        if height.checked_mul(width).is_none_or(|pixels| pixels > MAX_PIXELS) {
            return Err(failed("too large".to_owned()));
        }
        let kind = if image.channels == 1 { resize::PixelType::U8 } else { resize::PixelType::U8x3 };
        let mut pixels = vec![0; height * width * image.channels];
        let source = resize::images::ImageRef::new(image.width as u32, image.height as u32, &image.pixels, kind)
            .map_err(|e| failed(e.to_string()))?;
        let mut target = resize::images::Image::from_slice_u8(width as u32, height as u32, &mut pixels, kind)
            .map_err(|e| failed(e.to_string()))?;
        let options = resize::ResizeOptions::new()
            .resize_alg(resize::ResizeAlg::Convolution(resize::FilterType::Bilinear))
            .use_alpha(false);
        resize::Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(e.to_string()))?;
        Ok(Cow::Owned(Image { height, width, channels: image.channels, pixels: Cow::Owned(pixels) }))
    }

    fn view(&self, image: &Image<'_>, height: usize, width: usize, random: Option<Stream>) -> Result<View, String> {
        let padding = match self.info.crop {
            CropInfo::PaddedRandom(padding) => padding,
            CropInfo::None | CropInfo::Center | CropInfo::Random => 0,
        };
        let fits = match self.info.crop {
            CropInfo::None => (image.height, image.width) == (height, width),
            CropInfo::Center | CropInfo::Random => image.height >= height && image.width >= width,
            CropInfo::PaddedRandom(padding) => {
                // In evaluation the padding's rows may be needed too: the centre is the same with and without it.
                image.height + 2 * padding >= height && image.width + 2 * padding >= width
            }
        };
        if !fits {
            let size = size(image);
            let (when, what) = if self.info.resize.is_some() { (" after `resize`", "change") } else { ("", "set") };
            return Err(format!(
                "is {size}{when}; the network reads {height}×{width}: {what} `preprocess.resize`, or `preprocess.crop`"
            ));
        }
        let padding = padding as isize;
        let slack = |image: usize, network: usize| image as isize + 2 * padding - network as isize;
        let (rows, columns) = (slack(image.height, height), slack(image.width, width));
        // Three draws, always in this order, whatever is used of them.
        let (mut top, mut left, mut mirror) = (rows / 2, columns / 2, false);
        if let Some(mut random) = random {
            let (row, column, flip) = (random.below(rows as u32 + 1), random.below(columns as u32 + 1), random.unit());
            if matches!(self.info.crop, CropInfo::Random | CropInfo::PaddedRandom(_)) {
                (top, left) = (row as isize, column as isize);
            }
            mirror = flip < self.info.flip;
        }
        Ok(View { top: top - padding, left: left - padding, height, width, mirror })
    }
}

fn size(image: &Image<'_>) -> String {
    format!(
        "{}×{} (height × width) with {} channel{}",
        image.height,
        image.width,
        image.channels,
        if image.channels == 1 { "" } else { "s" }
    )
}

/// Copies the view of `image` to planes, making of its channels what the network wants.
fn copy(image: &Image<'_>, view: &View, channels: usize, bgr: bool, out: &mut [u8]) -> Result<(), String> {
    let have = image.channels;
    if have != channels && have != 1 && !(have == 3 && channels == 1) {
        return Err(format!("has {have} channels; the network reads {channels}"));
    }
    out.fill(0);
    let (first, last) = visible(view.left, view.width, image.width);
    let plane_size = view.height * view.width;
    for (channel, plane) in out.chunks_exact_mut(plane_size).enumerate() {
        let source = match (have, bgr && channels == 3) {
            (1, _) => 0,
            (_, true) => 2 - channel,
            (_, false) => channel,
        };
        for (y, row) in plane.chunks_exact_mut(view.width).enumerate() {
            let Some(source_row) = inside(view.top + y as isize, image.height) else { continue };
            let begin = source_row * image.width + (view.left + first as isize) as usize;
            let line = &image.pixels[begin * have..][..(last - first) * have];
            let row = &mut row[first..last];
            match (have, channels) {
                (1, _) => row.copy_from_slice(line),
                (_, 1) => {
                    for (value, pixel) in row.iter_mut().zip(line.chunks_exact(have)) {
                        *value = luma(pixel[0], pixel[1], pixel[2]);
                    }
                }
                _ => {
                    for (value, pixel) in row.iter_mut().zip(line.chunks_exact(have)) {
                        *value = pixel[source];
                    }
                }
            }
        }
        if view.mirror {
            plane.chunks_exact_mut(view.width).for_each(<[u8]>::reverse);
        }
    }
    Ok(())
}

/// The columns of a view, `first..last`, that lie in an image of `width` columns when the view begins at `left`.
fn visible(left: isize, view: usize, width: usize) -> (usize, usize) {
    let first = usize::try_from(-left).unwrap_or(0).min(view);
    let last = usize::try_from(width as isize - left).unwrap_or(0).clamp(first, view);
    (first, last)
}

fn inside(position: isize, length: usize) -> Option<usize> {
    usize::try_from(position).ok().filter(|&p| p < length)
}

/// Brightness by ITU-R 601, in the integer form that Pillow uses.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(shape: [usize; 3], resize: Option<ResizeInfo>, crop: CropInfo, flip: f32, bgr: bool) -> Geometry {
        Geometry {
            shape: Some(shape),
            values: shape.iter().product(),
            info: PreprocessInfo { resize, crop, flip, bgr },
        }
    }

    fn image(height: usize, width: usize, channels: usize) -> Image<'static> {
        let pixels = (0..height * width * channels).map(|i| (i * 7 % 251) as u8).collect();
        Image { height, width, channels, pixels: Cow::Owned(pixels) }
    }

    fn prepare(geometry: &Geometry, image: &Image<'_>, random: Option<Stream>) -> Vec<u8> {
        let mut out = vec![9; geometry.values()];
        geometry.prepare(image, random, &mut out).unwrap();
        out
    }

    #[test]
    fn pixels_become_planes_in_the_order_asked_for() {
        let source = image(2, 3, 3);
        let rgb = prepare(&geometry([3, 2, 3], None, CropInfo::None, 0.0, false), &source, None);
        let expected: Vec<u8> = (0..3).flat_map(|c| (0..6).map(move |p| (p * 3 + c) as u8 * 7)).collect();
        assert_eq!(rgb, expected);
        let bgr = prepare(&geometry([3, 2, 3], None, CropInfo::None, 0.0, true), &source, None);
        assert_eq!(bgr, [&rgb[12..], &rgb[6..12], &rgb[..6]].concat());
    }

    #[test]
    fn grey_is_repeated_and_colour_becomes_brightness() {
        let grey = image(2, 2, 1);
        let repeated = prepare(&geometry([3, 2, 2], None, CropInfo::None, 0.0, true), &grey, None);
        assert_eq!(repeated, grey.pixels.repeat(3));
        let colour =
            Image { height: 1, width: 3, channels: 3, pixels: Cow::Owned(vec![255, 255, 255, 255, 0, 0, 0, 0, 0]) };
        let one = prepare(&geometry([1, 1, 3], None, CropInfo::None, 0.0, false), &colour, None);
        assert_eq!(one, [255, 76, 0]);
    }

    #[test]
    fn the_centre_is_cut_out_and_the_shorter_side_resized() {
        let cut = prepare(&geometry([1, 2, 2], None, CropInfo::Center, 0.0, false), &image(4, 5, 1), None);
        let at = |y: usize, x: usize| ((y * 5 + x) * 7 % 251) as u8;
        assert_eq!(cut, [at(1, 1), at(1, 2), at(2, 1), at(2, 2)]);
        let flat = Image { height: 10, width: 20, channels: 3, pixels: Cow::Owned(vec![200; 600]) };
        let small =
            prepare(&geometry([3, 4, 4], Some(ResizeInfo::ShorterSide(5)), CropInfo::Center, 0.0, false), &flat, None);
        assert!(small.iter().all(|&v| v == 200));
        let large = Some(ResizeInfo::Exact { height: 24, width: 24 });
        assert_eq!(
            prepare(&geometry([1, 24, 24], large, CropInfo::None, 0.0, false), &image(3, 3, 1), None).len(),
            576
        );
    }

    #[test]
    fn random_crops_and_flips_follow_the_stream_alone() {
        let geometry = geometry([1, 4, 4], None, CropInfo::PaddedRandom(2), 0.5, false);
        let source = image(4, 4, 1);
        let draw = |seed, sample| prepare(&geometry, &source, Some(Stream::new(seed, [0, sample, 0])));
        let all: Vec<Vec<u8>> = (0..50).map(|sample| draw(1, sample)).collect();
        assert_eq!(all, (0..50).map(|sample| draw(1, sample)).collect::<Vec<_>>());
        assert_ne!(all, (0..50).map(|sample| draw(2, sample)).collect::<Vec<_>>());
        let mut distinct = all.clone();
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 20, "{}", distinct.len());
        // Without a stream: the centre, which is the image itself, unmirrored.
        assert_eq!(prepare(&geometry, &source, None), source.pixels.to_vec());
    }

    #[test]
    fn a_flip_mirrors_rows() {
        let geometry = geometry([1, 1, 4], None, CropInfo::None, 1.0, false);
        let out = prepare(&geometry, &image(1, 4, 1), Some(Stream::new(0, [0; 3])));
        assert_eq!(out, [21, 14, 7, 0]);
    }

    #[test]
    fn the_padding_is_black_and_the_rest_in_its_place() {
        let geometry = geometry([1, 3, 3], None, CropInfo::PaddedRandom(2), 0.0, false);
        let source = Image { height: 2, width: 2, channels: 1, pixels: Cow::Owned(vec![1, 2, 3, 4]) };
        for (top, left) in (-2..2).flat_map(|top| (-2..2).map(move |left| (top, left))) {
            let view = View { top, left, height: 3, width: 3, mirror: false };
            let mut out = vec![9; 9];
            copy(&source, &view, 1, false, &mut out).unwrap();
            for (i, &value) in out.iter().enumerate() {
                let (y, x) = (top + i as isize / 3, left + i as isize % 3);
                let expected = if (0..2).contains(&y) && (0..2).contains(&x) { 1 + 2 * y + x } else { 0 };
                assert_eq!(isize::from(value), expected, "{top} {left} {i}");
            }
            let mut mirrored = vec![9; 9];
            copy(&source, &View { mirror: true, ..view }, 1, false, &mut mirrored).unwrap();
            out.chunks_exact_mut(3).for_each(<[u8]>::reverse);
            assert_eq!(mirrored, out);
        }
        let drawn = |sample| prepare(&geometry, &source, Some(Stream::new(1, [0, sample, 0])));
        assert!((0..20).map(drawn).any(|out| out.iter().filter(|&&v| v == 0).count() > 5));
    }

    #[test]
    fn images_that_do_not_fit_say_why() {
        let mut out = vec![0; 16];
        let fails =
            |geometry: &Geometry, image: &Image<'_>, out: &mut [u8]| geometry.prepare(image, None, out).unwrap_err();
        let none = geometry([1, 4, 4], None, CropInfo::None, 0.0, false);
        let text = fails(&none, &image(5, 4, 1), &mut out);
        assert!(text.contains("is 5×4 (height × width) with 1 channel; the network reads 4×4"), "{text}");
        let centre = geometry([1, 4, 4], None, CropInfo::Center, 0.0, false);
        assert!(fails(&centre, &image(3, 9, 1), &mut out).contains("set `preprocess.resize`, or `preprocess.crop`"));
        let two = geometry([4, 2, 2], None, CropInfo::None, 0.0, false);
        assert!(fails(&two, &image(2, 2, 3), &mut out).contains("has 3 channels; the network reads 4"));
        let thin = geometry([1, 4, 4], Some(ResizeInfo::ShorterSide(100_000)), CropInfo::Center, 0.0, false);
        assert!(fails(&thin, &image(1, 200, 1), &mut out).contains("too large"));
        let flat = Geometry { shape: None, ..none.clone() };
        assert_eq!(prepare(&flat, &image(2, 8, 1), None).len(), 16);
        assert!(fails(&flat, &image(3, 3, 1), &mut out).contains("16 values are needed"));
    }
}
