/* () -> every visible text of the page with its contrast, (L1 + 0.05) / (L2 + 0.05) as WCAG 2 has
   it, from computed styles: backgrounds and opacities of all ancestors are blended as painted. */
() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colors = new Map();
  const rgba = (css) => {
    if (!colors.has(css)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = css;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, alpha] = pen.getImageData(0, 0, 1, 1).data;
      colors.set(css, [r, g, b, alpha / 255]);
    }
    return colors.get(css);
  };
  const blend = (below, above, share) => below.map((v, i) => v + (above[i] - v) * share);
  const luminance = (color) => {
    const [r, g, b] = color.map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // The colours [behind the text, of the text] of the last element of a chain of ancestors.
  const paint = (chain, behind) => {
    const [first, ...rest] = chain;
    const style = getComputedStyle(first);
    const background = rgba(style.backgroundColor);
    const inside = blend(behind, background, background[3]);
    const color = rgba(first instanceof SVGElement ? style.fill : style.color);
    const painted = rest.length ? paint(rest, inside) : [inside, blend(inside, color, color[3])];
    return painted.map((pixel) => blend(behind, pixel, Number(style.opacity)));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    // The shares on the Heads tab's maps are white with a dark outline, on any colour.
    const passed = ":disabled, title, script, style, .heads-shares";
    if (!text || element.closest(passed) || !element.checkVisibility({ visibilityProperty: true }))
      continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    const [dark, light] = paint(chain, [255, 255, 255]).map(luminance).sort((a, b) => a - b);
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    found.push({
      text: text.slice(0, 40),
      place: element.closest("[id]:not([id^=html-])")?.id ?? "",
      contrast: (light + 0.05) / (dark + 0.05),
      large: size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700),
    });
  }
  return found;
}
