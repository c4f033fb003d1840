//! A network as a picture: boxes with names, settings, shapes and parameters, and who feeds whom.
//!
//! Takes a [`Network`], gives a [`Picture`] ([`draw`]), and that as SVG ([`svg()`]). Layers that only change each element
//! (activation, normalisation, dropout) stand in the box of the layer that they follow. The network runs downwards;
//! branches stand side by side, connections that skip something run beside it. Lines never cross a box, and text fits
//! its box in Helvetica, Arial, Liberation Sans and wider fonts as DejaVu Sans. The same network gives the same bytes.
//!
//! Where a network's time goes is a picture, too: [`Bars`] give a [`Chart`] ([`chart()`]), and that SVG ([`chart_svg`]).

mod bars;
mod cards;
mod font;
mod layout;
mod svg;

pub use bars::{Bar, BarRow, Bars, Chart, ChartBox, Unit, chart, shortened};
pub use font::width;
pub use svg::{chart_svg, svg};

use crate::check::Network;

/// A picture; lengths are CSS pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The heading: name and totals.
    pub title: Vec<Text>,
    /// The boxes, in execution order.
    pub cards: Vec<Card>,
    /// The connections.
    pub lines: Vec<Line>,
    /// Size of the whole.
    pub width: i32,
    /// Size of the whole.
    pub height: i32,
}

/// A box with one layer and what was folded into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The layers in it, by name.
    pub layers: Vec<String>,
    /// What it is coloured by.
    pub family: Family,
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Size.
    pub width: i32,
    /// Size.
    pub height: i32,
    /// What is written in it; places are within the picture.
    pub texts: Vec<Text>,
}

/// What sort of thing a layer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The network's input.
    Input,
    /// Convolutions.
    Conv,
    /// Fully connected layers.
    Linear,
    /// Pooling.
    Pool,
    /// Normalisation, activations and dropout that follow no other layer.
    Pointwise,
    /// What joins branches.
    Join,
}

/// A piece of text on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub text: String,
    /// How it looks.
    pub role: Role,
    /// Left end, or right end if it ends there.
    pub x: i32,
    /// Baseline.
    pub y: i32,
    /// Whether `x` is its right end.
    pub ends: bool,
}

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The network's name.
    Title,
    /// A layer's name.
    Name,
    /// A shape.
    Shape,
    /// Settings and numbers.
    Detail,
}

/// A connection: from the box `from` through `points` to the box `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Index of the box that feeds.
    pub from: usize,
    /// Index of the box that reads.
    pub to: usize,
    /// Its corners with both ends; each piece is horizontal or vertical.
    pub points: Vec<(i32, i32)>,
}

/// The picture of a network.
pub fn draw(network: &Network) -> Picture {
    let (mut cards, edges) = cards::cards(network);
    let mut title = cards::title(network);
    let layout::Placed { lines, width, height } = layout::layout(&mut cards, &edges, &mut title);
    Picture { title, cards, lines, width, height }
}

impl Role {
    /// Height of the font.
    pub fn size(self) -> i32 {
        match self {
            Role::Title => 16,
            Role::Name | Role::Shape => 13,
            Role::Detail => 11,
        }
    }

    /// Whether it is bold.
    pub fn bold(self) -> bool {
        matches!(self, Role::Title | Role::Name)
    }
}
