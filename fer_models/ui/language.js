() => {
  // The remembered choice comes first, then the browser's language.
  const chosen = localStorage.getItem("fer-language");
  const wanted = chosen ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
  if (wanted === "zh") location.replace("zh" + location.search);
}
