// Texts of the page that are hard to read: less contrast than WCAG 2.2 asks for at level AA.
(() => {
  const READABLE = 4.5, READABLE_WHEN_LARGE = 3, LARGE_PX = 24;

  const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);

  // "rgb(1, 2, 3)", or "color(srgb 0.1 0.2 0.3)" for what was mixed.
  const color = (text) =>
    text.startsWith("color(srgb") ? numbers(text).map((value, at) => (at < 3 ? value * 255 : value)) : numbers(text);

  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };

  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const painted = color(getComputedStyle(at).backgroundColor);
      if (painted.length < 4 || painted[3] > 0) return painted;
    }
    return [255, 255, 255];
  };

  const contrast = (element, style) => {
    const [less, more] = [light(color(style.color)), light(ground(element))].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };

  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), element = texts.currentNode.parentElement;
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (!text || !box.width || !box.height || element.closest("style, script, [aria-hidden]")) continue;
    const wanted = parseFloat(style.fontSize) >= LARGE_PX ? READABLE_WHEN_LARGE : READABLE;
    if (contrast(element, style) < wanted) faint.push([text, contrast(element, style).toFixed(2)]);
  }
  return faint;
})()
