//! A drawing as PDF, for a paper. It converts the SVG that this program draws, not any SVG.

use pdf_writer::types::LineCapStyle;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use roxmltree::{Document, Node};
use thiserror::Error;

/// The reasons why a drawing cannot be converted.
#[derive(Debug, Error)]
pub enum PdfError {
    /// The font has no such letter.
    #[error("the font of a PDF, Helvetica, has no letter {0:?}; write the figure to a file that ends in .svg")]
    Letter(char),
    /// The SVG is not one that this program draws.
    #[error("cannot convert the figure: {0}")]
    Svg(String),
}

impl From<roxmltree::Error> for PdfError {
    fn from(error: roxmltree::Error) -> Self {
        Self::Svg(error.to_string())
    }
}

/// Points per SVG user unit: 96 units and 72 points are an inch.
const POINTS: f32 = 0.75;

/// Name of the font in the file. Viewers have it, so it is not embedded.
const FONT: Name<'_> = Name(b"F");

/// Widths of the letters from space to tilde, in thousandths of the font size, from the Helvetica font metrics.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];

/// Width of letters that are not in [`WIDTHS`].
const OTHER_WIDTH: u16 = 556;

/// Encodes text for the font, in the encoding of Windows code page 1252.
fn encoded(text: &str) -> Result<Vec<u8>, PdfError> {
    let code = |letter: char| match letter {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(letter)).map_err(|_| PdfError::Letter(letter)),
        '…' => Ok(0x85),
        '‘' => Ok(0x91),
        '’' => Ok(0x92),
        '“' => Ok(0x93),
        '”' => Ok(0x94),
        '–' => Ok(0x96),
        '—' => Ok(0x97),
        other => Err(PdfError::Letter(other)),
    };
    text.chars().map(code).collect()
}

/// Width of encoded text as a fraction of the font size.
fn width(text: &[u8]) -> f32 {
    let width =
        |letter: &u8| letter.checked_sub(b' ').and_then(|nr| WIDTHS.get(usize::from(nr))).unwrap_or(&OTHER_WIDTH);
    text.iter().map(|letter| f32::from(*width(letter))).sum::<f32>() / 1000.0
}

/// Converts a figure to a PDF of one page that is as large as the figure.
///
/// # Errors
/// Fails if the font lacks a letter.
pub fn pdf(svg: &str, title: &str) -> Result<Vec<u8>, PdfError> {
    let document = Document::parse(svg)?;
    let root = document.root_element();
    let (wide, high) = (number(root, "width")?, number(root, "height")?);
    let (catalog, pages, page, font, content, info) =
        (Ref::new(1), Ref::new(2), Ref::new(3), Ref::new(4), Ref::new(5), Ref::new(6));
    let mut painter = Painter { content: Content::new(), opacities: Vec::new() };
    // The origin of a PDF is at the bottom.
    painter.content.transform([POINTS, 0.0, 0.0, -POINTS, 0.0, high * POINTS]);
    painter.children(root)?;
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.document_info(info).title(TextStr(title));
    pdf.pages(pages).kids([page]).count(1);
    let mut shown = pdf.page(page);
    shown.media_box(Rect::new(0.0, 0.0, wide * POINTS, high * POINTS)).parent(pages).contents(content);
    let mut resources = shown.resources();
    resources.fonts().pair(FONT, font);
    let mut states = resources.ext_g_states();
    for percent in &painter.opacities {
        let share = f32::from(*percent) / 100.0;
        states
            .insert(Name(state(*percent).as_bytes()))
            .start::<pdf_writer::writers::ExtGraphicsState<'_>>()
            .non_stroking_alpha(share)
            .stroking_alpha(share);
    }
    states.finish();
    resources.finish();
    shown.finish();
    pdf.type1_font(font).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.stream(content, &painter.content.finish());
    Ok(pdf.finish())
}

/// Name of the state with this opacity.
fn state(percent: u8) -> String {
    format!("O{percent}")
}

/// The number of an attribute, without its unit.
fn number(node: Node<'_, '_>, name: &str) -> Result<f32, PdfError> {
    let value =
        node.attribute(name).ok_or_else(|| PdfError::Svg(format!("{} without {name}", node.tag_name().name())))?;
    value.parse().map_err(|_| PdfError::Svg(format!("{name} is {value:?}")))
}

/// The points of a list such as `1,2 3,4`.
fn points(node: Node<'_, '_>) -> Result<Vec<(f32, f32)>, PdfError> {
    let list = node.attribute("points").unwrap_or_default();
    let pair = |pair: &str| {
        let (x, y) = pair.split_once(',')?;
        Some((x.parse().ok()?, y.parse().ok()?))
    };
    let pairs: Option<Vec<(f32, f32)>> = list.split_whitespace().map(pair).collect();
    pairs.ok_or_else(|| PdfError::Svg(format!("points are {list:?}")))
}

/// Red, green and blue from 0 to 1 of a colour such as `#0072B2`; `None` for no colour.
fn colour(node: Node<'_, '_>, name: &str) -> Option<[f32; 3]> {
    let text = node.ancestors().find_map(|node| node.attribute(name))?.strip_prefix('#')?;
    let part = |at: usize| Some(f32::from(u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?) / 255.0);
    Some([part(0)?, part(2)?, part(4)?])
}

struct Painter {
    content: Content,
    /// Opacities in percent that are used.
    opacities: Vec<u8>,
}

impl Painter {
    fn children(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        node.children().filter(Node::is_element).try_for_each(|child| self.element(child))
    }

    fn element(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        // Areas that show a value when pointed at.
        if node.attribute("class") == Some("hits") {
            return Ok(());
        }
        self.content.save_state();
        let opacity = node.attribute("opacity").and_then(|text| text.parse::<f32>().ok()).unwrap_or(1.0);
        let percent = (opacity.clamp(0.0, 1.0) * 100.0).round() as u8;
        if percent < 100 {
            if !self.opacities.contains(&percent) {
                self.opacities.push(percent);
            }
            self.content.set_parameters(Name(state(percent).as_bytes()));
        }
        match node.tag_name().name() {
            "svg" => {
                self.placed(node)?;
                self.children(node)?;
            }
            "g" => self.children(node)?,
            "rect" => self.rectangle(node)?,
            "line" => {
                self.content.move_to(number(node, "x1")?, number(node, "y1")?);
                self.content.line_to(number(node, "x2")?, number(node, "y2")?);
                self.paint(node);
            }
            "polyline" | "polygon" => {
                for (nr, (x, y)) in points(node)?.into_iter().enumerate() {
                    if nr == 0 {
                        self.content.move_to(x, y)
                    } else {
                        self.content.line_to(x, y)
                    };
                }
                if node.tag_name().name() == "polygon" {
                    self.content.close_path();
                }
                self.paint(node);
            }
            "circle" => self.circle(node)?,
            "text" => self.text(node)?,
            other => return Err(PdfError::Svg(format!("an element {other}"))),
        }
        self.content.restore_state();
        Ok(())
    }

    /// Moves the origin to that of a panel, and scales it.
    fn placed(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        let inside = node.attribute("viewBox").unwrap_or_default().split_whitespace().nth(2);
        let inside: f32 = inside.and_then(|width| width.parse().ok()).unwrap_or(1.0);
        let scale = number(node, "width")? / inside;
        self.content.transform([scale, 0.0, 0.0, scale, number(node, "x")?, number(node, "y")?]);
        Ok(())
    }

    fn rectangle(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        // The background is that of the paper.
        if node.attribute("width") == Some("100%") {
            return Ok(());
        }
        let corner = (number(node, "x")?, number(node, "y")?);
        self.content.rect(corner.0, corner.1, number(node, "width")?, number(node, "height")?);
        self.paint(node);
        Ok(())
    }

    fn circle(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        let (x, y, r) = (number(node, "cx")?, number(node, "cy")?, number(node, "r")?);
        // Four cubic curves with these control points are a circle, within 0.03 % of its radius.
        let c = 0.5523 * r;
        self.content.move_to(x + r, y);
        self.content.cubic_to(x + r, y + c, x + c, y + r, x, y + r);
        self.content.cubic_to(x - c, y + r, x - r, y + c, x - r, y);
        self.content.cubic_to(x - r, y - c, x - c, y - r, x, y - r);
        self.content.cubic_to(x + c, y - r, x + r, y - c, x + r, y);
        self.content.close_path();
        self.paint(node);
        Ok(())
    }

    /// Fills and strokes the current path with the colours of an element.
    fn paint(&mut self, node: Node<'_, '_>) {
        let (fill, stroke) = (colour(node, "fill"), colour(node, "stroke"));
        if let Some([red, green, blue]) = fill {
            self.content.set_fill_rgb(red, green, blue);
        }
        if let Some([red, green, blue]) = stroke {
            let width = node.ancestors().find_map(|node| node.attribute("stroke-width"));
            self.content.set_stroke_rgb(red, green, blue).set_line_cap(LineCapStyle::ButtCap);
            self.content.set_line_width(width.and_then(|width| width.parse().ok()).unwrap_or(1.0));
        }
        match (fill.is_some(), stroke.is_some()) {
            (true, true) => self.content.fill_nonzero_and_stroke(),
            (true, false) => self.content.fill_nonzero(),
            (false, true) => self.content.stroke(),
            (false, false) => self.content.end_path(),
        };
    }

    fn text(&mut self, node: Node<'_, '_>) -> Result<(), PdfError> {
        let text = encoded(node.text().unwrap_or_default().trim())?;
        let size = number(node, "font-size")?;
        // The height of a small letter of Helvetica is 0.523 of the font size.
        let down = match node.attribute("dy") {
            Some("0.5ex") => 0.26,
            Some("-0.5ex") => -0.26,
            Some("0.76em") => 0.76,
            _ => 0.0,
        };
        let along = match node.attribute("text-anchor") {
            Some("middle") => -0.5 * width(&text),
            Some("end") => -width(&text),
            _ => 0.0,
        };
        let [red, green, blue] = colour(node, "fill").unwrap_or_default();
        let (x, y) = (number(node, "x")?, number(node, "y")?);
        let (along, down) = (along * size, down * size);
        // Upright again, because the page is turned upside down; names of vertical axes read upwards.
        let matrix = match node.attribute("transform") {
            Some(turned) if turned.starts_with("rotate(270") => [0.0, -1.0, -1.0, 0.0, x + down, y - along],
            _ => [1.0, 0.0, 0.0, -1.0, x + along, y + down],
        };
        self.content.set_fill_rgb(red, green, blue);
        self.content.begin_text().set_font(FONT, size).set_text_matrix(matrix).show(Str(&text)).end_text();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_widths_of_helvetica_and_only_its_letters() {
        assert_eq!(width(b"Ai "), 0.667 + 0.222 + 0.278);
        assert_eq!(encoded("µ×…–").unwrap(), [0xb5, 0xd7, 0x85, 0x96]);
        let error = encoded("שלום").unwrap_err().to_string();
        assert!(error.contains("'ש'") && error.contains(".svg"), "{error}");
    }

    #[test]
    fn a_figure_is_one_page_of_its_size() {
        let svg = "<svg width=\"400\" height=\"200\"><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\
                   <svg x=\"10\" y=\"20\" width=\"180\" height=\"90\" viewBox=\"0 0 360 180\">\
                   <text x=\"6\" y=\"50\" dy=\"0.76em\" text-anchor=\"middle\" font-size=\"12.1\" fill=\"#000000\" \
                   transform=\"rotate(270, 6, 50)\">\nup\n</text><circle cx=\"1\" cy=\"2\" r=\"3\" fill=\"#0072B2\"/>\
                   <polyline fill=\"none\" opacity=\"0.5\" stroke=\"#000000\" points=\"1,2 3,4\"/></svg></svg>";
        let file = pdf(svg, "a (title)").unwrap();
        let text = String::from_utf8_lossy(&file);
        assert!(text.starts_with("%PDF-") && text.trim_end().ends_with("%%EOF"), "{text}");
        for said in ["[0 0 300 150]", "(up) Tj", "/O50 gs", "/BaseFont /Helvetica", "/Title (a (title))"] {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(pdf("<svg width=\"1\" height=\"1\"><image/></svg>", "").is_err());
        assert!(pdf("<svg", "").is_err());
    }
}
