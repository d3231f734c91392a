(example, picture) => {
  // Gradio gives examples and what was uploaded no text in their place; it draws them anew at will.
  const name = (image) => {
    if (image.src.startsWith("data:")) return; // the page's own
    const file = image.src.split("/").pop().replace(/\.\w+$/, "").replaceAll("_", " ");
    image.alt = image.closest("#examples") ? `${example}: ${file}` : picture;
  };
  const nameAll = () => document.querySelectorAll("img:not([alt]), img[alt='']").forEach(name);
  const seen = { childList: true, subtree: true, attributes: true, attributeFilter: ["alt", "src"] };
  new MutationObserver(nameAll).observe(document.body, seen);
  nameAll();
}
