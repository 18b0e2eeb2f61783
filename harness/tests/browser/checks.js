// Checks of a page for the tests. Unless stated otherwise, a check returns a list of problems.
globalThis.check = (() => {
    const all = (selector, root = document) => [...root.querySelectorAll(selector)];
    const words = (element) => element.textContent.replace(/\s+/g, " ").trim();
    const shown = (element) =>
        element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0;
    const name = (element) => {
        const id = element.id ? `#${element.id}` : "";
        const label = words(element).slice(0, 40);
        return `${element.localName}${id}${label ? ` “${label}”` : ""}`;
    };
    const labels = (svg) => all("text", svg).filter((text) => !text.closest(".hits") && shown(text));

    // Converts a CSS colour to red, green and blue from 0 to 255 and opacity from 0 to 1.
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const colours = new Map();
    const colour = (text) => {
        if (!colours.has(text)) {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = text;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
            colours.set(text, [r, g, b, a / 255]);
        }
        return colours.get(text);
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const paints = (style) => style.fill !== "none" && Number(style.fillOpacity) * Number(style.opacity) >= 0.5;
    // Background colour of an element: the backgrounds of its ancestors over the canvas, which is dark if the page supports dark.
    const ground = (element, paper) => {
        const layers = [];
        for (let at = element; at && !paper; at = at.parentElement) {
            layers.unshift(colour(getComputedStyle(at).backgroundColor));
        }
        const scheme = getComputedStyle(document.documentElement).colorScheme;
        const dark = !paper && /dark/.test(scheme) && matchMedia("(prefers-color-scheme: dark)").matches;
        return layers.reduce((below, layer) => over(layer, below), dark ? [18, 18, 18] : [255, 255, 255]);
    };
    // Background colour of a label in a picture, which may be on a rectangle.
    const groundOfLabel = (text, svg, paper) => {
        const at = text.getBoundingClientRect();
        const [x, y] = [at.x + at.width / 2, at.y + at.height / 2];
        const before = (mark) => mark.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
        const marks = all("rect", svg).filter((mark) => !mark.closest(".hits, defs") && before(mark));
        return marks.reduce((below, mark) => {
            const [box, style] = [mark.getBoundingClientRect(), getComputedStyle(mark)];
            const covers = box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
            return covers && paints(style) ? over(colour(style.fill), below) : below;
        }, ground(svg, paper));
    };
    const readable = (element, ink, below) => {
        const style = getComputedStyle(element);
        const size = parseFloat(style.fontSize);
        const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
        const ratio = contrast(over(colour(ink), below), below);
        return ratio >= needed ? [] : [`${name(element)}: contrast ${ratio.toFixed(2)}, ${ink} on ${below.map(Math.round)}`];
    };

    const csv = "a[data-format=csv][download]";
    const json = "a[data-format=json][download]";
    const row = (tr) => ({
        label: [...tr.cells].filter((cell) => !cell.dataset.layout).map(words).join(" "),
        op: tr.dataset.op,
        memory: tr.dataset.memory,
        shown: shown(tr),
        hidden: tr.hidden,
    });
    const rows = () => all("table#heat tbody tr");
    // A part that scrolls shows it by shadows at its edges.
    const cue = (part) => part && /gradient/.test(getComputedStyle(part).backgroundImage);
    const heads = () => all("table#heat thead th").filter((th) => th.querySelector("button"));

    return {
        // Properties of the figures.
        figures: () =>
            all("figure[data-figure]").map((figure) => {
                const svg = figure.querySelector(".plot svg");
                const missing = figure.querySelector("p.missing");
                const box = svg?.getBoundingClientRect();
                return {
                    name: figure.dataset.figure,
                    id: figure.id,
                    drawn: svg !== null,
                    missing: missing && words(missing),
                    caption: words(figure.querySelector("figcaption") ?? document.createElement("p")),
                    width: box?.width,
                    height: box?.height,
                    titles: all("g.hits > *", figure).map((mark) => words(mark.querySelector(":scope > title") ?? document.createElement("p"))),
                    links: [all(json, figure).length, all(csv, figure).length],
                };
            }),

        // Labels that are empty or not numbers, and invalid coordinates.
        broken: () =>
            all("figure svg").flatMap((svg) => {
                const figure = svg.closest("figure").id;
                const wrong = /\b(NaN|undefined|null|Infinity|inf)\b/;
                const texts = all("text, title", svg).filter((text) => !words(text) || wrong.test(words(text)));
                const marks = all("*", svg).filter((mark) => [...mark.attributes].some((attribute) => /\b(NaN|Infinity|undefined)\b/.test(attribute.value)));
                return [...texts, ...marks].map((element) => `${figure}: ${element.outerHTML.slice(0, 200)}`);
            }),

        // Words of table cells that are on two lines. A hyphen is a place to break.
        brokenWords: () =>
            all("td, th").filter(shown).flatMap((cell) => {
                const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
                const broken = [];
                for (let node = walk.nextNode(); node; node = walk.nextNode()) {
                    for (const word of node.data.matchAll(/[^\s\-–/]+/g)) {
                        const range = document.createRange();
                        range.setStart(node, word.index);
                        range.setEnd(node, word.index + word[0].length);
                        const tops = new Set([...range.getClientRects()].filter((box) => box.width > 0).map((box) => Math.round(box.top)));
                        if (tops.size > 1) broken.push(`${name(cell)}: ${word[0]}`);
                    }
                }
                return broken;
            }),

        // Headings and figures without an id or a link to it, and ids that occur twice.
        unlinked: () => {
            const ids = all("[id]").map((element) => element.id);
            const twice = ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`);
            // The heading of a figure links to the figure.
            const target = (element) => (element.localName === "h3" && element.closest("figure")) || element;
            const without = all("h2, h3, figure").filter((element) => !element.id || !document.querySelector(`a.link[href="#${CSS.escape(target(element).id)}"]`));
            return twice.concat(without.map(name));
        },

        // Figures that are wider than the window of this width and do not scroll, so that a part of them cannot be seen.
        wideFigures: (width) =>
            all("figure svg, table").filter((part) => shown(part) && part.getBoundingClientRect().right > width + 1).filter((part) => !cue(part.closest(".scroll"))).map((part) => `${(part.closest("figure") ?? part).id}: ${part.getBoundingClientRect().right}`),

        // Figures whose data have intervals, by the number of intervals that are drawn.
        whiskers: () => Object.fromEntries(all("figure[data-figure]").map((figure) => [figure.dataset.figure, all(".plot .whisker", figure).length])),

        // Violations of WCAG 2.2, levels A and AA, that axe-core finds.
        axe: async () => {
            const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
            const { violations, passes } = await axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] });
            if (passes.length < 10) throw new Error(`axe-core checked only ${passes.length} rules`);
            return violations.flatMap(({ id, help, nodes }) => nodes.slice(0, 5).map((node) => `${id} (${help}): ${node.html.slice(0, 160)}`));
        },

        // Labels of one picture that overlap by more than two pixels in both directions.
        overlaps: () =>
            all("figure svg").flatMap((svg) => {
                const boxes = labels(svg).map((text) => [text, text.getBoundingClientRect()]);
                return boxes.flatMap(([one, a], at) =>
                    boxes.slice(at + 1).flatMap(([other, b]) => {
                        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                        const pair = `${svg.closest("figure").id}: ${name(one)} and ${name(other)}`;
                        return x > 2 && y > 2 ? [`${pair} by ${x.toFixed(1)}×${y.toFixed(1)}`] : [];
                    }),
                );
            }),

        // Labels that extend beyond their picture, so that they are cut off.
        cut: () =>
            all("figure svg").flatMap((svg) => {
                const frame = svg.getBoundingClientRect();
                const out = (box) =>
                    box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
                const texts = labels(svg).filter((text) => out(text.getBoundingClientRect()));
                return texts.map((text) => `${svg.closest("figure").id}: ${name(text)}`);
            }),

        // Text with too little contrast to its background. On paper the background is white, because backgrounds are not printed.
        faint: (paper = false) => {
            const own = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
            const html = all("body, body *").filter((element) => !(element instanceof SVGElement) && !element.closest("svg") && own(element) && shown(element));
            const texts = html.filter((element) => !element.matches("script, style, template, option, :disabled"));
            return [
                ...readable(document.body, getComputedStyle(document.body).color, ground(document.body, paper)),
                ...texts.flatMap((element) => readable(element, getComputedStyle(element).color, ground(element, paper))),
                ...all("figure svg").flatMap((svg) =>
                    labels(svg).flatMap((label) => readable(label, getComputedStyle(label).fill, groundOfLabel(label, svg, paper))),
                ),
            ];
        },

        // Roots that are wider than the window of this width, and the first elements that cause it.
        wide: (width) => {
            const [root, body] = [document.documentElement, document.body];
            const wider = [root, body].filter((element) => element.scrollWidth > width + 1 || element.clientWidth > width + 1);
            const inside = (element) => {
                for (let at = element.parentElement; at && at !== body; at = at.parentElement) {
                    if (getComputedStyle(at).overflowX !== "visible") return true;
                }
                return false;
            };
            const out = all("body *").filter((element) => element.getBoundingClientRect().right > width + 1 && shown(element) && !inside(element));
            return wider.length ? wider.map((element) => `${element.localName}: ${element.scrollWidth}`).concat(out.slice(0, 10).map(name)) : [];
        },

        // Elements and styles that would fetch resources, at once or on a click.
        outside: () => {
            const link = /^(data:|#|$)/;
            const at = (attribute) => all(`[${attribute}]`).filter((element) => element.localName !== "a" && !link.test(element.getAttribute(attribute)));
            const elements = [...all("base, iframe, object, embed, link, meta[http-equiv=refresh i]"), ...["src", "srcset", "href", "poster"].flatMap(at)];
            const fetched = [...document.documentElement.outerHTML.matchAll(/url\(\s*["']?(?!data:|#|&quot;#)[^)]{0,60}|@import[^;]{0,60}/g)];
            const form = all("form[action]");
            return [...elements, ...form].map((element) => element.outerHTML.slice(0, 120)).concat(fetched.map(([text]) => text));
        },

        // The data behind a link of a figure; the format is `json` or `csv`.
        data: (figure, format) => {
            const url = new URL(document.getElementById(figure).querySelector(`a[data-format=${format}]`).href);
            const [, head, body] = /^data:([^,]*),(.*)$/s.exec(url.href.slice(0, url.href.length - url.hash.length));
            if (!/;base64$/i.test(head)) return decodeURIComponent(body);
            const bytes = Uint8Array.from(atob(decodeURIComponent(body)), (letter) => letter.charCodeAt(0));
            return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
        },

        // Scrolls to an element and returns its centre, and the element that covers it, if any.
        middle: (selector) => {
            const element = document.querySelector(selector);
            element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
            const box = element.getBoundingClientRect();
            const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
            const hit = document.elementFromPoint(x, y);
            const free = hit && (element.contains(hit) || hit.contains(element) || hit.closest("label")?.control === element);
            return { x, y, covered: free ? null : hit ? name(hit) : "no element" };
        },

        choose: (selector, value) => {
            const list = document.querySelector(selector);
            list.value = value;
            if (list.value !== value) throw new Error(`${selector} has no ${value}`);
            for (const kind of ["input", "change"]) list.dispatchEvent(new Event(kind, { bubbles: true }));
        },

        // The rows of the heat table in their current order.
        rows: () => rows().map(row),
        // Sortable columns: index, whether values are numeric, number of values, and the stated order.
        columns: () =>
            heads().map((th) => {
                th.querySelector("button").dataset.column = th.cellIndex;
                const cells = rows().map((tr) => tr.cells[th.cellIndex]?.dataset.value);
                const values = cells.filter((value) => value !== undefined && value !== "");
                const numeric = values.every((value) => Number.isFinite(Number(value)));
                return { column: th.cellIndex, numeric, nr_values: values.length, sort: th.getAttribute("aria-sort") };
            }),
        // The values of a column in the current order.
        values: (column) => rows().map((tr) => tr.cells[column]?.dataset.value ?? ""),
        // Sets the values of a column, repeating the list. An empty string removes the value.
        put: (column, values) =>
            rows().forEach((tr, at) => {
                const value = values[at % values.length];
                if (value === "") delete tr.cells[column].dataset.value;
                else tr.cells[column].dataset.value = value;
            }),
        // The terms of the glossary that are shown.
        terms: () => all(".glossary dt").filter(shown).map(words),
        layouts: () => [...new Set(all("table#heat td[data-layout]").map((td) => td.dataset.layout))],
        // Number of cells in the column of a layout, of those that are shown, and of headings that are shown.
        shownOf: (layout) => {
            const cells = all("table#heat tbody td[data-layout]").filter((td) => td.dataset.layout === layout);
            const heads = all("table#heat thead tr:last-child > *");
            return { cells: cells.length, shown: cells.filter(shown).length, heads: heads.filter(shown).length };
        },
    };
})();
