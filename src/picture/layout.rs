//! Where the boxes stand and the lines run.
//!
//! Between two boxes that everything passes through, what lies between is a chain or several branches side by side, each
//! of which is laid out in the same way. What is neither is a column with its connections beside it. So branches have
//! columns of their own, and lines run in them, in the gaps between rows, and in lanes beside them.

use super::cards::Edges;
use super::{Card, Line, Text, width};

/// Between two boxes one below the other; lines run across in the middle of it.
const GAP: i32 = 32;
/// Between branches.
const BETWEEN: i32 = 28;
/// For a line beside a branch.
const LANE: i32 = 22;
/// Around the picture.
const BORDER: i32 = 24;
/// For the heading.
const HEADING: i32 = 52;
/// Branches within branches; what is deeper is a column.
const DEEPEST: usize = 100;

/// What came of it.
pub(super) struct Placed {
    pub lines: Vec<Line>,
    pub width: i32,
    pub height: i32,
}

/// Something to be placed around a vertical axis.
struct Piece {
    shape: Shape,
    /// How far it reaches from the axis.
    left: i32,
    /// How far it reaches from the axis.
    right: i32,
    height: i32,
}

enum Shape {
    Card(usize),
    /// One below the other.
    Chain(Vec<Piece>),
    /// Side by side, each with the place of its axis; then connections that skip them.
    Branches(Vec<(i32, Piece)>, Vec<usize>),
    /// Boxes one below the other; then connections in lanes beside them, with whether they leave and enter at the side.
    Column(Vec<usize>, Vec<(usize, i32, [bool; 2])>),
}

/// How a connection runs if it is not straight.
#[derive(Clone, Copy)]
struct Lane {
    x: i32,
    /// Whether it leaves the side of its box, and enters that of the other.
    sides: [bool; 2],
}

/// Places the boxes and gives the lines.
pub(super) fn layout(cards: &mut [Card], edges: &Edges, title: &mut [Text]) -> Placed {
    let last = cards.len().saturating_sub(1);
    let mut out = vec![Vec::new(); cards.len()];
    for (i, &(from, _)) in edges.iter().enumerate() {
        out[from].push(i);
    }
    let plan = Plan { cards, edges, out };
    let mut pieces = vec![plan.card(0)];
    if last > 0 {
        pieces.extend(plan.between(0, last, (1..last).collect(), plan.direct(0, last), 0));
        pieces.push(plan.card(last));
    }
    let whole = chain(pieces);
    let text = title.iter().map(|text| width(&text.text, text.role)).max().unwrap_or(0);
    let drawn = whole.left + whole.right;
    let inner = drawn.max(text);
    let mut lanes = vec![None; edges.len()];
    place(&whole, BORDER + whole.left + (inner - drawn) / 2, HEADING + BORDER, cards, &mut lanes);
    for text in title {
        text.x = BORDER;
        text.y += BORDER + 12;
    }
    let lines = edges.iter().zip(&lanes).map(|(&edge, lane)| line(cards, edge, *lane)).collect();
    Placed { lines, width: inner + 2 * BORDER, height: whole.height + HEADING + 2 * BORDER }
}

/// What is laid out.
struct Plan<'a> {
    cards: &'a [Card],
    edges: &'a Edges,
    /// Edges by the box that they leave.
    out: Vec<Vec<usize>>,
}

impl Plan<'_> {
    fn card(&self, card: usize) -> Piece {
        let Card { width, height, .. } = self.cards[card];
        Piece { shape: Shape::Card(card), left: width / 2, right: width - width / 2, height }
    }

    /// The connections from one box to another.
    fn direct(&self, from: usize, to: usize) -> Vec<usize> {
        self.out[from].iter().copied().filter(|&e| self.edges[e].1 == to).collect()
    }

    /// The boxes that those of `nodes` or `bottom`, by their place among them, that a box leads to.
    fn targets<'s>(&'s self, from: usize, nodes: &'s [usize], bottom: usize) -> impl Iterator<Item = usize> + 's {
        self.out[from].iter().filter_map(move |&e| match self.edges[e].1 {
            to if to == bottom => Some(nodes.len()),
            to => nodes.binary_search(&to).ok(),
        })
    }

    /// What lies between two boxes: `nodes`, in execution order, and the connections `direct` beside them.
    fn between(&self, top: usize, bottom: usize, nodes: Vec<usize>, direct: Vec<usize>, depth: usize) -> Option<Piece> {
        if nodes.is_empty() {
            // Of several connections between two boxes the first is straight.
            return (direct.len() > 1).then(|| branches(Vec::new(), direct[1..].to_vec()));
        }
        let cuts = if direct.is_empty() { self.cuts(top, bottom, &nodes) } else { Vec::new() };
        if !cuts.is_empty() {
            let mut pieces = Vec::new();
            let (mut above, mut start) = (top, 0);
            for at in cuts {
                let cut = nodes[at];
                let inner = nodes[start..at].to_vec();
                pieces.extend(self.between(above, cut, inner, self.direct(above, cut), depth + 1));
                pieces.push(self.card(cut));
                (above, start) = (cut, at + 1);
            }
            let inner = nodes[start..].to_vec();
            pieces.extend(self.between(above, bottom, inner, self.direct(above, bottom), depth + 1));
            return Some(chain(pieces));
        }
        let parts = self.parts(&nodes, bottom);
        if depth > DEEPEST || parts.len() == 1 && direct.is_empty() {
            return Some(self.column(top, bottom, nodes, direct));
        }
        let parts = parts.into_iter();
        let pieces = parts.filter_map(|part| self.between(top, bottom, part, Vec::new(), depth + 1)).collect();
        Some(branches(pieces, direct))
    }

    /// The places of the boxes that every way from `top` to `bottom` passes: no connection jumps over them.
    fn cuts(&self, top: usize, bottom: usize, nodes: &[usize]) -> Vec<usize> {
        let inner = |target: usize| target < nodes.len();
        let mut furthest = self.targets(top, nodes, bottom).filter(|&t| inner(t)).max().unwrap_or(0);
        let mut cuts = Vec::new();
        for (at, &node) in nodes.iter().enumerate() {
            if furthest <= at {
                cuts.push(at);
            }
            furthest = furthest.max(self.targets(node, nodes, bottom).max().unwrap_or(0));
        }
        cuts
    }

    /// Groups of boxes that are not connected to each other.
    fn parts(&self, nodes: &[usize], bottom: usize) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..nodes.len()).collect();
        fn root(group: &mut [usize], mut at: usize) -> usize {
            while group[at] != at {
                group[at] = group[group[at]];
                at = group[at];
            }
            at
        }
        for (at, &node) in nodes.iter().enumerate() {
            for target in self.targets(node, nodes, bottom).filter(|&t| t < nodes.len()) {
                let (a, b) = (root(&mut group, at), root(&mut group, target));
                group[a.max(b)] = a.min(b);
            }
        }
        let mut parts: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, &node) in nodes.iter().enumerate() {
            let first = root(&mut group, at);
            match parts.binary_search_by_key(&first, |(first, _)| *first) {
                Ok(part) => parts[part].1.push(node),
                Err(part) => parts.insert(part, (first, vec![node])),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Boxes one below the other, with every connection but those to the next one in a lane beside them.
    fn column(&self, top: usize, bottom: usize, nodes: Vec<usize>, direct: Vec<usize>) -> Piece {
        let place = |card: usize| match card {
            card if card == top => 0,
            card if card == bottom => nodes.len() + 1,
            card => nodes.binary_search(&card).map_or(0, |at| at + 1),
        };
        let mut beside = Vec::new();
        // In each lane, how far down it is taken.
        let mut taken: Vec<usize> = Vec::new();
        for &from in std::iter::once(&top).chain(&nodes) {
            let mut straight = false;
            for &edge in &self.out[from] {
                let to = self.edges[edge].1;
                let known = to == bottom || nodes.binary_search(&to).is_ok();
                if !known || from == top && to == bottom && !direct.contains(&edge) {
                    continue;
                }
                let (start, end) = (place(from), place(to));
                if end == start + 1 && !straight {
                    straight = true;
                    continue;
                }
                let lane = taken.iter().position(|&until| until <= start).unwrap_or(taken.len());
                taken.resize(taken.len().max(lane + 1), 0);
                taken[lane] = end;
                let lane = i32::try_from(lane).unwrap_or(0) + 1;
                beside.push((edge, lane, [from != top, to != bottom]));
            }
        }
        let pieces: Vec<Piece> = nodes.iter().map(|&node| self.card(node)).collect();
        let stacked = chain(pieces);
        let lanes = LANE * i32::try_from(taken.len()).unwrap_or(0);
        Piece { shape: Shape::Column(nodes, beside), right: stacked.right + lanes + LANE / 2, ..stacked }
    }
}

fn chain(pieces: Vec<Piece>) -> Piece {
    let left = pieces.iter().map(|p| p.left).max().unwrap_or(0);
    let right = pieces.iter().map(|p| p.right).max().unwrap_or(0);
    let gaps = GAP * i32::try_from(pieces.len().saturating_sub(1)).unwrap_or(0);
    let height = pieces.iter().map(|p| p.height).sum::<i32>() + gaps;
    Piece { shape: Shape::Chain(pieces), left, right, height }
}

fn branches(pieces: Vec<Piece>, direct: Vec<usize>) -> Piece {
    let height = pieces.iter().map(|p| p.height).max().unwrap_or(0);
    let mut axes = Vec::new();
    let mut end = 0;
    for piece in &pieces {
        let start = if axes.is_empty() { 0 } else { end + BETWEEN };
        axes.push(start + piece.left);
        end = start + piece.left + piece.right;
    }
    let middle = axes.first().zip(axes.last()).map_or(0, |(first, last)| (first + last) / 2);
    let lanes = LANE * i32::try_from(direct.len()).unwrap_or(0);
    let pieces: Vec<(i32, Piece)> = axes.into_iter().map(|axis| axis - middle).zip(pieces).collect();
    Piece { shape: Shape::Branches(pieces, direct), left: middle, right: end - middle + lanes, height }
}

/// Places a piece with its axis at `x` and its top at `y`.
fn place(piece: &Piece, x: i32, y: i32, cards: &mut [Card], lanes: &mut [Option<Lane>]) {
    match &piece.shape {
        Shape::Card(card) => put(&mut cards[*card], x - piece.left, y),
        Shape::Chain(pieces) => {
            let mut y = y;
            for piece in pieces {
                place(piece, x, y, cards, lanes);
                y += piece.height + GAP;
            }
        }
        Shape::Branches(pieces, direct) => {
            for (axis, piece) in pieces {
                place(piece, x + axis, y, cards, lanes);
            }
            let side = x + piece.right - LANE * i32::try_from(direct.len()).unwrap_or(0);
            for (i, &edge) in (0..).zip(direct) {
                lanes[edge] = Some(Lane { x: side + LANE * (i + 1) - 2, sides: [false; 2] });
            }
        }
        Shape::Column(nodes, beside) => {
            let mut y = y;
            let mut side = x;
            for &node in nodes {
                let card = &mut cards[node];
                put(card, x - card.width / 2, y);
                side = side.max(card.x + card.width);
                y += card.height + GAP;
            }
            for &(edge, lane, sides) in beside {
                lanes[edge] = Some(Lane { x: side + LANE * lane, sides });
            }
        }
    }
}

fn put(card: &mut Card, x: i32, y: i32) {
    (card.x, card.y) = (x, y);
    for text in &mut card.texts {
        text.x += x;
        text.y += y;
    }
}

/// The line of a connection.
fn line(cards: &[Card], (from, to): (usize, usize), lane: Option<Lane>) -> Line {
    let (a, b) = (&cards[from], &cards[to]);
    let middle = |card: &Card| card.x + card.width / 2;
    let (start, end) = ((middle(a), a.y + a.height), (middle(b), b.y));
    let lane = lane.unwrap_or(Lane { x: start.0, sides: [false; 2] });
    let mut points = Vec::new();
    if lane.sides[0] {
        let y = a.y + a.height * 2 / 3;
        points.extend([(a.x + a.width, y), (lane.x, y)]);
    } else {
        points.extend([start, (start.0, start.1 + GAP / 2), (lane.x, start.1 + GAP / 2)]);
    }
    if lane.sides[1] {
        let y = b.y + b.height / 3;
        points.extend([(lane.x, y), (b.x + b.width, y)]);
    } else {
        points.extend([(lane.x, end.1 - GAP / 2), (end.0, end.1 - GAP / 2), end]);
    }
    points.dedup();
    // Corners only.
    let mut corners: Vec<(i32, i32)> = Vec::new();
    for point in points {
        while let [.., p, q] = corners.as_slice()
            && (p.0 == q.0 && q.0 == point.0 || p.1 == q.1 && q.1 == point.1)
        {
            corners.pop();
        }
        corners.push(point);
    }
    Line { from, to, points: corners }
}
